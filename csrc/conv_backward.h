// Gradients of the convolution for one image's strip of channels.
#pragma once
#include "conv.h"
#include "conv_rows.h"

namespace RM_NS {

// The gradient of token j needs the output gradients of tokens j … j+K-1: it is written K-1 tokens
// late. `sums` receives this image's share of the gradients of taps and bias, laid out like taps.
// T is the type of x and its gradient, G that of the output's gradient.
template <class T, class G, int K, int V, bool Whole>
RM_INLINE void backward_strip(const rmeeto::ConvArgs& a, long b, long c0, int n, float* sums) {
  alignas(64) float taps[(K + 1) * V * W];
  pack_taps<K, V>(a.weight, a.bias, c0, n, taps);
  const long first = a.reverse ? a.length - 1 : 0, step = a.reverse ? -1 : 1;
  const T* x = static_cast<const T*>(a.x) + b * a.x_batch + first * a.x_row + c0;
  const G* grad = static_cast<const G*>(a.grad) + b * a.grad_batch + first * a.grad_row + c0;
  T* out = static_cast<T*>(a.out) + b * a.out_batch + first * a.out_row + c0;
  Window<K, V> seen, owed;
  vf total[K + 1][V] = {};
  for (long l = 0; l < a.length + K - 1; ++l) {
    const bool inside = l < a.length;
    fetch<V>(x, step * a.x_row), fetch<V>(grad, step * a.grad_row), fetch<V>(out, step * a.out_row);
    RM_UNROLL
    for (int v = 0; v < V; ++v) {
      vf g{};
      if (inside) {
        seen.push(get<Whole>(x, v, n), v);
        g = get<Whole>(grad, v, n);
        if (a.silu) {
          const vf pre = seen.filter(taps, v), gate = sigmoid(pre);
          g *= gate * (1.f + pre * (1.f - gate));
        }
        RM_UNROLL
        for (int k = 0; k < K; ++k) total[k][v] += g * seen.at[k][v];
        total[K][v] += g;
      }
      owed.push(g, v);
      if (l < K - 1) continue;
      vf paid{};
      RM_UNROLL
      for (int k = 0; k < K; ++k) paid += load(taps + (k * V + v) * W) * owed.at[K - 1 - k][v];
      put<Whole>(out, a.accumulate ? paid + get<Whole>(out, v, n) : paid, v, n);
    }
    if (inside) x += step * a.x_row, grad += step * a.grad_row;
    if (l >= K - 1) out += step * a.out_row;
  }
  for (int k = 0; k <= K; ++k)
    for (int v = 0; v < V; ++v) put<Whole>(sums + k * a.channels + c0, total[k][v], v, n);
}

}  // namespace RM_NS
