// The inputs below one position of a kernel, for convolutions of arrays: what hls4ml prints as one
// assignment a value is megabytes of text for a large layer, so there it is written as loops.
#ifndef QAPFLOW_WINDOW_H_
#define QAPFLOW_WINDOW_H_

#include "nnet_common.h"

namespace qapflow {

// buffer: [pixels of a partition][tap, channel]; taps outside of the input are zero
template <class data_T, typename CONFIG_T> struct window_1d {
    static void fill_buffer(data_T *data, data_T buffer[CONFIG_T::n_pixels][CONFIG_T::filt_width * CONFIG_T::n_chan],
                            const unsigned partition) {
        #pragma HLS INLINE
    Pixels:
        for (int i = 0; i < (int)CONFIG_T::n_pixels; i++) {
            #pragma HLS UNROLL
            const int left = ((int)partition * (int)CONFIG_T::n_pixels + i) * (int)CONFIG_T::stride_width -
                             (int)CONFIG_T::pad_left;
        Taps:
            for (int kx = 0; kx < (int)CONFIG_T::filt_width; kx++) {
                #pragma HLS UNROLL
                const int x = left + kx;
                const bool inside = x >= 0 && x < (int)CONFIG_T::in_width;
            Channels:
                for (int c = 0; c < (int)CONFIG_T::n_chan; c++) {
                    #pragma HLS UNROLL
                    data_T value = 0;
                    if (inside)
                        value = data[x * (int)CONFIG_T::n_chan + c];
                    buffer[i][kx * (int)CONFIG_T::n_chan + c] = value;
                }
            }
        }
    }
};

template <class data_T, typename CONFIG_T> struct window_2d {
    static void fill_buffer(data_T *data,
                            data_T buffer[CONFIG_T::n_pixels]
                                         [CONFIG_T::filt_height * CONFIG_T::filt_width * CONFIG_T::n_chan],
                            const unsigned partition) {
        #pragma HLS INLINE
    Pixels:
        for (int i = 0; i < (int)CONFIG_T::n_pixels; i++) {
            #pragma HLS UNROLL
            const int pixel = (int)partition * (int)CONFIG_T::n_pixels + i;
            const int top = pixel / (int)CONFIG_T::out_width * (int)CONFIG_T::stride_height - (int)CONFIG_T::pad_top;
            const int left = pixel % (int)CONFIG_T::out_width * (int)CONFIG_T::stride_width - (int)CONFIG_T::pad_left;
        Rows:
            for (int ky = 0; ky < (int)CONFIG_T::filt_height; ky++) {
                #pragma HLS UNROLL
            Taps:
                for (int kx = 0; kx < (int)CONFIG_T::filt_width; kx++) {
                    #pragma HLS UNROLL
                    const int y = top + ky;
                    const int x = left + kx;
                    const bool inside =
                        y >= 0 && y < (int)CONFIG_T::in_height && x >= 0 && x < (int)CONFIG_T::in_width;
                Channels:
                    for (int c = 0; c < (int)CONFIG_T::n_chan; c++) {
                        #pragma HLS UNROLL
                        data_T value = 0;
                        if (inside)
                            value = data[(y * (int)CONFIG_T::in_width + x) * (int)CONFIG_T::n_chan + c];
                        buffer[i][(ky * (int)CONFIG_T::filt_width + kx) * (int)CONFIG_T::n_chan + c] = value;
                    }
                }
            }
        }
    }
};

} // namespace qapflow

#endif
