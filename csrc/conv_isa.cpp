// A unit of work is one image times a strip of V vectors of channels, walked along the tokens once:
// the last taps stay in registers. Scanning in reverse is walking from the last token to the first.
#include "conv.h"

#include "conv_backward.h"
#include "parallel.h"

namespace RM_NS {
namespace {

using rmeeto::ConvArgs;

template <class T, int K, int V, bool Whole>
RM_INLINE void forward_strip(const ConvArgs& a, long b, long c0, int n) {
  alignas(64) float taps[(K + 1) * V * W];
  pack_taps<K, V>(a.weight, a.bias, c0, n, taps);
  const long first = a.reverse ? a.length - 1 : 0, step = a.reverse ? -1 : 1;
  const T* x = static_cast<const T*>(a.x) + b * a.x_batch + first * a.x_row + c0;
  T* out = static_cast<T*>(a.out) + b * a.out_batch + first * a.out_row + c0;
  Window<K, V> seen;
  for (long l = 0; l < a.length; ++l, x += step * a.x_row, out += step * a.out_row) {
    fetch<V>(x, step * a.x_row);
    RM_UNROLL
    for (int v = 0; v < V; ++v) {
      seen.push(get<Whole>(x, v, n), v);
      const vf sum = seen.filter(taps, v);
      put<Whole>(out, a.silu ? sum * sigmoid(sum) : sum, v, n);
    }
  }
}

// Calls whole(b, c0) for full strips and part(b, c0, n) for the vectors of the last one.
template <int V, class Whole, class Part>
RM_INLINE void for_strips(const ConvArgs& a, double nanoseconds, const Whole& whole,
                          const Part& part) {
  const long wide = V * W, strips = (a.channels + wide - 1) / wide;
  const int threads = worth_threads(a.threads, nanoseconds * a.batch * a.length * a.channels);
  const auto strip = [&](long b, long c0) {
    FlushToZero flush;
    if (c0 + wide <= a.channels) return whole(b, c0);
    for (; c0 < a.channels; c0 += W)
      part(b, c0, static_cast<int>(a.channels < c0 + W ? a.channels - c0 : long{W}));
  };
  // Threads that write neighbouring strips of one row pass its cache lines to and fro: they share
  // an image only where there are too few images.
  const bool shared = a.batch < 2 * threads;
  parallel_for(shared ? a.batch * strips : a.batch, threads, [&](long unit, int) {
    if (shared) return strip(unit / strips, unit % strips * wide);
    for (long i = 0; i < strips; ++i) strip(unit, i * wide);
  });
}

template <class T, int K>
void forward(const ConvArgs& a) {
  for_strips<kForwardStrip>(
      a, 1.0,
      [&](long b, long c0) { forward_strip<T, K, kForwardStrip, true>(a, b, c0, kForwardStrip * W); },
      [&](long b, long c0, int n) { forward_strip<T, K, 1, false>(a, b, c0, n); });
}

template <class T, int K>
void backward(const ConvArgs& a) {
  const long image = (K + 1) * a.channels;
  float* sums = rmeeto::arena(a.batch * image);
  for_strips<kBackwardStrip>(
      a, 1.7,
      [&](long b, long c0) {
        backward_strip<T, T, K, kBackwardStrip, true>(a, b, c0, kBackwardStrip * W, sums + b * image);
      },
      [&](long b, long c0, int n) {
        backward_strip<T, T, K, 1, false>(a, b, c0, n, sums + b * image);
      });
  for (long b = 1; b < a.batch; ++b)
    for (long i = 0; i < image; ++i) sums[i] += sums[b * image + i];
  for (long c = 0; c < a.channels; ++c) {
    for (int k = 0; k < K; ++k) a.grad_taps[c * K + k] = a.batch ? sums[k * a.channels + c] : 0.f;
    a.grad_bias[c] = a.batch ? sums[K * a.channels + c] : 0.f;
  }
}

}  // namespace

void conv_forward(const ConvArgs& a) {
  switch (a.taps) {
    case 2: return a.half ? forward<bf16, 2>(a) : forward<float, 2>(a);
    case 3: return a.half ? forward<bf16, 3>(a) : forward<float, 3>(a);
    default: return a.half ? forward<bf16, 4>(a) : forward<float, 4>(a);
  }
}

void conv_backward(const ConvArgs& a) {
  switch (a.taps) {
    case 2: return a.half ? backward<bf16, 2>(a) : backward<float, 2>(a);
    case 3: return a.half ? backward<bf16, 3>(a) : backward<float, 3>(a);
    default: return a.half ? backward<bf16, 4>(a) : backward<float, 4>(a);
  }
}

}  // namespace RM_NS
