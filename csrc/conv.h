// Causal depthwise convolution over (batch, length, channels) rows, with an optional SiLU.
#pragma once
#include "isa.h"

namespace rmeeto {

struct ConvArgs {
  const void* x;        // rows of `channels` values, float or (half) bf16
  const void* grad;     // backward: gradient of the output, rows like x
  const float* weight;  // (channels, taps)
  const float* bias;    // (channels) or null
  void* out;            // forward: the output; backward: gradient of x
  float* grad_taps;     // backward: (channels, taps) and (channels), contiguous
  float* grad_bias;
  long batch, length, channels, taps;
  long x_batch, x_row, out_batch, out_row, grad_batch, grad_row;  // strides
  bool silu, reverse, half;
  bool accumulate;      // backward: add to `out` what it held
  int threads;
};

}  // namespace rmeeto

RM_KERNEL(conv_forward, rmeeto::ConvArgs)
RM_KERNEL(conv_backward, rmeeto::ConvArgs)
