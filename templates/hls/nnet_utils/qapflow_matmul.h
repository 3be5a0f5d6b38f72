// Products of two matrices that both flow: y = a @ b, for every leading index. Exact; loops only.
#ifndef QAPFLOW_MATMUL_H_
#define QAPFLOW_MATMUL_H_

#include "qapflow_move.h"

namespace qapflow {

template <class CONFIG, class A, class B, class Y>
void matmul_loops(A a[CONFIG::n_a], B b[CONFIG::n_b], Y y[CONFIG::n_out]) {
    #pragma HLS INLINE
    for (unsigned t = 0; t < CONFIG::turns; t++)
        for (unsigned i = 0; i < CONFIG::rows; i++)
            for (unsigned j = 0; j < CONFIG::columns; j++) {
                #pragma HLS PIPELINE
                Y sum = 0;
                for (unsigned k = 0; k < CONFIG::inner; k++) {
                    #pragma HLS UNROLL
                    sum += a[(t * CONFIG::rows + i) * CONFIG::inner + k] *
                           b[(t * CONFIG::inner + k) * CONFIG::columns + j];
                }
                y[(t * CONFIG::rows + i) * CONFIG::columns + j] = sum;
            }
}

template <class CONFIG, class A, class B, class Y>
void matmul(A a[CONFIG::n_a], B b[CONFIG::n_b], Y y[CONFIG::n_out]) {
    #pragma HLS PIPELINE
    matmul_loops<CONFIG, A, B, Y>(a, b, y);
}

template <class CONFIG, class A, class B, class Y>
void matmul(hls::stream<A> &a, hls::stream<B> &b, hls::stream<Y> &y) {
    typename A::value_type left[CONFIG::n_a];
    typename B::value_type right[CONFIG::n_b];
    typename Y::value_type to[CONFIG::n_out];
    read_all(a, left);
    read_all(b, right);
    matmul_loops<CONFIG>(left, right, to);
    write_all(to, y);
}

} // namespace qapflow

#endif
