// Backward: recomputes the states of a stretch of time, then walks it in reverse. Long sequences are cut
// into stretches, each started from a checkpoint of the state, so that scratch does not grow with length.
#pragma once
#include "scan_forward.h"

namespace RM_NS {

using rmeeto::ScanGradArgs;

enum { kBackwardTile = 8 };
#if defined(__AVX512F__)
const bool kKeepDecay = false;  // exp2 is cheaper again than a round trip through the L2 cache
#else
const bool kKeepDecay = true;
#endif
const long kBackwardChannels = 256;  // channels a unit sums into its partial dB and dC
const long kWholeSteps = 256;        // sequences up to this length need no checkpoints
const long kStretchSteps = 64;       // otherwise: steps between checkpoints

struct Stretches {
  long steps, count;
  explicit Stretches(long length) {
    steps = length <= kWholeSteps ? length : kStretchSteps;
    count = ceil_div(length, steps);
  }
};

// One thread's scratch. Rows are [step][W]; adjoints and sums live as long as the unit.
struct BackwardScratch {
  float *x, *dt, *slope, *dx, *dy, *y, *ddx, *ddt;  // rows
  float *decay, *state;                             // [step][tile][W]: exp(dt A), h before and after
  float *B, *C;                                     // token rows
  float *sumB, *sumC;                               // [step][state][W], summed over the unit's blocks
  float *adjoint, *dA, *dB, *dC, *dD, *dbias;       // [block][state][W] and [block][W]
  float *checkpoint;                                // [stretch][block][state][W]
  float *end;

