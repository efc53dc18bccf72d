// The nearest target of every source: a matrix product that keeps one maximum a row and forgets the rest.
//
// Targets are scaled to unit length and packed into panels of two vectors, channel by channel; a tile of
// kRows sources runs along a panel with its products in registers. Every pair adds its channels in the
// same order wherever it lies in a tile, so equal rows get equal scores and ties go to the lower index.
#pragma once
#include "simd.h"
#include "tokens.h"
#include "transpose.h"

namespace RM_NS {
namespace {

using rmeeto::MatchArgs;

constexpr int kRows = W == 16 ? 8 : 6;  // sources in a tile: with two vectors of targets each,
constexpr int kCols = 2;                // the products fill the registers
constexpr float kTiny = 1e-12f;         // a row shorter than this counts as this long
constexpr float kNone = -__builtin_inff();

struct Scratch {  // of one image
  const float** rows;   // sources, the last repeated to fill a tile
  float *panels, *best, *inverse, *widened;
  std::int32_t *where, *free, *fixed;
  std::uint64_t* keys;
  long sources, targets;
};

RM_INLINE long round_up(long n, long to) { return (n + to - 1) / to * to; }

// Floats of scratch one image needs; also cuts `base` up when there is one.
long lay_out(const MatchArgs& a, float* base, Scratch* s) {
  const long sources = (a.free + 1) / 2, targets = a.free / 2, padded = round_up(sources, kRows);
  long used = 0;
  auto take = [&](long floats) {
    float* at = base ? base + used : nullptr;
    used += round_up(floats, 16);
    return at;
  };
  Scratch out;
  out.rows = reinterpret_cast<const float**>(take(2 * padded));
  out.keys = reinterpret_cast<std::uint64_t*>(take(2 * sources));
  out.panels = take(round_up(targets, W) * (a.width + 1));
  out.best = take(padded * W);
  out.where = reinterpret_cast<std::int32_t*>(take(padded * W));
  out.inverse = take(a.free);
  out.free = reinterpret_cast<std::int32_t*>(take(a.tokens));
  out.fixed = reinterpret_cast<std::int32_t*>(take(a.tokens));
  out.widened = a.half ? take(a.tokens * a.width) : nullptr;
  out.sources = sources, out.targets = targets;
  if (s) *s = out;
  return used;
}

float inverse_length(const float* x, long width) {
  vf even{}, odd{};
  long c = 0;
  for (; c + 2 * W <= width; c += 2 * W) {
    const vf a = load(x + c), b = load(x + c + W);
    even += a * a, odd += b * b;
  }
  float sum = hsum(even + odd);
  for (; c < width; ++c) sum += x[c] * x[c];
  const float length = __builtin_sqrtf(sum);
  return 1.f / (length > kTiny ? length : kTiny);
}

// One panel: a first row to start the sums from (0, or -inf where no target is), then the channels.
void pack(const float* const* rows, const float* inverse, long n, long width, long pitch,
          float* panel) {
  for (long j = 0; j < pitch; ++j) panel[j] = j < n ? 0.f : kNone;
  float* body = panel + pitch;
  for (long j = 0; j < pitch; j += W) {
    const float* row[W];
    vf scale{};
    for (int i = 0; i < W; ++i) {
      row[i] = rows[j + i < n ? j + i : 0];
      scale[i] = j + i < n ? inverse[j + i] : 0.f;
    }
    for (long c = 0; c < width; c += W) {
      const int wide = static_cast<int>(width - c < W ? width - c : W);
      vf v[W];
      for (int i = 0; i < W; ++i) v[i] = wide == W ? load(row[i] + c) : load(row[i] + c, wide);
      transpose(v);
      float* to = body + c * pitch + j;
      for (int i = 0; i < wide; ++i) store(to + i * pitch, v[i] * scale);
    }
  }
}

template <int R, int N>
RM_INLINE void tile(const float* const* rows, const float* panel, long width, float* best,
                    std::int32_t* where, int first) {
  const float* row[R];
  vf sum[R][N];
  for (int i = 0; i < R; ++i) {
    row[i] = rows[i];
    for (int j = 0; j < N; ++j) sum[i][j] = load(panel + j * W);
  }
  const float* p = panel + N * W;
  for (long c = 0; c < width; ++c, p += N * W) {
    vf target[N];
    for (int j = 0; j < N; ++j) target[j] = load(p + j * W);
    RM_UNROLL
    for (int i = 0; i < R; ++i)
      for (int j = 0; j < N; ++j) sum[i][j] += row[i][c] * target[j];
  }
  for (int i = 0; i < R; ++i) {
    vf top = load(best + i * W);
    vi at;
    std::memcpy(&at, where + i * W, sizeof at);
    for (int j = 0; j < N; ++j) {
      const vi better = sum[i][j] > top;
      top = select(better, sum[i][j], top);
      at = better ? vi{} + (first + j) : at;
    }
    store(best + i * W, top);
    std::memcpy(where + i * W, &at, sizeof at);
  }
}

// Sorts who takes part from who doesn't, and packs the targets.
void prepare(const MatchArgs& a, long b, const Scratch& s) {
  const std::uint8_t* fixed = a.fixed + b * a.fixed_batch;
  const float* base = s.widened;
  long pitch = a.width, free = 0, n_fixed = 0;
  if (a.half) {
    const bf16* half = static_cast<const bf16*>(a.features) + b * a.feature_batch;
    for (long n = 0; n < a.tokens; ++n)
      for (long c = 0; c < a.width; ++c)
        s.widened[n * a.width + c] = to_float(half[n * a.feature_row + c]);
  } else {
    base = static_cast<const float*>(a.features) + b * a.feature_batch;
    pitch = a.feature_row;
  }
  for (long n = 0; n < a.tokens; ++n)
    if (fixed[n])
      s.fixed[n_fixed++] = static_cast<std::int32_t>(n);
    else
      s.free[free++] = static_cast<std::int32_t>(n);
  for (long i = 0; i < free; ++i) s.inverse[i] = inverse_length(base + s.free[i] * pitch, a.width);
  for (long i = 0; i < round_up(s.sources, kRows); ++i)
    s.rows[i] = base + s.free[2 * (i < s.sources ? i : s.sources - 1)] * pitch;
  float* panel = s.panels;
  for (long j = 0; j < s.targets;) {
    const long left = s.targets - j, wide = left > W ? kCols * W : W, n = left < wide ? left : wide;
    const float* rows[kCols * W];
    float inverse[kCols * W];
    for (long i = 0; i < n; ++i) {
      rows[i] = base + s.free[2 * (j + i) + 1] * pitch;
      inverse[i] = s.inverse[2 * (j + i) + 1];
    }
    pack(rows, inverse, n, a.width, wide, panel);
    panel += wide * (a.width + 1);
    j += n;
  }
}

// The tiles of the sources from `begin` to `end` along one panel; the last one may be half as high.
template <int N>
RM_INLINE void tiles(const Scratch& s, long begin, long end, long width, const float* panel, long j) {
  const int first = static_cast<int>(j / W);
  for (long i = begin; i < end; i += kRows) {
    float* best = s.best + i * W;
    std::int32_t* where = s.where + i * W;
    if (s.sources - i > kRows / 2)
      tile<kRows, N>(s.rows + i, panel, width, best, where, first);
    else
      tile<kRows / 2, N>(s.rows + i, panel, width, best, where, first);
  }
}

// Nearest target of the sources from `begin` to `end`, multiples of kRows.
void nearest(const MatchArgs& a, const Scratch& s, long begin, long end) {
  for (long i = begin * W; i < end * W; ++i) s.best[i] = kNone, s.where[i] = 0;
  const float* panel = s.panels;
  for (long j = 0; j < s.targets;) {
    const long wide = s.targets - j > W ? kCols * W : W;
    if (wide > W)
      tiles<kCols>(s, begin, end, a.width, panel, j);
    else
      tiles<1>(s, begin, end, a.width, panel, j);
    panel += wide * (a.width + 1);
    j += wide;
  }
}

}  // namespace
}  // namespace RM_NS
