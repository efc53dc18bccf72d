// What the convolution's own kernels and the mixer share: channels in strips, taps packed, a window of tokens.
#pragma once
#include "simd.h"

namespace RM_NS {

// V vectors of channels of which the first n channels exist (all of them when Whole).
template <bool Whole, class T>
RM_INLINE vf get(const T* p, int v, int n) {
  return Whole ? load(p + v * W) : load(p + v * W, n - v * W);
}
template <bool Whole, class T>
RM_INLINE void put(T* p, vf x, int v, int n) {
  if (Whole)
    store(p + v * W, x);
  else
    store(p + v * W, x, n - v * W);
}

// Tap k of channel c0 + c at [k * V * W + c], the bias as tap K, zero from the n-th channel on.
template <int K, int V>
RM_INLINE void pack_taps(const float* weight, const float* bias, long c0, long n, float* taps) {
  for (int c = 0; c < V * W; ++c) {
    const bool real = c < n;
    for (int k = 0; k < K; ++k) taps[k * V * W + c] = real ? weight[(c0 + c) * K + k] : 0.f;
    taps[K * V * W + c] = real && bias ? bias[c0 + c] : 0.f;
  }
}

// Rows lie too far apart for the hardware to foresee them: fetch some ahead.
constexpr long kAhead = 12;
template <int V, class T>
RM_INLINE void fetch(const T* row, long step) {
  RM_UNROLL
  for (int v = 0; v < V; ++v) __builtin_prefetch(row + kAhead * step + v * W);
}

template <int K, int V>
struct Window {  // the inputs of the last K-1 tokens and of this one, oldest first
  vf at[K][V] = {};

  __attribute__((always_inline)) inline vf push(vf now, int v) {
    RM_UNROLL
    for (int k = 0; k + 1 < K; ++k) at[k][v] = at[k + 1][v];
    return at[K - 1][v] = now;
  }
  __attribute__((always_inline)) inline vf filter(const float* taps, int v) const {
    vf sum = load(taps + (K * V + v) * W);
    RM_UNROLL
    for (int k = 0; k < K; ++k) sum += load(taps + (k * V + v) * W) * at[k][v];
    return sum;
  }
};

constexpr int kForwardStrip = W == 16 ? 4 : 2;   // vectors in a strip: what the registers hold
constexpr int kBackwardStrip = W == 16 ? 2 : 1;

}  // namespace RM_NS
