// A row is read from memory once: the second pass over it finds it in the first-level cache.
#include "norm.h"

#include "norm_rows.h"
#include "parallel.h"

namespace RM_NS {
namespace {

constexpr long kChunk = 64;  // rows in a unit of work, and in one partial sum of the weight's gradient

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
      norm_row(x, residual, a.weight, a.width, a.eps, stream, out);
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
    const vf h = load_some(stream + c, n);
    squares += h * h;
    along += h * load_some(grad + c, n) * load_some(a.weight + c, n);
  });
  const float scale = scale_of(squares, a.width, a.eps);
  const float shared = hsum(along) * scale * scale / static_cast<float>(a.width);
  for_vectors(a.width, [&](long c, int n) {
    const vf h = load_some(stream + c, n), g = load_some(grad + c, n);
    store_some(grad_weight + c, load_some(grad_weight + c, n) + g * h * scale, n);
    const vf d = scale * (g * load_some(a.weight + c, n) - h * shared);
    store_some(out + c, above ? d + load_some(above + c, n) : d, n);
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
