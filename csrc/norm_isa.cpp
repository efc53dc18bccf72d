// A row is read from memory once: the second pass over it finds it in the first-level cache.
#include "norm.h"

#include "parallel.h"
#include "simd.h"

namespace RM_NS {
namespace {

constexpr long kChunk = 64;  // rows in a unit of work, and in one partial sum of the weight's gradient

// Calls body(column, n) for each vector of a row; only the last may have n < W.
template <class Body>
RM_INLINE void for_vectors(long width, const Body& body) {
  long c = 0;
  for (; c + W <= width; c += W) body(c, int{W});
  if (c < width) body(c, static_cast<int>(width - c));
}
template <class T>
RM_INLINE vf get(const T* p, int n) {
  return n == W ? load(p) : load(p, n);
}
template <class T>
RM_INLINE void put(T* p, vf v, int n) {
  if (n == W)
    store(p, v);
  else
    store(p, v, n);
}

RM_INLINE float scale_of(vf squares, long width, float eps) {
  return 1.f / __builtin_sqrtf(hsum(squares) / static_cast<float>(width) + eps);
}

template <class In, class Out>
void forward(const rmeeto::NormArgs& a) {
  const long units = (a.rows + kChunk - 1) / kChunk;
  const int threads = worth_threads(a.threads, 0.2 * a.rows * a.width);
  parallel_for(units, threads, [&](long unit, int) {
    FlushToZero flush;
    const long end = (unit + 1) * kChunk < a.rows ? (unit + 1) * kChunk : a.rows;
    for (long row = unit * kChunk; row < end; ++row) {
      const In* x = static_cast<const In*>(a.x) + row * a.x_row;
      const float* residual = a.residual ? a.residual + row * a.residual_row : nullptr;
      float* stream = a.stream ? a.stream + row * a.width : nullptr;
      Out* out = static_cast<Out*>(a.out) + row * a.width;
      vf squares{};
      for_vectors(a.width, [&](long c, int n) {
        vf h = get(x + c, n);
        if (residual) {
          h += get(residual + c, n);
          put(stream + c, h, n);
        }
        squares += h * h;
      });
      const float scale = scale_of(squares, a.width, a.eps);
      for_vectors(a.width, [&](long c, int n) {
        const vf h = residual ? get(stream + c, n) : get(x + c, n);
        put(out + c, h * scale * get(a.weight + c, n), n);
      });
    }
  });
}

// d stream = scale · (g·w − u · mean(g·w·u)) + d stream from above, with u = stream · scale.
template <class T>
RM_INLINE void backward_row(const rmeeto::NormGradArgs& a, long row, float* grad_weight) {
  const T* grad = static_cast<const T*>(a.grad) + row * a.width;
  const float* above = a.grad_stream ? a.grad_stream + row * a.width : nullptr;
  const float* stream = a.stream + row * a.width;
  float* out = a.out + row * a.width;
  vf squares{}, along{};
  for_vectors(a.width, [&](long c, int n) {
    const vf h = get(stream + c, n);
    squares += h * h;
    along += h * get(grad + c, n) * get(a.weight + c, n);
  });
  const float scale = scale_of(squares, a.width, a.eps);
  const float shared = hsum(along) * scale * scale / static_cast<float>(a.width);
  for_vectors(a.width, [&](long c, int n) {
    const vf h = get(stream + c, n), g = get(grad + c, n);
    put(grad_weight + c, get(grad_weight + c, n) + g * h * scale, n);
    const vf d = scale * (g * get(a.weight + c, n) - h * shared);
    put(out + c, above ? d + get(above + c, n) : d, n);
  });
}

template <class T>
void backward(const rmeeto::NormGradArgs& a) {
  const long units = (a.rows + kChunk - 1) / kChunk;
  float* partial = rmeeto::arena(units * a.width);
  const int threads = worth_threads(a.threads, 0.5 * a.rows * a.width);
  parallel_for(units, threads, [&](long unit, int) {
    FlushToZero flush;
    const long end = (unit + 1) * kChunk < a.rows ? (unit + 1) * kChunk : a.rows;
    float* sums = partial + unit * a.width;
    for (long c = 0; c < a.width; ++c) sums[c] = 0;
    for (long row = unit * kChunk; row < end; ++row) backward_row<T>(a, row, sums);
  });
  for (long c = 0; c < a.width; ++c) a.grad_weight[c] = 0;
  for (long unit = 0; unit < units; ++unit)
    for (long c = 0; c < a.width; ++c) a.grad_weight[c] += partial[unit * a.width + c];
}

}  // namespace

void norm_forward(const rmeeto::NormArgs& a) {
  if (a.half_in) return a.half_out ? forward<bf16, bf16>(a) : forward<bf16, float>(a);
  return a.half_out ? forward<float, bf16>(a) : forward<float, float>(a);
}

void norm_backward(const rmeeto::NormGradArgs& a) {
  return a.half ? backward<bf16>(a) : backward<float>(a);
}

}  // namespace RM_NS
