// The steps of the mixer for a stretch of an image: convolution, projection, scan. Their results lie in
// blocks of W channels, [block][token][W], float whatever the type of the images.
#pragma once
#include "conv_rows.h"
#include "mixer.h"
#include "scan_forward.h"
#include "small_gemm.h"

namespace RM_NS {

using rmeeto::MixerArgs;
using rmeeto::MixerWay;

const long kStretch = kForwardSteps;  // tokens that pass through all steps while they are in the cache

// How the arguments are cut; units of the scan are an image times some blocks.
struct MixerCut {
  ScanSizes size;
  Cut cut;
  long blocks, columns, padded, stretches;
  MixerCut(const MixerArgs& a, long channels_per_unit)
      : size{a.batch, a.length, a.channels, a.states, 1}, cut(size, channels_per_unit),
        blocks(cut.group_blocks), columns(a.rank + 2 * a.states), padded(ceil_div(columns, W) * W),
        stretches(ceil_div(a.length, kStretch)) {}
  long convolved() const { return blocks * kStretch * W; }  // floats of a stretch
  long projected() const { return kStretch * padded; }
};

// One direction's parameters as the inner loops read them.
struct MixerWeights {
  float *taps, *x_proj, *dt_proj, *A;
  static long floats(const MixerArgs& a, const MixerCut& c) {
    return c.blocks * W * (a.taps + 1 + a.rank + a.states) + a.channels * c.padded;
  }
};

template <int K>
static inline void pack_all_taps(const MixerWay& way, long channels, float* to) {
  constexpr int V = kForwardStrip;
  long c = 0;
  for (; c + V * W <= channels; c += V * W) pack_taps<K, V>(way.taps, way.conv_bias, c, V * W, to + c * (K + 1));
  for (; c < channels; c += W) pack_taps<K, 1>(way.taps, way.conv_bias, c, channels - c, to + c * (K + 1));
}

static inline MixerWeights pack_way(const MixerArgs& a, const MixerCut& c, const MixerWay& way, float* p) {
  const long lanes = c.blocks * W;
  const MixerWeights to{p + a.channels * c.padded + lanes * (a.rank + a.states), p,
                        p + a.channels * c.padded + lanes * a.states, p + a.channels * c.padded};
  a.taps == 2   ? pack_all_taps<2>(way, a.channels, to.taps)
  : a.taps == 3 ? pack_all_taps<3>(way, a.channels, to.taps)
                : pack_all_taps<4>(way, a.channels, to.taps);
  pack_panels(way.x_proj, c.columns, a.channels, to.x_proj, 0, a.channels);
  ScanSizes size = c.size;
  pack(way.A_log, 1.f, c.cut, size, to.A);
  for (long i = 0; i < lanes * a.states; i += W) store(to.A + i, -kLog2E * exp(load(to.A + i)));
  size.states = a.rank;
  pack(way.dt_proj, 1.f, c.cut, size, to.dt_proj);
  return to;
}

// Tokens of one image in the order of a direction.
template <class T>
struct Tokens {
  const T* first;
  long row;
};

// Where channels go: vector v of token t at data + v * block + t * row.
struct Vectors {
  float* data;
  long block, row;
};

template <class T, int K, int V, bool Whole>
RM_INLINE void convolve_strip(Tokens<T> x, long t0, long steps, int n, const float* taps, Vectors u) {
  const T* from = x.first + t0 * x.row;
  Window<K, V> seen;
  RM_UNROLL
  for (int k = K - 1; k > 0; --k)
    if (t0 >= k) {
      RM_UNROLL
      for (int v = 0; v < V; ++v) seen.push(get<Whole>(from - k * x.row, v, n), v);
    }
  for (long t = 0; t < steps; ++t, from += x.row) {
    fetch<V>(from, x.row);
    RM_UNROLL
    for (int v = 0; v < V; ++v) {
      seen.push(get<Whole>(from, v, n), v);
      const vf sum = seen.filter(taps, v);
      store(u.data + v * u.block + t * u.row, sum * sigmoid(sum));
    }
  }
}

template <class T, int K>
static void convolve(Tokens<T> x, long t0, long steps, long channels, const float* taps, Vectors u) {
  constexpr int V = kForwardStrip;
  long c = 0;
  for (; c + V * W <= channels; c += V * W, u.data += V * u.block) {
    const Tokens<T> strip{x.first + c, x.row};
    convolve_strip<T, K, V, true>(strip, t0, steps, V * W, taps + c * (K + 1), u);
  }
  for (; c < channels; c += W, u.data += u.block) {
    const Tokens<T> strip{x.first + c, x.row};
    const int n = static_cast<int>(smaller(W, channels - c));
    convolve_strip<T, K, 1, false>(strip, t0, steps, n, taps + c * (K + 1), u);
  }
}

// Rounds a stretch of (dt, B, C) to the images' type, and keeps it there if that is asked for.
template <class T>
static void deliver(long steps, const MixerCut& c, float* rows, T* to, long to_row) {
  for (long t = 0; t < steps; ++t, rows += c.padded)
    for (long i = 0; i < c.columns; i += W) {
      const vf value = load(rows + i);
      if (sizeof(T) == 2) store(rows + i, widen(narrow(value)));
      if (to) store(to + t * to_row + i, value, static_cast<int>(smaller(W, c.columns - i)));
    }
}

// dt, dt u and what the output starts with: the skip, and for the way back what the way ahead left.
static inline void prepare_block(long steps, vf skip, const float* u, const float* before,
                                 const ForwardScratch& s) {
  for (long t = 0; t < steps; ++t) {
    const vf x = load(u + t * W), dt = softplus(load(s.dt + t * W));
    store(s.dt + t * W, dt);
    store(s.dx + t * W, dt * x);
    store(s.y + t * W, before ? skip * x + load(before - t * W) : skip * x);
  }
}

}  // namespace RM_NS
