// Codes of fixed-point values: the integers that qapflow's networks are defined on.
#ifndef QAPFLOW_CODE_H_
#define QAPFLOW_CODE_H_

#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"
#include "nnet_common.h"
#include "nnet_types.h"
#ifdef QAPFLOW_SANITIZE
#include "../../csim/sanitize.h"
#endif

namespace qapflow {

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> ap_int<W> code(const ap_fixed<W, I, Q, O, N> &x) {
    #pragma HLS INLINE
    ap_uint<W> bits = x.range(W - 1, 0);
    return ap_int<W>(bits);
}

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> ap_uint<W> code(const ap_ufixed<W, I, Q, O, N> &x) {
    #pragma HLS INLINE
    ap_uint<W> bits = x.range(W - 1, 0);
    return bits;
}

// The value of type Y whose code has the low bits of `bits`.
template <class Y, int W> Y value(const ap_uint<W> &bits) {
    #pragma HLS INLINE
    Y y;
    y.range(W - 1, 0) = bits;
    return y;
}

// Fills an array from codes before main() starts: simulation only, synthesis reads initialisers.
template <class T, int W, class CODE, unsigned N> struct loader {
    loader(T (&to)[N], const CODE (&from)[N]) {
        for (unsigned i = 0; i < N; i++)
            to[i] = value<T, W>(ap_uint<W>((long long)from[i]));
    }
};

} // namespace qapflow

#endif
