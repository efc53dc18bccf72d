// Gradients of one direction's parameters: sums over a group of images, and how they are handed out.
#pragma once
#include "mixer_rows.h"

namespace RM_NS {

using rmeeto::MixerWayGrad;

RM_INLINE void add_floats(float* to, const float* from, long floats) {
  for (long i = 0; i < floats; ++i) to[i] += from[i];
}

// Everything in one block of memory, so that groups are added up by one loop. Rows of the projections
// have whole vectors of channels, of which those that don't exist hold anything.
struct WaySums {
  float *x_proj, *dt_proj;  // (rank + 2 states, width), (rank, width)
  float *scan;              // A (channels, states), D, dt_bias, as the scan leaves them
  float* conv;              // (taps + 1, channels), the bias last
  long floats;
  WaySums(const MixerArgs& a, const MixerCut& c, float* p) {
    const long width = c.blocks * W;
    x_proj = p, dt_proj = x_proj + c.columns * width, scan = dt_proj + a.rank * width;
    conv = scan + a.channels * (a.states + 2);
    floats = ceil_div(c.columns * width + a.rank * width + a.channels * (a.states + 3 + a.taps), 16) * 16;
  }
};

static inline void deliver_way(const MixerArgs& a, const MixerCut& c, const MixerWay& way, const WaySums& s,
                               const MixerWayGrad& to) {
  const long width = c.blocks * W, matrix = a.channels * a.states;
  for (long n = 0; n < c.columns; ++n)
    std::memcpy(to.x_proj + n * a.channels, s.x_proj + n * width, sizeof(float) * a.channels);
  for (long d = 0; d < a.channels; ++d) {
    for (long r = 0; r < a.rank; ++r) to.dt_proj[d * a.rank + r] = s.dt_proj[r * width + d];
    for (long k = 0; k < a.taps; ++k) to.taps[d * a.taps + k] = s.conv[k * a.channels + d];
  }
  for (long i = 0; i < matrix; i += W) {  // A = -exp(A_log) is its own derivative
    const int n = static_cast<int>(smaller(W, matrix - i));
    store(to.A_log + i, load(s.scan + i, n) * -exp(load(way.A_log + i, n)), n);
  }
  std::memcpy(to.D, s.scan + matrix, sizeof(float) * a.channels);
  std::memcpy(to.dt_bias, s.scan + matrix + a.channels, sizeof(float) * a.channels);
  std::memcpy(to.conv_bias, s.conv + a.taps * a.channels, sizeof(float) * a.channels);
}

}  // namespace RM_NS
