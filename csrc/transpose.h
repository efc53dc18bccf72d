// Squares of W by W floats turned over, for matrices that the kernels want column by column.
#pragma once
#include "simd.h"

namespace RM_NS {

// [a0 b0 a1 b1 …], its first and its second half
RM_INLINE void interleave(vf a, vf b, vf& first, vf& second) {
#if defined(__AVX512F__)
  first = RM_PICK(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  second = RM_PICK(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif defined(__AVX2__)
  first = RM_PICK(a, b, 0, 8, 1, 9, 2, 10, 3, 11), second = RM_PICK(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
  first = RM_PICK(a, b, 0, 4, 1, 5), second = RM_PICK(a, b, 2, 6, 3, 7);
#endif
}

// W rows become W columns: each pass moves the highest bit of an element's row to the end of its place.
RM_INLINE void transpose(vf (&v)[W]) {
  RM_UNROLL
  for (int pass = 1; pass < W; pass *= 2) {
    vf next[W];
    RM_UNROLL
    for (int k = 0; k < W / 2; ++k) interleave(v[k], v[k + W / 2], next[2 * k], next[2 * k + 1]);
    RM_UNROLL
    for (int k = 0; k < W; ++k) v[k] = next[k];
  }
}

// The first n values of W rows that lie `row` floats apart, as n columns; rows from `rows` on are zeros.
RM_INLINE void load_columns(const float* from, long row, long rows, int n, vf (&v)[W]) {
  for (int i = 0; i < W; ++i)
    v[i] = i >= rows ? vf{} : n == W ? load(from + i * row) : load(from + i * row, n);
  transpose(v);
}

}  // namespace RM_NS
