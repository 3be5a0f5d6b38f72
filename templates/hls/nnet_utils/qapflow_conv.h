// Convolution of arrays, one output pixel after the other, each by a matrix-vector kernel of
// hls4ml. For reuse factors and depthwise layers that hls4ml's own loop over pixels does not have.
#ifndef QAPFLOW_CONV_H_
#define QAPFLOW_CONV_H_

#include "nnet_common.h"

namespace qapflow {

template <class data_T, class res_T, typename CONFIG_T>
void conv_pixels(data_T *data, res_T *res, typename CONFIG_T::weight_t *weights, typename CONFIG_T::bias_t *biases) {
Pixels:
    for (unsigned p = 0; p < CONFIG_T::n_partitions; p++) {
        data_T window[CONFIG_T::n_pixels][CONFIG_T::kernel_size * CONFIG_T::n_chan];
        #pragma HLS ARRAY_PARTITION variable=window complete dim=0
        res_T out[CONFIG_T::n_filt];
        #pragma HLS ARRAY_PARTITION variable=out complete
        CONFIG_T::template fill_buffer<data_T, CONFIG_T>::fill_buffer(data, window, p);
        CONFIG_T::mult_config::template kernel<data_T, res_T, typename CONFIG_T::mult_config>::dense(
            window[0], out, weights, biases);
        for (unsigned f = 0; f < CONFIG_T::n_filt; f++) {
            #pragma HLS UNROLL
            res[p * CONFIG_T::n_filt + f] = out[f];
        }
    }
}

} // namespace qapflow

#endif
