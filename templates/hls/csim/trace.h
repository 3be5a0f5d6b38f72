// Observing every edge of the network in simulation. Not part of the design: compiled only with
// -DQAPFLOW_TRACE, which only the simulation of qapflow sets.
#ifndef QAPFLOW_TRACE_H_
#define QAPFLOW_TRACE_H_

#include "../firmware/nnet_utils/qapflow_code.h"

namespace qapflow {

extern long long *trace_to; // null when nothing is to be recorded
extern const unsigned trace_size[];
extern const unsigned trace_start[];
#ifdef QAPFLOW_SANITIZE
extern losses edge_losses[]; // outside quantizers, since the edge before
#endif

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> long long to_code(const ap_fixed<W, I, Q, O, N> &x) {
    return code(x).to_int64();
}

template <int W, int I, ap_q_mode Q, ap_o_mode O, int N> long long to_code(const ap_ufixed<W, I, Q, O, N> &x) {
    return (long long)code(x).to_uint64();
}

template <class X> void trace(unsigned edge, const X *x) {
#ifdef QAPFLOW_SANITIZE
    outside().move_to(edge_losses[edge]);
#endif
    if (!trace_to)
        return;
    long long *to = trace_to + trace_start[edge];
    for (unsigned i = 0; i < trace_size[edge]; i++)
        to[i] = to_code(x[i]);
}

template <class X> void trace(unsigned edge, hls::stream<X> &x) {
#ifdef QAPFLOW_SANITIZE
    outside().move_to(edge_losses[edge]);
#endif
    if (!trace_to)
        return;
    long long *to = trace_to + trace_start[edge];
    for (unsigned i = 0; i < trace_size[edge]; i += X::size) { // once around
        X packet = x.read();
        for (unsigned c = 0; c < X::size; c++)
            to[i + c] = to_code(packet[c]);
        x.write(packet);
    }
}

template <class T, int W> void from_codes(T *x, const long long *codes, unsigned size) {
    for (unsigned i = 0; i < size; i++)
        x[i] = value<T, W>(ap_uint<W>(codes[i]));
}

template <class T, int W> void from_codes(hls::stream<T> &x, const long long *codes, unsigned size) {
    for (unsigned i = 0; i < size; i += T::size) {
        T packet;
        from_codes<typename T::value_type, W>(packet.data, codes + i, T::size);
        x.write(packet);
    }
}

template <class T> void to_codes(const T *x, long long *codes, unsigned size) {
    for (unsigned i = 0; i < size; i++)
        codes[i] = to_code(x[i]);
}

template <class T> void to_codes(hls::stream<T> &x, long long *codes, unsigned size) {
    for (unsigned i = 0; i < size; i += T::size) {
        T packet = x.read();
        to_codes(packet.data, codes + i, T::size);
    }
}

} // namespace qapflow

#endif
