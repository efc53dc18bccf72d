// What a Vision Mamba block does between its projections, for whole images: both directions' convolution,
// SiLU, projections and scan, and the gate of their sum.
#pragma once
#include "isa.h"

namespace rmeeto {

// One direction's parameters, float and contiguous.
struct MixerWay {
  const float *taps, *conv_bias;  // (channels, taps), (channels)
  const float* x_proj;            // (rank + 2 states, channels)
  const float *dt_proj, *dt_bias;  // (channels, rank), (channels)
  const float *A_log, *D;         // (channels, states), (channels)
};

struct MixerArgs {
  const void* xz;     // (batch, length) rows of 2 channels values: input, then gate; float or (half) bf16
  MixerWay ways[2];   // from the first token to the last, and back
  void* out;          // (batch, length, channels), contiguous, of xz's type
  void* projected;    // (2, batch, length, rank + 2 states), likewise, or null
  long batch, length, channels, states, rank, taps;
  long xz_batch, xz_row;  // strides
  bool half;
  int threads;
  long out_batch = 0;  // stride; set by the kernel
};

// Gradients of one direction's parameters, laid out like them.
struct MixerWayGrad {
  float *taps, *conv_bias, *x_proj, *dt_proj, *dt_bias, *A_log, *D;
};

struct MixerGradArgs {
  MixerArgs forward;   // its output is not used; projected is read
  const void* grad;    // of the output, rows of channels values, of xz's type
  void* grad_xz;       // (batch, length, 2 channels), contiguous, likewise
  MixerWayGrad ways[2];
  long grad_batch, grad_row;  // strides
};

}  // namespace rmeeto

RM_KERNEL(mixer_forward, rmeeto::MixerArgs)
RM_KERNEL(mixer_backward, rmeeto::MixerGradArgs)
