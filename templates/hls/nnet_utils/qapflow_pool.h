// Maxima and sums over windows and over whole axes. Positions outside the tensor never take part,
// so padding cannot win a maximum and adds nothing to a sum. CONFIG::sum_t is the type of a maximum's
// candidates or of a sum.
#ifndef QAPFLOW_POOL_H_
#define QAPFLOW_POOL_H_

#include "qapflow_move.h"

namespace qapflow {

template <class CONFIG, class X, class Y> void pool_loops(X x[CONFIG::n_in], Y y[CONFIG::n_out]) {
    #pragma HLS INLINE
    unsigned n = 0;
    for (int h = -CONFIG::pad_h; h < CONFIG::end_h; h += CONFIG::stride_h)
        for (int w = -CONFIG::pad_w; w < CONFIG::end_w; w += CONFIG::stride_w)
            for (int c = 0; c < CONFIG::lanes; c++) {
                #pragma HLS PIPELINE
                typename CONFIG::sum_t sum = 0;
                bool empty = true;
                for (int i = 0; i < CONFIG::size_h; i++)
                    for (int j = 0; j < CONFIG::size_w; j++)
                        if (h + i >= 0 && h + i < CONFIG::in_h && w + j >= 0 && w + j < CONFIG::in_w) {
                            typename CONFIG::sum_t term = x[((h + i) * CONFIG::in_w + w + j) * CONFIG::lanes + c];
                            if (empty)
                                sum = term;
                            else
                                sum = CONFIG::join(sum, term);
                            empty = false;
                        }
                y[n++] = sum;
            }
}

template <class CONFIG, class X, class Y> void pool(X x[CONFIG::n_in], Y y[CONFIG::n_out]) {
    #pragma HLS PIPELINE
    pool_loops<CONFIG, X, Y>(x, y);
}

// The last size_h rows are kept; a window leaves as soon as its last column has arrived.
template <class CONFIG, class X, class Y> void pool(hls::stream<X> &x, hls::stream<Y> &y) {
    typename X::value_type rows[CONFIG::size_h][CONFIG::in_w][CONFIG::lanes];
    #pragma HLS ARRAY_PARTITION variable=rows complete dim=1
    #pragma HLS ARRAY_PARTITION variable=rows complete dim=3
    int slot = 0; // row of the ring buffer that is being written
    int next_h = CONFIG::size_h - 1; // rows until the next window ends
Rows:
    for (int h = -CONFIG::pad_h; h < CONFIG::last_h; h++) {
        int next_w = CONFIG::size_w - 1;
    Columns:
        for (int w = -CONFIG::pad_w; w < CONFIG::last_w; w++) {
            #pragma HLS PIPELINE
            if (h >= 0 && h < CONFIG::in_h && w >= 0 && w < CONFIG::in_w) {
                X in = x.read();
                for (int c = 0; c < CONFIG::lanes; c++) {
                    #pragma HLS UNROLL
                    rows[slot][w][c] = in[c];
                }
            }
            int top = h - CONFIG::size_h + 1;
            int left = w - CONFIG::size_w + 1;
            if (next_h == 0 && next_w == 0 && top < CONFIG::end_h && left < CONFIG::end_w) {
                Y out;
                PRAGMA_DATA_PACK(out)
                for (int c = 0; c < CONFIG::lanes; c++) {
                    #pragma HLS UNROLL
                    typename CONFIG::sum_t sum = 0;
                    bool empty = true;
                    for (int i = 0; i < CONFIG::size_h; i++)
                        for (int j = 0; j < CONFIG::size_w; j++)
                            if (top + i >= 0 && top + i < CONFIG::in_h && left + j >= 0 && left + j < CONFIG::in_w) {
                                int row = slot + 1 + i;
                                if (row >= CONFIG::size_h)
                                    row -= CONFIG::size_h;
                                typename CONFIG::sum_t term = rows[row][left + j][c];
                                if (empty)
                                    sum = term;
                                else
                                    sum = CONFIG::join(sum, term);
                                empty = false;
                            }
                    out[c] = sum;
                }
                y.write(out);
            }
            next_w = next_w == 0 ? CONFIG::stride_w - 1 : next_w - 1;
        }
        next_h = next_h == 0 ? CONFIG::stride_h - 1 : next_h - 1;
        slot = slot + 1 == CONFIG::size_h ? 0 : slot + 1;
    }
}

// Kept axes d0..d2, reduced axes r0..r2, with strides a and b in the input.
template <class CONFIG, class X, class Y> void reduce_loops(X x[CONFIG::n_in], Y y[CONFIG::n_out]) {
    #pragma HLS INLINE
    unsigned n = 0;
    for (unsigned i0 = 0; i0 < CONFIG::d0; i0++)
        for (unsigned i1 = 0; i1 < CONFIG::d1; i1++)
            for (unsigned i2 = 0; i2 < CONFIG::d2; i2++) {
                typename CONFIG::sum_t sum = 0;
                bool empty = true;
                for (unsigned j0 = 0; j0 < CONFIG::r0; j0++)
                    for (unsigned j1 = 0; j1 < CONFIG::r1; j1++)
                        for (unsigned j2 = 0; j2 < CONFIG::r2; j2++) {
                            #pragma HLS PIPELINE
                            typename CONFIG::sum_t term = x[i0 * CONFIG::a0 + i1 * CONFIG::a1 + i2 * CONFIG::a2 + j0 * CONFIG::b0 +
                                       j1 * CONFIG::b1 + j2 * CONFIG::b2];
                            if (empty)
                                sum = term;
                            else
                                sum = CONFIG::join(sum, term);
                            empty = false;
                        }
                y[n++] = sum;
            }
}

template <class CONFIG, class X, class Y> void reduce(X x[CONFIG::n_in], Y y[CONFIG::n_out]) {
    #pragma HLS PIPELINE
    reduce_loops<CONFIG, X, Y>(x, y);
}

template <class CONFIG, class X, class Y> void reduce(hls::stream<X> &x, hls::stream<Y> &y) {
    typename X::value_type from[CONFIG::n_in];
    typename Y::value_type to[CONFIG::n_out];
    read_all(x, from);
    reduce_loops<CONFIG>(from, to);
    write_all(to, y);
}

// All axes but the last: packets are folded as they arrive.
template <class CONFIG, class X, class Y> void fold(hls::stream<X> &x, hls::stream<Y> &y) {
    typename CONFIG::sum_t sum[CONFIG::lanes];
    #pragma HLS ARRAY_PARTITION variable=sum complete
Packets:
    for (unsigned p = 0; p < CONFIG::packets; p++) {
        #pragma HLS PIPELINE
        X in = x.read();
        for (unsigned c = 0; c < CONFIG::lanes; c++) {
            #pragma HLS UNROLL
            typename CONFIG::sum_t term = in[c];
            if (p == 0)
                sum[c] = term;
            else
                sum[c] = CONFIG::join(sum[c], term);
        }
    }
    Y out;
    PRAGMA_DATA_PACK(out)
    for (unsigned c = 0; c < CONFIG::lanes; c++) {
        #pragma HLS UNROLL
        out[c] = sum[c];
    }
    y.write(out);
}

} // namespace qapflow

#endif
