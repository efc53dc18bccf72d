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

struct ForwardScratch {
  float *dt, *dx, *y, *B, *C, *h;
  static long floats(const Cut& cut, const ScanSizes& s) {
    return 3 * kForwardSteps * W + 2 * ceil_div(kForwardSteps * s.states, 16) * 16 +
           cut.blocks * s.states * W;
  }
  ForwardScratch(float* p, const ScanSizes& s) {
    const long rows = kForwardSteps * W, tokens = ceil_div(kForwardSteps * s.states, 16) * 16;
    dt = p, dx = dt + rows, y = dx + rows, B = y + rows, C = B + tokens, h = C + tokens;
  }
};

// `steps` steps of T states; adds C·h to y and leaves the states in h.
template <int T, bool ConstB, bool ConstC>
static void advance(long steps, const float* A, Operand B, Operand C, const ForwardScratch& s, float* h) {
  vf state[T];
  RM_UNROLL
  for (int n = 0; n < T; ++n) state[n] = load(h + n * W);
  for (long t = 0; t < steps; ++t, B.data += B.row, C.data += C.row) {
    const vf dt = load(s.dt + t * W), dx = load(s.dx + t * W);
    vf y[2] = {load(s.y + t * W), vf{}};
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
static void advance_all(long steps, long states, const float* A, Operand B, Operand C,
                        const ForwardScratch& s, float* h) {
  for (long n = 0; n < states;) {
    const int tile = tile_size(states - n, kForwardTile);
    const Operand b{B.data + n * (ConstB ? W : 1), B.row}, c{C.data + n * (ConstC ? W : 1), C.row};
    const float* a = A + n * W;
    switch (tile) {
#if defined(__AVX512F__)
      case 16: advance<16, ConstB, ConstC>(steps, a, b, c, s, h + n * W); break;
#endif
      case 8: advance<8, ConstB, ConstC>(steps, a, b, c, s, h + n * W); break;
      case 4: advance<4, ConstB, ConstC>(steps, a, b, c, s, h + n * W); break;
      case 2: advance<2, ConstB, ConstC>(steps, a, b, c, s, h + n * W); break;
      default: advance<1, ConstB, ConstC>(steps, a, b, c, s, h + n * W);
    }
    n += tile;
  }
}

// dt, dt u and the D skip of `steps` rows.
static inline void prepare(const ScanArgs& a, const Unit& unit, const Block& block, long t0, long steps,
                           const ForwardScratch& s) {
  const vf bias = get(a.bias, block), skip = get(a.D, block);
  for (long t = 0; t < steps; ++t) {
    const vf x = get(a.u, unit.batch, t0 + t, block);
    vf dt = get(a.delta, unit.batch, t0 + t, block) + bias;
    if (a.softplus) dt = softplus(dt);
    store(s.dt + t * W, dt);
    store(s.dx + t * W, dt * x);
    store(s.y + t * W, skip * x);
  }
}

static inline void finish(const ScanArgs& a, const Unit& unit, const Block& block, long t0, long steps,
                          const ForwardScratch& s) {
  for (long t = 0; t < steps; ++t) {
    vf y = load(s.y + t * W);
    if (is_present(a.z)) {
      const vf z = get(a.z, unit.batch, t0 + t, block);
      y *= z * sigmoid(z);
    }
    put(a.out, unit.batch, t0 + t, block, y);
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

static inline void forward_unit(const ScanArgs& a, const Cut& cut, const Packed& packed, const Unit& unit,
                                const ForwardScratch& s) {
  const long states = a.size.states, length = a.size.length, tile = states * W;
  std::memset(s.h, 0, sizeof(float) * cut.blocks * tile);
  for (long t0 = 0; t0 < length; t0 += kForwardSteps) {
    const long steps = smaller(kForwardSteps, length - t0);
    Operand B{}, C{};
    if (!a.B.constant) B = token_rows(a.B, unit, t0, steps, states, s.B);
    if (!a.C.constant) C = token_rows(a.C, unit, t0, steps, states, s.C);
    for (long k = unit.first; k < unit.last; ++k) {
      const Block block(cut, unit, k);
      const float* A = packed.A + block.packed * tile;
      float* h = s.h + (k - unit.first) * tile;
      if (a.B.constant) B.data = packed.B + block.packed * tile;
      if (a.C.constant) C.data = packed.C + block.packed * tile;
      prepare(a, unit, block, t0, steps, s);
      if (a.B.constant && a.C.constant)
        advance_all<true, true>(steps, states, A, B, C, s, h);
      else if (a.B.constant)
        advance_all<true, false>(steps, states, A, B, C, s, h);
      else if (a.C.constant)
        advance_all<false, true>(steps, states, A, B, C, s, h);
      else
        advance_all<false, false>(steps, states, A, B, C, s, h);
      finish(a, unit, block, t0, steps, s);
      if (a.last && t0 + steps == length) save_last(a, unit, block, h);
    }
  }
}

}  // namespace RM_NS
