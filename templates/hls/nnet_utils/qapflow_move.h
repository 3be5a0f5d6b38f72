// Moving, padding and combining whole tensors. Arrays are pipelined as one block; streams without
// a special form are gathered in a buffer first.
#ifndef QAPFLOW_MOVE_H_
#define QAPFLOW_MOVE_H_

#include "qapflow_code.h"

namespace qapflow {

template <class X, unsigned N> void read_all(hls::stream<X> &x, typename X::value_type (&buffer)[N]) {
Read:
    for (unsigned p = 0; p < N / X::size; p++) {
        #pragma HLS PIPELINE
        X in = x.read();
        for (unsigned c = 0; c < X::size; c++) {
            #pragma HLS UNROLL
            buffer[p * X::size + c] = in[c];
        }
    }
}

template <class Y, class T, unsigned N> void write_all(T (&buffer)[N], hls::stream<Y> &y) {
Write:
    for (unsigned p = 0; p < N / Y::size; p++) {
        #pragma HLS PIPELINE
        Y out;
        PRAGMA_DATA_PACK(out)
        for (unsigned c = 0; c < Y::size; c++) {
            #pragma HLS UNROLL
            out[c] = buffer[p * Y::size + c];
        }
        y.write(out);
    }
}

// Strided copy: transposition, upsampling.
template <class CONFIG, class X, class Y> void gather_loops(X x[CONFIG::n_in], Y y[CONFIG::n_out]) {
    #pragma HLS INLINE
    unsigned i = 0;
    for (unsigned i0 = 0; i0 < CONFIG::d0; i0++)
        for (unsigned i1 = 0; i1 < CONFIG::d1; i1++)
            for (unsigned i2 = 0; i2 < CONFIG::d2; i2++)
                for (unsigned i3 = 0; i3 < CONFIG::d3; i3++)
                    for (unsigned i4 = 0; i4 < CONFIG::d4; i4++)
                        for (unsigned i5 = 0; i5 < CONFIG::d5; i5++) {
                            #pragma HLS PIPELINE
                            y[i++] = x[i0 * CONFIG::a0 + i1 * CONFIG::a1 + i2 * CONFIG::a2 + i3 * CONFIG::a3 +
                                       i4 * CONFIG::a4 + i5 * CONFIG::a5];
                        }
}

template <class CONFIG, class X, class Y> void gather(X x[CONFIG::n_in], Y y[CONFIG::n_out]) {
    #pragma HLS PIPELINE
    gather_loops<CONFIG, X, Y>(x, y);
}

template <class CONFIG, class X, class Y> void gather(hls::stream<X> &x, hls::stream<Y> &y) {
    typename X::value_type from[CONFIG::n_in];
    typename Y::value_type to[CONFIG::n_out];
    read_all(x, from);
    gather_loops<CONFIG>(from, to);
    write_all(to, y);
}

// One axis backwards.
template <class CONFIG, class X, class Y> void flip_loops(X x[CONFIG::n_in], Y y[CONFIG::n_out]) {
    #pragma HLS INLINE
    unsigned i = 0;
    for (unsigned o = 0; o < CONFIG::outer; o++)
        for (unsigned n = CONFIG::length; n > 0; n--)
            for (unsigned k = 0; k < CONFIG::inner; k++) {
                #pragma HLS PIPELINE
                y[i++] = x[(o * CONFIG::length + n - 1) * CONFIG::inner + k];
            }
}

template <class CONFIG, class X, class Y> void flip(X x[CONFIG::n_in], Y y[CONFIG::n_out]) {
    #pragma HLS PIPELINE
    flip_loops<CONFIG, X, Y>(x, y);
}

template <class CONFIG, class X, class Y> void flip(hls::stream<X> &x, hls::stream<Y> &y) {
    typename X::value_type from[CONFIG::n_in];
    typename Y::value_type to[CONFIG::n_out];
    read_all(x, from);
    flip_loops<CONFIG>(from, to);
    write_all(to, y);
}

// Another packet size, same order.
template <class CONFIG, class X, class Y> void repack(hls::stream<X> &x, hls::stream<Y> &y) {
    typename X::value_type buffer[CONFIG::n_out];
    read_all(x, buffer);
    write_all(buffer, y);
}

// Two operands with broadcasting.
template <class CONFIG, class A, class B, class Y>
void combine_loops(A a[CONFIG::n_a], B b[CONFIG::n_b], Y y[CONFIG::n_out]) {
    #pragma HLS INLINE
    unsigned i = 0;
    for (unsigned i0 = 0; i0 < CONFIG::d0; i0++)
        for (unsigned i1 = 0; i1 < CONFIG::d1; i1++)
            for (unsigned i2 = 0; i2 < CONFIG::d2; i2++)
                for (unsigned i3 = 0; i3 < CONFIG::d3; i3++)
                    for (unsigned i4 = 0; i4 < CONFIG::d4; i4++)
                        for (unsigned i5 = 0; i5 < CONFIG::d5; i5++) {
                            #pragma HLS PIPELINE
                            y[i++] = CONFIG::apply(a[i0 * CONFIG::a0 + i1 * CONFIG::a1 + i2 * CONFIG::a2 +
                                                     i3 * CONFIG::a3 + i4 * CONFIG::a4 + i5 * CONFIG::a5],
                                                   b[i0 * CONFIG::b0 + i1 * CONFIG::b1 + i2 * CONFIG::b2 +
                                                     i3 * CONFIG::b3 + i4 * CONFIG::b4 + i5 * CONFIG::b5]);
                        }
}

template <class CONFIG, class A, class B, class Y>
void combine(A a[CONFIG::n_a], B b[CONFIG::n_b], Y y[CONFIG::n_out]) {
    #pragma HLS PIPELINE
    combine_loops<CONFIG, A, B, Y>(a, b, y);
}

template <class CONFIG, class A, class B, class Y>
void combine(hls::stream<A> &a, hls::stream<B> &b, hls::stream<Y> &y) {
    typename A::value_type left[CONFIG::n_a];
    typename B::value_type right[CONFIG::n_b];
    typename Y::value_type to[CONFIG::n_out];
    read_all(a, left);
    read_all(b, right);
    combine_loops<CONFIG>(left, right, to);
    write_all(to, y);
}

// Zeros before and after each of four axes; negative amounts crop.
template <class CONFIG, class X, class Y> void pad_loops(X x[CONFIG::n_in], Y y[CONFIG::n_out]) {
    #pragma HLS INLINE
    unsigned i = 0;
    for (int i0 = -CONFIG::p0; i0 < CONFIG::e0; i0++)
        for (int i1 = -CONFIG::p1; i1 < CONFIG::e1; i1++)
            for (int i2 = -CONFIG::p2; i2 < CONFIG::e2; i2++)
                for (int i3 = -CONFIG::p3; i3 < CONFIG::e3; i3++) {
                    #pragma HLS PIPELINE
                    bool inside = i0 >= 0 && i0 < CONFIG::n0 && i1 >= 0 && i1 < CONFIG::n1 && i2 >= 0 &&
                                  i2 < CONFIG::n2 && i3 >= 0 && i3 < CONFIG::n3;
                    if (inside)
                        y[i++] = x[((i0 * CONFIG::n1 + i1) * CONFIG::n2 + i2) * CONFIG::n3 + i3];
                    else
                        y[i++] = 0;
                }
}

template <class CONFIG, class X, class Y> void pad(X x[CONFIG::n_in], Y y[CONFIG::n_out]) {
    #pragma HLS PIPELINE
    pad_loops<CONFIG, X, Y>(x, y);
}

template <class CONFIG, class X, class Y> void pad(hls::stream<X> &x, hls::stream<Y> &y) {
    typename X::value_type from[CONFIG::n_in];
    typename Y::value_type to[CONFIG::n_out];
    read_all(x, from);
    pad_loops<CONFIG>(from, to);
    write_all(to, y);
}

// Rows and columns of a stream: one packet a cycle, no buffer. Every step_h-th row is kept.
template <class CONFIG, class X, class Y> void pad_stream(hls::stream<X> &x, hls::stream<Y> &y) {
Rows:
    for (int h = CONFIG::first_h; h < CONFIG::last_h; h++) {
    Columns:
        for (int w = CONFIG::first_w; w < CONFIG::last_w; w++) {
            #pragma HLS LOOP_FLATTEN
            #pragma HLS PIPELINE II=1
            Y out;
            PRAGMA_DATA_PACK(out)
            for (unsigned c = 0; c < Y::size; c++) {
                #pragma HLS UNROLL
                out[c] = 0;
            }
            if (h >= 0 && h < CONFIG::in_h && w >= 0 && w < CONFIG::in_w) {
                X in = x.read();
                for (unsigned c = 0; c < Y::size; c++) {
                    #pragma HLS UNROLL
                    out[c] = in[c];
                }
            }
            if (h >= CONFIG::keep_h0 && h < CONFIG::keep_h1 && w >= CONFIG::keep_w0 && w < CONFIG::keep_w1 &&
                (h - CONFIG::keep_h0) % CONFIG::step_h == 0)
                y.write(out);
        }
    }
}

// Every channel of a stream `factor` times, neighbours together.
template <class CONFIG, class X, class Y> void repeat_lanes(hls::stream<X> &x, hls::stream<Y> &y) {
Packets:
    for (unsigned p = 0; p < CONFIG::packets; p++) {
        #pragma HLS PIPELINE II=1
        X in = x.read();
        Y out;
        PRAGMA_DATA_PACK(out)
        for (unsigned c = 0; c < Y::size; c++) {
            #pragma HLS UNROLL
            out[c] = in[c / CONFIG::factor];
        }
        y.write(out);
    }
}

// Nearest-neighbour upsampling of a stream: one row is buffered.
template <class CONFIG, class X, class Y> void upsample_stream(hls::stream<X> &x, hls::stream<Y> &y) {
    X row[CONFIG::in_w];
Rows:
    for (unsigned h = 0; h < CONFIG::in_h; h++)
        for (unsigned f = 0; f < CONFIG::factor_h; f++)
            for (unsigned w = 0; w < CONFIG::in_w; w++)
                for (unsigned g = 0; g < CONFIG::factor_w; g++) {
                    #pragma HLS PIPELINE II=1
                    if (f == 0 && g == 0)
                        row[w] = x.read();
                    X in = row[w];
                    Y out;
                    PRAGMA_DATA_PACK(out)
                    for (unsigned c = 0; c < Y::size; c++) {
                        #pragma HLS UNROLL
                        out[c] = in[c];
                    }
                    y.write(out);
                }
}

} // namespace qapflow

#endif
