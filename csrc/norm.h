// Root-mean-square norm of rows, alone or after adding them to the residual stream.
#pragma once
#include "isa.h"

namespace rmeeto {

struct NormArgs {
  const void* x;           // (rows, width), float or (half_in) bf16
  const float* residual;   // (rows, width) or null
  const float* weight;     // (width)
  void* out;               // (rows, width), float or (half_out) bf16
  float* stream;           // residual + x, (rows, width); null without a residual
  long rows, width, x_row, residual_row;  // the last two are strides
  float eps;
  bool half_in, half_out;
  int threads;
};

struct NormGradArgs {
  const void* grad;         // (rows, width) of the normed rows, float or (half) bf16
  const float* grad_stream; // (rows, width) or null
  const float* stream;      // (rows, width) what was normed
  const float* weight;      // (width)
  float* out;               // (rows, width) gradient of the stream
  float* grad_weight;       // (width)
  long rows, width;         // everything contiguous
  float eps;
  bool half;
  int threads;
};

}  // namespace rmeeto

RM_KERNEL(norm_forward, rmeeto::NormArgs)
RM_KERNEL(norm_backward, rmeeto::NormGradArgs)
