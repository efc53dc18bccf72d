// A whole Vision Mamba block without its gradient: norm, input projection, mixer, output projection, residual.
#pragma once
#include "mixer.h"

namespace rmeeto {

struct BlockArgs {
  MixerArgs mixer;        // its sizes, ways, projected and threads; the rest is set by the kernel
  const float* stream;    // (batch, length) rows of width values
  const float* norm;      // (width)
  const float* in_proj;   // (2 channels, width), contiguous
  const float* out_proj;  // (width, channels), contiguous
  float* out;             // (batch, length, width), contiguous: the stream after the block
  float* update;          // likewise, what was added to it; or null
  long width, stream_batch, stream_row;  // the last two are strides
  float eps, scale;       // of the norm; of the mixed tokens
};

}  // namespace rmeeto

RM_KERNEL(block_forward, rmeeto::BlockArgs)
