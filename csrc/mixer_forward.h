// One image at a time passes through all steps in a thread's cache, a stretch of tokens after the other.
// Where images are too few for that, stretches are convolved and projected in parallel, then channels scanned.
#pragma once
#include "mixer_rows.h"
#include "parallel.h"

namespace RM_NS {

struct Mixer {
  const MixerArgs& a;
  const MixerCut& c;
  MixerWeights weights[2];
  ScanArgs gated;  // what the way back reads and writes besides the scan's own rows
};

// One thread's scratch: sum is what the way ahead left, [block][token][W].
struct MixerScratch {
  ForwardScratch rows;
  float *sum, *u, *projected;
  static long floats(const MixerCut& c) {
    const long rows = 3 * kStretch * W, channels = c.cut.blocks * W * (c.size.states + c.size.length);
    return rows + channels + c.convolved() + c.projected();
  }
  MixerScratch(const MixerCut& c, float* p) {
    const auto take = [&p](long floats) { return (p += floats) - floats; };
    const long row = kStretch * W, channels = c.cut.blocks * W;
    rows = {take(row), take(row), take(row), nullptr, nullptr, take(channels * c.size.states)};
    sum = take(channels * c.size.length);
    u = take(c.convolved()), projected = take(c.projected());
  }
};

// Both convolution and projection of one stretch.
template <class T, int K>
static void project(const Mixer& m, int way, long image, long t0, float* u, float* projected) {
  const MixerArgs& a = m.a;
  const long steps = smaller(kStretch, a.length - t0), last = a.length - 1;
  const T* x = static_cast<const T*>(a.xz) + image * a.xz_batch;
  const Tokens<T> tokens = {way ? x + last * a.xz_row : x, way ? -a.xz_row : a.xz_row};
  convolve<T, K>(tokens, t0, steps, a.channels, m.weights[way].taps, {u, kStretch * W, W});
  const Blocked left{u, kStretch * W, W, a.channels};
  multiply(steps, left, m.weights[way].x_proj, m.c.columns, projected, m.c.padded);
  if (!a.projected && sizeof(T) == 4) return;
  T* kept = static_cast<T*>(a.projected);
  const long row = way ? -m.c.columns : m.c.columns, token = way ? last - t0 : t0;
  if (kept) kept += ((way * a.batch + image) * a.length + token) * m.c.columns;
  deliver(steps, m.c, projected, kept, row);
}

// One direction of a unit's channels over one stretch.
static inline void scan_stretch(const Mixer& m, int way, const Unit& unit, long t0, const float* u,
                                const float* projected, const MixerScratch& s) {
  const MixerArgs& a = m.a;
  const MixerWay& given = a.ways[way];
  const MixerWeights& weights = m.weights[way];
  const long steps = smaller(kStretch, a.length - t0), tile = a.states * W;
  const Operand B{projected + a.rank, m.c.padded}, C{projected + a.rank + a.states, m.c.padded};
  if (t0 == 0) std::memset(s.rows.h, 0, sizeof(float) * (unit.last - unit.first) * tile);
  for (long k = unit.first; k < unit.last; ++k) {
    const Block block(m.c.cut, unit, k);
    float* sum = s.sum + (k - unit.first) * a.length * W;
    ForwardScratch rows = s.rows;
    rows.h += (k - unit.first) * tile;
    if (!way) rows.y = sum + t0 * W;
    multiply_column(steps, projected, m.c.padded, a.rank, weights.dt_proj + k * a.rank * W,
                    get(given.dt_bias, block), rows.dt, W);
    prepare_block(steps, get(given.D, block), u + k * kStretch * W,
                  way ? sum + (a.length - 1 - t0) * W : nullptr, rows);
    const Ahead ahead = way ? rows_ahead(m.gated, m.c.cut, unit, k, t0, steps, rows) : Ahead(rows.dt);
    advance_tiles<false, false>(steps, a.states, weights.A + k * tile, B, C, rows, rows.h, ahead);
    if (way) finish(m.gated, unit, block, t0, steps, rows);
  }
}

// What the mixer's own kernel does around the mixing: nothing. A whole block has its norm and projections there.
struct NoEnds {
  static constexpr bool kAround = false;
  long shared(long, int) const { return 0; }
  void place(MixerArgs&, float*, long, int) {}
  MixerArgs of(const MixerArgs& a, long) const { return a; }
  void enter(const MixerArgs&, long, long, long, int) const {}
  void leave(const MixerArgs&, long, long, long, int) const {}
};

static inline ScanArgs gated(const MixerArgs& a, const MixerCut& c) {
  const long bytes = a.half ? 2 : 4, last = a.length - 1;
  const int type = a.half ? rmeeto::kBf16 : rmeeto::kFloat;
  char* z = (char*)a.xz + (last * a.xz_row + a.channels) * bytes;
  char* out = static_cast<char*>(a.out) + last * a.channels * bytes;
  ScanArgs s{};
  s.size = c.size;
  s.z = {z, a.xz_batch, -a.xz_row, type};
  s.out = {out, a.out_batch, -a.channels, type};
  return s;
}

template <class T, int K, class Ends>
static void mix_images(const MixerArgs& all, const MixerCut& c, const MixerWeights (&weights)[2], const Ends& ends,
                       int threads, float* memory, long each) {
  parallel_for(all.batch, threads, [&](long image, int thread) {
    const FlushToZero flush;
    const MixerScratch s(c, memory + thread * each);
    const Unit unit(c.cut, c.size, image);
    const MixerArgs a = ends.of(all, thread);
    const Mixer m{a, c, {weights[0], weights[1]}, gated(a, c)};
    for (long t0 = 0; t0 < a.length; t0 += kStretch) ends.enter(a, image, thread, t0, thread);
    for (int way = 0; way < 2; ++way)
      for (long t0 = 0; t0 < a.length; t0 += kStretch) {
        project<T, K>(m, way, image, t0, s.u, s.projected);
        scan_stretch(m, way, unit, t0, s.u, s.projected, s);
      }
    for (long t0 = 0; t0 < a.length; t0 += kStretch) ends.leave(a, image, thread, t0, thread);
  });
}

// Stretch i of (image, way, stretch) lies at u + i * convolved() and projected + i * projected().
template <class T, int K, class Ends>
static void mix_parts(const MixerArgs& a, const MixerCut& c, const MixerWeights (&weights)[2], const Ends& ends,
                      int threads, float* memory, long each, float* u) {
  const Mixer m{a, c, {weights[0], weights[1]}, gated(a, c)};
  const long stretches = c.stretches, rows = a.batch * stretches;
  float* projected = u + 2 * rows * c.convolved();
  if (Ends::kAround)
    parallel_for(rows, threads, [&](long i, int thread) {
      const FlushToZero flush;
      ends.enter(a, i / stretches, i / stretches, i % stretches * kStretch, thread);
    });
  parallel_for(2 * rows, threads, [&](long i, int) {
    const FlushToZero flush;
    const long image = i / stretches / 2, t0 = i % stretches * kStretch;
    const int way = i / stretches % 2;
    project<T, K>(m, way, image, t0, u + i * c.convolved(), projected + i * c.projected());
  });
  parallel_for(c.cut.units, threads, [&](long index, int thread) {
    const FlushToZero flush;
    const MixerScratch s(c, memory + thread * each);
    const Unit unit(c.cut, c.size, index);
    for (long j = 0; j < 2 * stretches; ++j) {
      const long i = unit.batch * 2 * stretches + j;
      scan_stretch(m, j / stretches, unit, j % stretches * kStretch, u + i * c.convolved(),
                   projected + i * c.projected(), s);
    }
  });
  if (Ends::kAround)
    parallel_for(rows, threads, [&](long i, int thread) {
      const FlushToZero flush;
      ends.leave(a, i / stretches, i / stretches, i % stretches * kStretch, thread);
    });
}

// `extra` is the time of what is around, in nanoseconds on one thread.
template <class T, int K, class Ends>
static void mix(MixerArgs a, Ends ends, double extra) {
  const double cost = 2. * a.batch * a.length * a.channels * (2.5 * a.states + 20) / W;  // ns, roughly
  const int threads = worth_threads(a.threads, cost + extra);
  const long rounds = ceil_div(a.batch, threads);
  const bool parts = 5 * a.batch < 4 * rounds * threads;  // whole images would leave more than a fifth idle
  const long units = ceil_div(4 * threads, a.batch);
  const MixerCut c(a, ceil_div(ceil_div(a.channels, parts ? units : 1), W) * W);
  const long packed = ceil_div(MixerWeights::floats(a, c), 16) * 16;
  const long each = ceil_div(MixerScratch::floats(c), 32) * 32;
  const long stretches = parts ? 2 * a.batch * c.stretches * (c.convolved() + c.projected()) : 0;
  const long slots = parts ? a.batch : threads;
  const long own = 2 * packed + each * threads + ceil_div(stretches, 16) * 16;
  float* memory = rmeeto::arena(own + ends.shared(slots, threads));
  ends.place(a, memory + own, slots, threads);
  const MixerWeights weights[2] = {pack_way(a, c, a.ways[0], memory), pack_way(a, c, a.ways[1], memory + packed)};
  memory += 2 * packed;
  if (parts)
    mix_parts<T, K>(a, c, weights, ends, threads, memory, each, memory + each * threads);
  else
    mix_images<T, K>(a, c, weights, ends, threads, memory, each);
}

template <class T, class Ends>
static void mix_any(const MixerArgs& a, const Ends& ends, double extra) {
  switch (a.taps) {
    case 2: return mix<T, 2>(a, ends, extra);
    case 3: return mix<T, 3>(a, ends, extra);
    default: return mix<T, 4>(a, ends, extra);
  }
}

}  // namespace RM_NS