  BackwardScratch(float* p, const Cut& cut, const ScanSizes& s, const Stretches& stretches) {
    const auto take = [&p](long floats) {
      float* const mine = p;
      p += ceil_div(floats, 16) * 16;
      return mine;
    };
    const long rows = stretches.steps * W, weights = cut.blocks * s.states * W;
    x = take(rows), dt = take(rows), slope = take(rows), dx = take(rows);
    dy = take(rows), y = take(rows), ddx = take(rows), ddt = take(rows);
    decay = take(kKeepDecay ? rows * kBackwardTile : 0), state = take((rows + W) * kBackwardTile);
    B = take(stretches.steps * s.states), C = take(stretches.steps * s.states);
    sumB = take(rows * s.states), sumC = take(rows * s.states);
    adjoint = take(weights), dA = take(weights), dB = take(weights), dC = take(weights);
    dD = take(cut.blocks * W), dbias = take(cut.blocks * W);
    checkpoint = take(weights * stretches.count);
    end = p;
  }
};

// T states from `h` on: keeps the state before step t at [t], after it at [t + 1], and perhaps the decay.
template <int T, bool ConstB, bool ConstC>
static void recompute(long steps, const float* A, Operand B, Operand C, const float* h, BackwardScratch s,
                      Ahead ahead) {
  vf state[T];
  RM_UNROLL
  for (int n = 0; n < T; ++n) store(s.state + n * W, state[n] = load(h + n * W));
  for (long t = 0; t < steps; ++t, B.data += B.row, C.data += C.row) {
    const vf dt = load(s.dt + t * W), dx = load(s.dx + t * W);
    float *decay = s.decay + t * T * W, *after = s.state + (t + 1) * T * W;
    vf y[2] = {load(s.y + t * W), vf{}};
    ahead.fetch();
    RM_UNROLL
    for (int n = 0; n < T; ++n) {
      const vf a = exp2(dt * load(A + n * W));
      if (kKeepDecay) store(decay + n * W, a);
      state[n] = a * state[n] + dx * state_of<ConstB>(B.data, n);
      store(after + n * W, state[n]);
      y[n & 1] += state[n] * state_of<ConstC>(C.data, n);
    }
    store(s.y + t * W, y[0] + y[1]);
  }
}

template <int N>
struct Size {
  static constexpr int value = N;
};

RM_INLINE void add_to(float* sum, vf v) { store(sum, load(sum) + v); }

// Where the gradients of T states of a block are summed.
struct TileSums {
  float *adjoint, *dA, *dB, *dC;  // dB and dC: per token [step][state][W], constant [state][W]
};

// The same steps in reverse. q is dLoss/dh_t; what is carried to step t-1 is decay_t q.
template <int T, bool ConstB, bool ConstC>
static void sweep(long steps, long states, const float* A, Operand B, Operand C, TileSums sums,
                  BackwardScratch s, Ahead ahead) {
  vf carried[T], dA[T], after[T];
  RM_UNROLL
  for (int n = 0; n < T; ++n) {
    carried[n] = load(sums.adjoint + n * W);
    dA[n] = load(sums.dA + n * W);
    after[n] = load(s.state + (steps * T + n) * W);
  }
  for (long t = steps - 1; t >= 0; --t) {
    const vf dt = load(s.dt + t * W), dx = load(s.dx + t * W), dy = load(s.dy + t * W);
    const float *b = B.data + t * B.row, *c = C.data + t * C.row;
    const float *decay = s.decay + t * T * W, *before = s.state + t * T * W;
    float* dB = sums.dB + (ConstB ? 0 : t * states * W);
    float* dC = sums.dC + (ConstC ? 0 : t * states * W);
    ahead.fetch();
    vf ddx[2] = {load(s.ddx + t * W), vf{}}, ddt[2] = {load(s.ddt + t * W), vf{}};
    RM_UNROLL
    for (int n = 0; n < T; ++n) {
      const vf q = carried[n] + dy * state_of<ConstC>(c, n), h = load(before + n * W);
      add_to(dC + n * W, dy * after[n]);
      add_to(dB + n * W, q * dx);
      carried[n] = q * (kKeepDecay ? load(decay + n * W) : exp2(dt * load(A + n * W)));
      after[n] = h;
      const vf g = carried[n] * h;
      dA[n] += g * dt;
      ddx[n & 1] += q * state_of<ConstB>(b, n);
      ddt[n & 1] += g * load(A + n * W);
    }
    store(s.ddx + t * W, ddx[0] + ddx[1]);
    store(s.ddt + t * W, ddt[0] + ddt[1]);
  }
  RM_UNROLL
  for (int n = 0; n < T; ++n) {
    store(sums.adjoint + n * W, carried[n]);
    store(sums.dA + n * W, dA[n]);
  }
}

// One block over one stretch, all states: recompute and sweep tile by tile.
template <bool ConstB, bool ConstC>
static void sweep_tiles(long steps, long states, const float* A, Operand B, Operand C, const float* h,
                        const TileSums& all, const BackwardScratch& s, Ahead inputs, Ahead outputs) {
  for (long n = 0; n < states;) {
    const int tile = tile_size(states - n, kBackwardTile);
    const long at = n * W;
    const Operand b{B.data + (ConstB ? at : n), B.row}, c{C.data + (ConstC ? at : n), C.row};
    const TileSums sums{all.adjoint + at, all.dA + at, all.dB + at, all.dC + at};
    const auto run = [&](auto size) {
      constexpr int T = decltype(size)::value;
      recompute<T, ConstB, ConstC>(steps, A + at, b, c, h + at, s, inputs);
      sweep<T, ConstB, ConstC>(steps, states, A + at, b, c, sums, s, outputs);
    };
    switch (tile) {
      case 8: run(Size<8>{}); break;
      case 4: run(Size<4>{}); break;
      case 2: run(Size<2>{}); break;
      default: run(Size<1>{});
    }
    n += tile;
    inputs = outputs = Ahead(s.dt);
  }
}

static inline void prepare(const ScanGradArgs& a, const Unit& unit, Block block, long t0, long steps,
                           BackwardScratch s) {
  const vf bias = get(a.forward.bias, block), skip = get(a.forward.D, block);
  const Rows u = a.forward.u, delta = a.forward.delta, gate = a.forward.z, grad = a.grad;
  const bool positive = a.forward.softplus;
  for (long t = 0; t < steps; ++t) {
    const vf x = get(u, unit.batch, t0 + t, block);
    vf dt = get(delta, unit.batch, t0 + t, block) + bias, slope = set1(1.f);
    if (positive) dt = softplus(dt, &slope);
    vf dy = get(grad, unit.batch, t0 + t, block);
    if (is_present(gate)) {
      const vf z = get(gate, unit.batch, t0 + t, block);
      dy *= z * sigmoid(z);
    }
    store(s.x + t * W, x);
    store(s.dt + t * W, dt);
    store(s.slope + t * W, slope);
    store(s.dx + t * W, dt * x);
    store(s.dy + t * W, dy);
    store(s.y + t * W, skip * x);
    store(s.ddx + t * W, vf{});
    store(s.ddt + t * W, vf{});
  }
}

static inline void finish(const ScanGradArgs& a, const Unit& unit, Block block, long t0, long steps,
                          float* dD, float* dbias, BackwardScratch s) {
  const vf skip = get(a.forward.D, block);
  const Rows gate = a.forward.z, grad = a.grad, du = a.du, ddelta = a.ddelta, dz = a.dz;
  vf sumD = load(dD), sum_bias = load(dbias);
  for (long t = 0; t < steps; ++t) {
    const vf x = load(s.x + t * W), dy = load(s.dy + t * W), ddx = load(s.ddx + t * W);
    const vf ddt = (load(s.ddt + t * W) * kLn2 + ddx * x) * load(s.slope + t * W);
    sumD += dy * x;
    sum_bias += ddt;
    put(du, unit.batch, t0 + t, block, ddx * load(s.dt + t * W) + skip * dy);
    put(ddelta, unit.batch, t0 + t, block, ddt);
    if (is_present(gate)) {
      const vf z = get(gate, unit.batch, t0 + t, block), open = sigmoid(z);
      const vf out = get(grad, unit.batch, t0 + t, block) * load(s.y + t * W);
      const vf slope = open * (1.f + z * (1.f - open));
      const vf sum = a.accumulate ? get(dz, unit.batch, t0 + t, block) : vf{};
      put(dz, unit.batch, t0 + t, block, sum + out * slope);
    }
  }
  store(dD, sumD);
  store(dbias, sum_bias);
}

}  // namespace RM_NS
