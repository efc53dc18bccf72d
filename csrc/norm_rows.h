// The norm of one row, as the norm's own kernels and whole blocks compute it.
#pragma once
#include "simd.h"

namespace RM_NS {

// Calls body(column, n) for each vector of a row; only the last may have n < W.
template <class Body>
RM_INLINE void for_vectors(long width, const Body& body) {
  long c = 0;
  for (; c + W <= width; c += W) body(c, int{W});
  if (c < width) body(c, static_cast<int>(width - c));
}
template <class T>
RM_INLINE vf load_some(const T* p, int n) {
  return n == W ? load(p) : load(p, n);
}
template <class T>
RM_INLINE void store_some(T* p, vf v, int n) {
  if (n == W)
    store(p, v);
  else
    store(p, v, n);
}

RM_INLINE float scale_of(vf squares, long width, float eps) {
  return 1.f / __builtin_sqrtf(hsum(squares) / static_cast<float>(width) + eps);
}

// out = h · weight / √(mean(h²) + eps) with h = x, or with h = residual + x, which goes to `stream` then.
template <class In, class Out>
RM_INLINE void norm_row(const In* x, const float* residual, const float* weight, long width, float eps,
                        float* stream, Out* out) {
  vf squares{};
  for_vectors(width, [&](long c, int n) {
    vf h = load_some(x + c, n);
    if (residual) {
      h += load_some(residual + c, n);
      store_some(stream + c, h, n);
    }
    squares += h * h;
  });
  const float scale = scale_of(squares, width, eps);
  for_vectors(width, [&](long c, int n) {
    const vf h = residual ? load_some(stream + c, n) : load_some(x + c, n);
    store_some(out + c, h * scale * load_some(weight + c, n), n);
  });
}

}  // namespace RM_NS
