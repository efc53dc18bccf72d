// What the forward and the backward scan share: how channels are cut into blocks, rows read and written.
#pragma once
#include "scan.h"
#include "simd.h"
#include "transpose.h"

namespace RM_NS {

using rmeeto::Rows;
using rmeeto::ScanArgs;
using rmeeto::ScanSizes;
using rmeeto::States;

const float kLog2E = 1.442695041f, kLn2 = 0.6931471806f;

RM_INLINE long smaller(long a, long b) { return a < b ? a : b; }
RM_INLINE long ceil_div(long a, long b) { return (a + b - 1) / b; }

// A block is W channels of one group (the last one may have fewer). A unit of work is one image, one
// group and `blocks` blocks. The cut depends on shapes only, never on the number of threads.
struct Cut {
  long group_channels, group_blocks, blocks, parts, units;
  Cut(const ScanSizes& s, long channels_per_unit) {
    group_channels = s.channels / s.groups;
    group_blocks = ceil_div(group_channels, W);
    parts = ceil_div(group_blocks, channels_per_unit > W ? channels_per_unit / W : 1);
    blocks = ceil_div(group_blocks, parts);
    parts = ceil_div(group_blocks, blocks);
    units = s.batches * s.groups * parts;
  }
};

struct Unit {
  long batch, group, part, first, last;  // blocks first … last-1 of the group
  Unit(const Cut& cut, const ScanSizes& s, long index) {
    part = index % cut.parts;
    group = index / cut.parts % s.groups;
    batch = index / cut.parts / s.groups;
    first = part * cut.blocks;
    last = smaller(first + cut.blocks, cut.group_blocks);
  }
};

struct Block {
  long channel, packed;  // first channel; index of its packed weights
  int lanes;             // channels in it, at most W
  Block(const Cut& cut, const Unit& unit, long k) {
    channel = unit.group * cut.group_channels + k * W;
    packed = unit.group * cut.group_blocks + k;
    lanes = static_cast<int>(smaller(W, cut.group_channels - k * W));
  }
};

RM_INLINE vf get(const Rows& r, long batch, long t, const Block& block) {
  const long at = batch * r.batch + t * r.row + block.channel;
  const bool whole = block.lanes == W;
  if (r.type == rmeeto::kFloat) {
    const float* p = static_cast<const float*>(r.data) + at;
    return whole ? load(p) : load(p, block.lanes);
  }
  const bf16* p = static_cast<const bf16*>(r.data) + at;
  return whole ? load(p) : load(p, block.lanes);
}

RM_INLINE void put(const Rows& r, long batch, long t, const Block& block, vf v) {
  const long at = batch * r.batch + t * r.row + block.channel;
  const bool whole = block.lanes == W;
  if (r.type == rmeeto::kFloat) {
    float* p = static_cast<float*>(r.data) + at;
    whole ? store(p, v) : store(p, v, block.lanes);
  } else {
    bf16* p = static_cast<bf16*>(r.data) + at;
    whole ? store(p, v) : store(p, v, block.lanes);
  }
}

RM_INLINE vf get(const float* vector, const Block& block) {
  return vector ? load(vector + block.channel, block.lanes) : vf{};
}

// (channels, states) floats → [block][state][W], zero in the lanes a block lacks.
static inline void pack(const float* from, float scale, const Cut& cut, const ScanSizes& s, float* to) {
  for (long g = 0; g < s.groups; ++g)
    for (long k = 0; k < cut.group_blocks; ++k, to += s.states * W) {
      const float* rows = from + (g * cut.group_channels + k * W) * s.states;
      const long lanes = smaller(W, cut.group_channels - k * W);
      for (long n = 0; n < s.states; n += W) {
        const int some = static_cast<int>(smaller(W, s.states - n));
        vf columns[W];
        load_columns(rows + n, s.states, lanes, some, columns);
        for (int i = 0; i < some; ++i) store(to + (n + i) * W, scale * columns[i]);
      }
    }
}

// B or C as the inner loops read it: per token a row of states, constant a vector for each state.
struct Operand {
  const float* data;
  long row;  // floats from one step to the next; 0 if constant
};

template <class T>
static inline void copy_rows(const T* from, const States& s, long steps, long states, float* to) {
  for (long t = 0; t < steps; ++t)
    for (long n = 0; n < states; ++n) to[t * states + n] = to_float(from[t * s.row + n * s.state]);
}

// Rows t0 … t0+steps-1 of one image and group, in place if they are floats side by side; for a constant
// nothing yet.
static inline Operand token_rows(const States& s, const Unit& unit, long t0, long steps, long states,
                                 float* scratch) {
  if (s.constant) return {nullptr, 0};
  const long at = unit.batch * s.batch + unit.group * s.group + t0 * s.row;
  if (s.type == rmeeto::kFloat && (s.state == 1 || states == 1))
    return {static_cast<const float*>(s.data) + at, s.row};
  if (s.type == rmeeto::kFloat)
    copy_rows(static_cast<const float*>(s.data) + at, s, steps, states, scratch);
  else
    copy_rows(static_cast<const bf16*>(s.data) + at, s, steps, states, scratch);
  return {scratch, states};
}

// State n of an operand at the current step.
template <bool Constant>
RM_INLINE vf state_of(const float* row, int n) {
  return Constant ? load(row + n * W) : set1(row[n]);
}

// States are processed in tiles whose size the compiler knows: the largest power of two that fits.
RM_INLINE int tile_size(long states_left, int most) {
  while (most > states_left) most /= 2;
  return most;
}

RM_INLINE bool is_present(const Rows& r) { return r.data != nullptr; }

// Rows to bring into the cache while a scan loop computes from scratch: the next block lies too far away
// for the hardware to foresee it.
struct Ahead {
  enum { kMost = 4 };
  const char* at[kMost];
  long step[kMost];
  explicit Ahead(const float* idle) {  // fetches what is in the cache anyway
    for (int i = 0; i < kMost; ++i) at[i] = reinterpret_cast<const char*>(idle), step[i] = 0;
  }
  void set(int i, const Rows& r, long batch, long t, const Block& block, int direction = 1) {
    if (!is_present(r)) return;
    const long bytes = r.type == rmeeto::kFloat ? 4 : 2;
    at[i] = static_cast<const char*>(r.data) + (batch * r.batch + t * r.row + block.channel) * bytes;
    step[i] = r.row * bytes * direction;
  }
  inline __attribute__((always_inline)) void fetch() {
    RM_UNROLL
    for (int i = 0; i < kMost; ++i) {
      __builtin_prefetch(at[i]);
      at[i] += step[i];
    }
  }
};

}  // namespace RM_NS
