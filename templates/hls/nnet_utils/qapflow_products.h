// A matrix with few weights that are not zero: CONFIG::sums has each product in a line of its own.
#ifndef QAPFLOW_PRODUCTS_H_
#define QAPFLOW_PRODUCTS_H_

#include "qapflow_move.h"

namespace qapflow {

template <class CONFIG, class X, class Y> void products(X x[CONFIG::n_in], Y y[CONFIG::n_out]) {
    #pragma HLS PIPELINE
    CONFIG::sums(x, y);
}

template <class CONFIG, class X, class Y> void products(hls::stream<X> &x, hls::stream<Y> &y) {
    typename X::value_type from[CONFIG::n_in];
    typename Y::value_type to[CONFIG::n_out];
    #pragma HLS ARRAY_PARTITION variable=from complete dim=0
    #pragma HLS ARRAY_PARTITION variable=to complete dim=0
    read_all(x, from);
    CONFIG::sums(from, to);
    write_all(to, y);
}

} // namespace qapflow

#endif
