// Products of few columns: rows of activations times a packed matrix, whose columns stay in registers.
#pragma once
#include "simd.h"
#include "transpose.h"

namespace RM_NS {

// A packed matrix is cut into panels of at most kPanel vectors of columns; each is [k][vectors][W].
constexpr int kPanel = W == 16 ? 4 : 3;
constexpr long kTallest = 8;  // rows worked on together, at most

// With these, sums and operands just fit the registers, and there are enough sums to hide the latency.
template <int V>
struct Tall {
  static constexpr int rows = W == 16 ? (V == 4 ? 4 : 8) : (V == 1 ? 8 : 4);
};

// Vectors of the panel that starts at vector `first` of `all`: panels are about equally wide, and narrower
// where they are so deep that the first-level cache would not hold them.
RM_INLINE long panel_width(long first, long all, long depth) {
  const long most = depth > 160 && kPanel > 3 ? 3 : kPanel;
  const long left = all - first, panels = (left + most - 1) / most;
  return (left + panels - 1) / panels;
}

// Rows k_first … k_last-1 (from a multiple of W) of the panels of (columns, depth) rows of floats; zero in the
// columns that are not there.
static inline void pack_panels(const float* from, long columns, long depth, float* to, long k_first, long k_last) {
  const long all = (columns + W - 1) / W;
  for (long first = 0, wide; first < all; first += wide, to += wide * W * depth) {
    wide = panel_width(first, all, depth);
    for (long k0 = k_first; k0 < k_last; k0 += W)  // a line of every column at a time
      for (long v = 0; v < wide; ++v) {
        const long column = (first + v) * W;
        const int n = static_cast<int>(k_last - k0 < W ? k_last - k0 : W);
        vf lines[W];
        load_columns(from + column * depth + k0, depth, columns - column, n, lines);
        for (int k = 0; k < n; ++k) store(to + ((k0 + k) * wide + v) * W, lines[k]);
      }
  }
}

// sum[i] += Σ_k left[i * row + k * step] right[k * right_step] for `depth` values of k.
template <int R, int V>
RM_INLINE void accumulate(long depth, const float* left, long row, long step, const float* right,
                          long right_step, vf (&sum)[R][V]) {
  for (long k = 0; k < depth; ++k, left += step, right += right_step) {
    vf columns[V];
    RM_UNROLL
    for (int v = 0; v < V; ++v) columns[v] = load(right + v * W);
    RM_UNROLL
    for (int i = 0; i < R; ++i) {
      const vf value = set1(left[i * row]);
      RM_UNROLL
      for (int v = 0; v < V; ++v) sum[i][v] += value * columns[v];
    }
  }
}

// Left factor of a product: `depth` values a row in blocks of W, value k of row t at
// data[k / W * block + t * row + k % W].
struct Blocked {
  const float* data;
  long block, row, depth;
};

// Rows 0 … rows-1 of left · panel, and up to kTallest-1 more, whose memory must be there.
template <int V>
static void multiply_panel(long rows, Blocked left, const float* panel, float* to, long to_row) {
  constexpr int R = Tall<V>::rows;
  for (long t = 0; t < rows; t += R) {
    vf sum[R][V] = {};
    const float *from = left.data + t * left.row, *right = panel;
    long depth = left.depth;
    for (; depth > W; depth -= W, from += left.block, right += W * V * W)
      accumulate<R, V>(W, from, left.row, 1, right, V * W, sum);
    accumulate<R, V>(depth, from, left.row, 1, right, V * W, sum);
    RM_UNROLL
    for (int i = 0; i < R; ++i) {
      RM_UNROLL
      for (int v = 0; v < V; ++v) store(to + (t + i) * to_row + v * W, sum[i][v]);
    }
  }
}

// left · packed into rows of whole vectors of columns.
static inline void multiply(long rows, Blocked left, const float* packed, long columns, float* to,
                            long to_row) {
  const long all = (columns + W - 1) / W;
  for (long first = 0, wide; first < all; first += wide, packed += wide * W * left.depth) {
    wide = panel_width(first, all, left.depth);
    switch (wide) {
      case 1: multiply_panel<1>(rows, left, packed, to + first * W, to_row); break;
      case 2: multiply_panel<2>(rows, left, packed, to + first * W, to_row); break;
#if defined(__AVX512F__)
      case 4: multiply_panel<4>(rows, left, packed, to + first * W, to_row); break;
#endif
      default: multiply_panel<3>(rows, left, packed, to + first * W, to_row);
    }
  }
}

// One vector of columns plus a constant: rows of `depth` values, `row` floats apart, times [k][W].
static inline void multiply_column(long rows, const float* left, long row, long depth, const float* right,
                                   vf plus, float* to, long to_row) {
  for (long t = 0; t < rows; t += kTallest) {
    vf sum[kTallest][1];
    RM_UNROLL
    for (int i = 0; i < kTallest; ++i) sum[i][0] = plus;
    accumulate<kTallest, 1>(depth, left + t * row, row, 1, right, W, sum);
    RM_UNROLL
    for (int i = 0; i < kTallest; ++i) store(to + (t + i) * to_row, sum[i][0]);
  }
}

// Columns of a plain matrix are taken two vectors at a time: enough sums, few registers.
constexpr int kPlain = 2, kPlainRows = W == 16 ? 8 : 4;

// to += Σ_k left[i * row + k * step] right[k] for R rows i and V vectors.
template <int R, int V>
RM_INLINE void add_tile(long depth, const float* left, long row, long step, const float* right,
                        long right_row, float* to, long to_row) {
  vf sum[R][V];
  RM_UNROLL
  for (int i = 0; i < R; ++i) {
    RM_UNROLL
    for (int v = 0; v < V; ++v) sum[i][v] = load(to + i * to_row + v * W);
  }
  accumulate<R, V>(depth, left, row, step, right, right_row, sum);
  RM_UNROLL
  for (int i = 0; i < R; ++i) {
    RM_UNROLL
    for (int v = 0; v < V; ++v) store(to + i * to_row + v * W, sum[i][v]);
  }
}

template <int V>
static void add_strip(long rows, long depth, const float* left, long row, long step, const float* right,
                      float* to, long width) {
  long i = 0;
  for (; i + kPlainRows <= rows; i += kPlainRows)
    add_tile<kPlainRows, V>(depth, left + i * row, row, step, right, width, to + i * width, width);
  for (; i < rows; ++i) add_tile<1, V>(depth, left + i * row, row, step, right, width, to + i * width, width);
}

// to (rows, width) += left · right (depth, width), width of whole vectors; value k of the left factor's row
// i lies at left[i * row + k * step].
static inline void add_product(long rows, long depth, const float* left, long row, long step,
                               const float* right, float* to, long width) {
  long c = 0;
  for (; c + kPlain * W <= width; c += kPlain * W)
    add_strip<kPlain>(rows, depth, left, row, step, right + c, to + c, width);
  if (c < width) add_strip<1>(rows, depth, left, row, step, right + c, to + c, width);
}

}  // namespace RM_NS
