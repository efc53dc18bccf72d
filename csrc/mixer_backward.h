// What the mixer's backward pass works on: parameters as it reads them, a thread's scratch, rows of an image.
#pragma once
#include "mixer_rows.h"
#include "scan_unit.h"

namespace RM_NS {

using rmeeto::MixerGradArgs;

// One direction's parameters for the backward pass.
struct BackWeights {
  MixerWeights packed;
  float *x_rows, *dt_panels;  // (rank + 2 states, width); (channels, rank) as panels
  static long floats(const MixerArgs& a, const MixerCut& c) {
    const long width = c.blocks * W;
    return ceil_div(MixerWeights::floats(a, c) + c.columns * width + a.channels * c.padded, 16) * 16;
  }
};

static inline BackWeights pack_back(const MixerArgs& a, const MixerCut& c, const MixerWay& way, float* p) {
  const long width = c.blocks * W;
  BackWeights to{pack_way(a, c, way, p), p + MixerWeights::floats(a, c), nullptr};
  to.dt_panels = to.x_rows + c.columns * width;
  std::memset(to.x_rows, 0, sizeof(float) * c.columns * width);
  for (long n = 0; n < c.columns; ++n)
    std::memcpy(to.x_rows + n * width, way.x_proj + n * a.channels, sizeof(float) * a.channels);
  // Panels are packed from columns: those of dt_proj lie `rank` apart.
  const long all = ceil_div(a.rank, W);
  float* panel = to.dt_panels;
  for (long first = 0, wide; first < all; first += wide, panel += wide * W * a.channels) {
    wide = panel_width(first, all, a.channels);
    for (long d = 0; d < a.channels; ++d)
      for (long r = 0; r < wide * W; ++r)
        panel[d * wide * W + r] =
            first * W + r < a.rank ? way.dt_proj[d * a.rank + first * W + r] : 0.f;
  }
  return to;
}

struct Backward {
  const MixerGradArgs& a;
  const MixerArgs& f;
  const MixerCut& c;
  Stretches stretches;
  BackWeights weights[2];
};

// One thread's scratch: rows of activations of one image in the order of a direction.
struct BackScratch {
  float *u, *delta, *du;   // (length, width); delta becomes its own gradient
  float *low, *d_low;      // (dt, B, C) and their gradient, (length, padded)
  float *weight, *dB, *dC, *conv, *scan;
  long floats;
  BackScratch(const MixerArgs& a, const MixerCut& c, const Stretches& stretches, float* p) {
    const float* const start = p;
    const auto take = [&p](long floats) { return (p += ceil_div(floats, 16) * 16) - ceil_div(floats, 16) * 16; };
    const long rows = ceil_div(a.length, kTallest) * kTallest, wide = rows * c.blocks * W;
    u = take(wide), delta = take(wide), du = take(wide);
    low = take(rows * c.padded), d_low = take(rows * c.padded);
    weight = take(a.channels * (a.states + 2)), conv = take(a.channels * (a.taps + 1));
    dB = take(c.cut.units * a.length * a.states), dC = take(c.cut.units * a.length * a.states);
    scan = p;
    p = BackwardScratch(p, c.cut, c.size, stretches).end;
    floats = ceil_div(p - start, 32) * 32;
  }
};

// Rows of one image in the order of a direction.
static inline Rows directed(const void* data, long image, long batch, long row, long length, int way, bool half) {
  const long at = image * batch + (way ? (length - 1) * row : 0);
  return {(char*)data + at * (half ? 2 : 4), 0, way ? -row : row, half ? rmeeto::kBf16 : rmeeto::kFloat};
}

template <class T>
static inline void read_low(const Backward& m, int way, long image, float* low) {
  const MixerArgs& f = m.f;
  const long columns = m.c.columns, row = way ? -columns : columns;
  const T* from = static_cast<const T*>(f.projected) + (way * f.batch + image) * f.length * columns;
  if (way) from += (f.length - 1) * columns;
  for (long t = 0; t < f.length; ++t, from += row, low += m.c.padded)
    for (long i = 0; i < columns; i += W)
      store(low + i, load(from + i, static_cast<int>(smaller(W, columns - i))));
}

}  // namespace RM_NS
