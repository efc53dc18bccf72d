// Products of few columns: rows of activations times a packed matrix, whose columns stay in registers.
#pragma once
#include "simd.h"

namespace RM_NS {

// A packed matrix is cut into panels of at most kPanel vectors of columns; each is [k][vectors][W].
constexpr int kPanel = W == 16 ? 4 : 3;
constexpr long kTallest = 8;  // rows worked on together, at most

// With these, sums and operands just fit the registers, and there are enough sums to hide the latency.
template <int V>
struct Tall {
  static constexpr int rows = W == 16 ? (V == 4 ? 4 : 8) : (V == 1 ? 8 : 4);
};

// Vectors of the panel that starts at vector `first` of `all`: panels are about equally wide.
RM_INLINE long panel_width(long first, long all) {
  const long left = all - first, panels = (left + kPanel - 1) / kPanel;
  return (left + panels - 1) / panels;
}

// (columns, depth) rows of floats → panels, zero in the columns that are not there.
static inline void pack_panels(const float* from, long columns, long depth, float* to) {
  const long all = (columns + W - 1) / W;
  for (long first = 0, wide; first < all; first += wide, to += wide * W * depth) {
    wide = panel_width(first, all);
    for (long k0 = 0; k0 < depth; k0 += W)  // a line of every column at a time
      for (long c = 0; c < wide * W; ++c) {
        const long column = first * W + c, last = k0 + W < depth ? k0 + W : depth;
        for (long k = k0; k < last; ++k)
          to[k * wide * W + c] = column < columns ? from[column * depth + k] : 0.f;
      }
  }
}

// sum[i] += Σ_k left[i * row + k] right[k] for `depth` values of k.
template <int R, int V>
RM_INLINE void accumulate(long depth, const float* left, long row, const float* right, vf (&sum)[R][V]) {
  for (long k = 0; k < depth; ++k, right += V * W) {
    vf columns[V];
    RM_UNROLL
    for (int v = 0; v < V; ++v) columns[v] = load(right + v * W);
    RM_UNROLL
    for (int i = 0; i < R; ++i) {
      const vf value = set1(left[i * row + k]);
      RM_UNROLL
      for (int v = 0; v < V; ++v) sum[i][v] += value * columns[v];
    }
  }
}

// Left factor of a product: `depth` values a row in blocks of W, value k of row t at
// data[k / W * block + t * W + k % W].
struct Blocked {
  const float* data;
  long block, depth;
};

// Rows 0 … rows-1 of left · panel, and up to kTallest-1 more, whose memory must be there.
template <int V>
static void multiply_panel(long rows, Blocked left, const float* panel, float* to, long to_row) {
  constexpr int R = Tall<V>::rows;
  for (long t = 0; t < rows; t += R) {
    vf sum[R][V] = {};
    const float *from = left.data + t * W, *right = panel;
    long depth = left.depth;
    for (; depth > W; depth -= W, from += left.block, right += W * V * W)
      accumulate<R, V>(W, from, W, right, sum);
    accumulate<R, V>(depth, from, W, right, sum);
    RM_UNROLL
    for (int i = 0; i < R; ++i) {
      RM_UNROLL
      for (int v = 0; v < V; ++v) store(to + (t + i) * to_row + v * W, sum[i][v]);
    }
  }
}

// left · packed into rows of whole vectors of columns.
static inline void multiply(long rows, Blocked left, const float* packed, long columns, float* to) {
  const long all = (columns + W - 1) / W;
  for (long first = 0, wide; first < all; first += wide, packed += wide * W * left.depth) {
    wide = panel_width(first, all);
    switch (wide) {
      case 1: multiply_panel<1>(rows, left, packed, to + first * W, all * W); break;
      case 2: multiply_panel<2>(rows, left, packed, to + first * W, all * W); break;
#if defined(__AVX512F__)
      case 4: multiply_panel<4>(rows, left, packed, to + first * W, all * W); break;
#endif
      default: multiply_panel<3>(rows, left, packed, to + first * W, all * W);
    }
  }
}

// One vector of columns plus a constant: rows of `depth` values, `row` floats apart, times [k][W].
static inline void multiply_column(long rows, const float* left, long row, long depth, const float* right,
                                   vf plus, float* to) {
  for (long t = 0; t < rows; t += kTallest) {
    vf sum[kTallest][1];
    RM_UNROLL
    for (int i = 0; i < kTallest; ++i) sum[i][0] = plus;
    accumulate<kTallest, 1>(depth, left + t * row, row, right, sum);
    RM_UNROLL
    for (int i = 0; i < kTallest; ++i) store(to + (t + i) * W, sum[i][0]);
  }
}

}  // namespace RM_NS
