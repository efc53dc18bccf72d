// Forward: h = exp(dt A) h + dt u B, y = (C·h + D u) silu(z). One vector holds W channels of one state.
#pragma once
#include "parallel.h"
#include "scan_rows.h"

namespace RM_NS {

#if defined(__AVX512F__)
enum { kForwardTile = 16 };  // states kept in registers at a time
#else
enum { kForwardTile = 8 };
#endif
const long kForwardSteps = 64;  // rows prepared at a time: dt, dt u and y stay in L1

// One thread's scratch: rows are [step][W], h is [block][state][W].
struct ForwardScratch {
  float *dt, *dx, *y, *B, *C, *h;
  static long floats(const Cut& cut, const ScanSizes& s) {
    return 3 * kForwardSteps * W + 2 * kForwardSteps * s.states + cut.blocks * s.states * W;
  }
  static ForwardScratch place(float* p, const ScanSizes& s) {
    const long rows = kForwardSteps * W, tokens = kForwardSteps * s.states;
    return {p, p + rows, p + 2 * rows, p + 3 * rows, p + 3 * rows + tokens, p + 3 * rows + 2 * tokens};
  }
};

// `steps` steps of T states; adds C·h to y and leaves the states in h.
template <int T, bool ConstB, bool ConstC>
static void advance(long steps, const float* A, Operand B, Operand C, ForwardScratch s, float* h,
                    Ahead ahead) {
  vf state[T];
  RM_UNROLL
  for (int n = 0; n < T; ++n) state[n] = load(h + n * W);
  for (long t = 0; t < steps; ++t, B.data += B.row, C.data += C.row) {
    const vf dt = load(s.dt + t * W), dx = load(s.dx + t * W);
    vf y[2] = {load(s.y + t * W), vf{}};
    ahead.fetch();
    RM_UNROLL
    for (int n = 0; n < T; ++n) {
      state[n] = exp2(dt * load(A + n * W)) * state[n] + dx * state_of<ConstB>(B.data, n);
      y[n & 1] += state[n] * state_of<ConstC>(C.data, n);
    }
    store(s.y + t * W, y[0] + y[1]);
  }
  RM_UNROLL
  for (int n = 0; n < T; ++n) store(h + n * W, state[n]);
}

template <bool ConstB, bool ConstC>
static void advance_tiles(long steps, long states, const float* A, Operand B, Operand C,
                          const ForwardScratch& s, float* h, Ahead ahead) {
  for (long n = 0; n < states;) {
    const int tile = tile_size(states - n, kForwardTile);
    const Operand b{B.data + n * (ConstB ? W : 1), B.row}, c{C.data + n * (ConstC ? W : 1), C.row};
    const float* a = A + n * W;
    switch (tile) {
#if defined(__AVX512F__)
      case 16: advance<16, ConstB, ConstC>(steps, a, b, c, s, h + n * W, ahead); break;
#endif
      case 8: advance<8, ConstB, ConstC>(steps, a, b, c, s, h + n * W, ahead); break;
      case 4: advance<4, ConstB, ConstC>(steps, a, b, c, s, h + n * W, ahead); break;
      case 2: advance<2, ConstB, ConstC>(steps, a, b, c, s, h + n * W, ahead); break;
      default: advance<1, ConstB, ConstC>(steps, a, b, c, s, h + n * W, ahead);
    }
    n += tile;
    ahead = Ahead(s.dt);
  }
}

static inline void advance_all(const ScanArgs& a, long steps, const float* A, Operand B, Operand C,
                               const ForwardScratch& s, float* h, const Ahead& ahead) {
  const long states = a.size.states;
  if (a.B.constant && a.C.constant)
    advance_tiles<true, true>(steps, states, A, B, C, s, h, ahead);
  else if (a.B.constant)
    advance_tiles<true, false>(steps, states, A, B, C, s, h, ahead);
  else if (a.C.constant)
    advance_tiles<false, true>(steps, states, A, B, C, s, h, ahead);
  else
    advance_tiles<false, false>(steps, states, A, B, C, s, h, ahead);
}

// dt, dt u and the D skip of `steps` rows.
static inline void prepare(const ScanArgs& a, const Unit& unit, Block block, long t0, long steps,
                           ForwardScratch s) {
  const vf bias = get(a.bias, block), skip = get(a.D, block);
  const Rows u = a.u, delta = a.delta;
  const bool positive = a.softplus;
  for (long t = 0; t < steps; ++t) {
    const vf x = get(u, unit.batch, t0 + t, block);
    vf dt = get(delta, unit.batch, t0 + t, block) + bias;
    if (positive) dt = softplus(dt);
    store(s.dt + t * W, dt);
    store(s.dx + t * W, dt * x);
    store(s.y + t * W, skip * x);
  }
}

static inline void finish(const ScanArgs& a, const Unit& unit, Block block, long t0, long steps,
                          ForwardScratch s) {
  const Rows gate = a.z, out = a.out;
  for (long t = 0; t < steps; ++t) {
    vf y = load(s.y + t * W);
    if (is_present(gate)) {
      const vf z = get(gate, unit.batch, t0 + t, block);
      y *= z * sigmoid(z);
    }
    put(out, unit.batch, t0 + t, block, y);
  }
}

static inline void save_last(const ScanArgs& a, const Unit& unit, const Block& block, const float* h) {
  const long states = a.size.states;
  float* to = a.last + (unit.batch * a.size.channels + block.channel) * states;
  for (int w = 0; w < block.lanes; ++w)
    for (long n = 0; n < states; ++n) to[w * states + n] = h[n * W + w];
}

// A, and B and C where they are constant, packed once for every unit.
struct Packed {
  const float *A, *B, *C;
  explicit Packed(const float* A) : A(A), B(nullptr), C(nullptr) {}
  static long floats(const Cut& cut, const ScanArgs& a) {
    return a.size.groups * cut.group_blocks * a.size.states * W * (1 + a.B.constant + a.C.constant);
  }
  Packed(float* p, const Cut& cut, const ScanArgs& a) : A(p), B(nullptr), C(nullptr) {
    const long each = a.size.groups * cut.group_blocks * a.size.states * W;
    pack(a.A, kLog2E, cut, a.size, p);
    if (a.B.constant) pack(static_cast<const float*>(a.B.data), 1.f, cut, a.size, p += each), B = p;
    if (a.C.constant) pack(static_cast<const float*>(a.C.data), 1.f, cut, a.size, p += each), C = p;
  }
};

// Rows to fetch during a block's scan: its gate and output, and what the next block reads first (after the
// last block, the next steps).
static inline Ahead rows_ahead(const ScanArgs& a, const Cut& cut, const Unit& unit, long k, long t0,
                               long steps, const ForwardScratch& s) {
  Ahead ahead(s.dt);
  const Block block(cut, unit, k);
  ahead.set(0, a.z, unit.batch, t0, block);
  ahead.set(1, a.out, unit.batch, t0, block);
  const bool last = k + 1 == unit.last;
  const Block next(cut, unit, last ? unit.first : k + 1);
  if (last) t0 = smaller(t0 + steps, a.size.length - steps);
  ahead.set(2, a.u, unit.batch, t0, next);
  ahead.set(3, a.delta, unit.batch, t0, next);
  return ahead;
}

static inline void forward_unit(const ScanArgs& a, const Cut& cut, const Packed& packed, const Unit& unit,
                                const ForwardScratch& s) {
  const long states = a.size.states, length = a.size.length, tile = states * W;
  std::memset(s.h, 0, sizeof(float) * cut.blocks * tile);
  for (long t0 = 0; t0 < length; t0 += kForwardSteps) {
    const long steps = smaller(kForwardSteps, length - t0);
    Operand B = token_rows(a.B, unit, t0, steps, states, s.B);
    Operand C = token_rows(a.C, unit, t0, steps, states, s.C);
    for (long k = unit.first; k < unit.last; ++k) {
      const Block block(cut, unit, k);
      float* h = s.h + (k - unit.first) * tile;
      if (a.B.constant) B.data = packed.B + block.packed * tile;
      if (a.C.constant) C.data = packed.C + block.packed * tile;
      prepare(a, unit, block, t0, steps, s);
      advance_all(a, steps, packed.A + block.packed * tile, B, C, s, h,
                  rows_ahead(a, cut, unit, k, t0, steps, s));
      finish(a, unit, block, t0, steps, s);
      if (a.last && t0 + steps == length) save_last(a, unit, block, h);
    }
  }
}

}  // namespace RM_NS
