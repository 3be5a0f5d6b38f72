// Element by element: y = CONFIG::apply(x, position, channel). Exact; loops only.
#ifndef QAPFLOW_MAP_H_
#define QAPFLOW_MAP_H_

#include "qapflow_code.h"

namespace qapflow {

template <class CONFIG, class X, class Y> void map(X x[CONFIG::size], Y y[CONFIG::size]) {
    #pragma HLS PIPELINE
    for (unsigned i = 0; i < CONFIG::size; i++) {
        #pragma HLS UNROLL
        y[i] = CONFIG::apply(x[i], i, i % CONFIG::lanes);
    }
}

template <class CONFIG, class X, class Y> void map(hls::stream<X> &x, hls::stream<Y> &y) {
Packets:
    for (unsigned p = 0; p < CONFIG::packets; p++) {
        #pragma HLS PIPELINE II=1
        X in = x.read();
        Y out;
        PRAGMA_DATA_PACK(out)
        for (unsigned c = 0; c < CONFIG::lanes; c++) {
            #pragma HLS UNROLL
            out[c] = CONFIG::apply(in[c], p * CONFIG::lanes + c, c);
        }
        y.write(out);
    }
}

template <class CONFIG, class A, class B, class Y> void zip(A a[CONFIG::size], B b[CONFIG::size], Y y[CONFIG::size]) {
    #pragma HLS PIPELINE
    for (unsigned i = 0; i < CONFIG::size; i++) {
        #pragma HLS UNROLL
        y[i] = CONFIG::apply(a[i], b[i]);
    }
}

template <class CONFIG, class A, class B, class Y>
void zip(hls::stream<A> &a, hls::stream<B> &b, hls::stream<Y> &y) {
Packets:
    for (unsigned p = 0; p < CONFIG::packets; p++) {
        #pragma HLS PIPELINE II=1
        A left = a.read();
        B right = b.read();
        Y out;
        PRAGMA_DATA_PACK(out)
        for (unsigned c = 0; c < CONFIG::lanes; c++) {
            #pragma HLS UNROLL
            out[c] = CONFIG::apply(left[c], right[c]);
        }
        y.write(out);
    }
}

// One element in, a row of a table out.
template <class CONFIG, class X, class Y> void lookup(X x[CONFIG::n_in], Y y[CONFIG::n_out]) {
    #pragma HLS PIPELINE
    for (unsigned i = 0; i < CONFIG::n_in; i++)
        for (unsigned c = 0; c < CONFIG::width; c++)
            y[i * CONFIG::width + c] = CONFIG::value(x[i], c);
}

template <class CONFIG, class X, class Y> void lookup(hls::stream<X> &x, hls::stream<Y> &y) {
Packets:
    for (unsigned p = 0; p < CONFIG::n_in / X::size; p++) {
        X in = x.read();
    Elements:
        for (unsigned i = 0; i < X::size; i++) {
            #pragma HLS PIPELINE II=1
            Y out;
            PRAGMA_DATA_PACK(out)
            for (unsigned c = 0; c < CONFIG::width; c++) {
                #pragma HLS UNROLL
                out[c] = CONFIG::value(in[i], c);
            }
            y.write(out);
        }
    }
}

} // namespace qapflow

#endif
