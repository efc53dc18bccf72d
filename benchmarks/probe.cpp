// Loops that reach the limits of one core, built and timed by limits.py. The scan loops are the kernel's own,
// on rows that stay in the L1 cache: what the whole kernel could reach if memory cost nothing.
#include "scan_forward.h"

using namespace RM_NS;

// Keeps the compiler from seeing through a vector.
#if defined(__x86_64__)
#define RM_OPAQUE(v) asm volatile("" : "+v"(v))
#else
#define RM_OPAQUE(v) asm volatile("" : "+w"(v))
#endif

namespace {

enum { kSteps = 64, kStates = 16, kChains = 16 };
alignas(64) float rows[4][kSteps * W], tokens[2][kSteps * kStates], scratch[3][kSteps * W];
alignas(64) float weights[kStates * W], state[kStates * W], vectors[2][W];

// One block of channels over a few steps.
struct Job {
  rmeeto::ScanArgs args = sized();
  Cut cut{args.size, W};
  Unit unit{cut, args.size, 0};
  Block block{cut, unit, 0};
  ForwardScratch s{scratch[0], scratch[1], scratch[2], nullptr, nullptr, nullptr};
  Operand B{tokens[0], kStates}, C{tokens[1], kStates};
  static rmeeto::ScanArgs sized() {
    rmeeto::ScanArgs a{};
    a.size = {1, kSteps, W, kStates, 1};
    return a;
  }
  Job() {
    for (int i = 0; i < kSteps * W; ++i)
      for (int r = 0; r < 4; ++r) rows[r][i] = .01f * ((i * 7 + r) % 200 - 100);
    for (int i = 0; i < kSteps * kStates; ++i) tokens[0][i] = tokens[1][i] = .01f * (i % 100);
    for (int i = 0; i < kStates * W; ++i) weights[i] = -1.f - i / W;
    const auto at = [](int r) { return Rows{rows[r], kSteps * W, W, rmeeto::kFloat}; };
    args.u = at(0), args.delta = at(1), args.z = at(2), args.out = at(3);
    args.D = vectors[0], args.bias = vectors[1], args.softplus = true;
  }
};

}  // namespace

extern "C" {

long lanes() { return W; }
long scan_elements() { return long(kSteps) * kStates * W; }

#if defined(__x86_64__)
// 64 dependent multiplications a turn, three cycles each on every x86 core of the last fifteen years.
long chain_cycles(long turns) {
  long x = 3;
  for (long i = 0; i < turns; ++i)
#pragma GCC unroll 64
    for (int k = 0; k < 64; ++k) asm volatile("imul %0, %0" : "+r"(x));
  return turns * 64 * 3;
}
#else
long chain_cycles(long) { return 0; }
#endif

// Returns the vector instructions done; independent chains hide their latency.
long fmas(long turns) {
  vf sum[kChains];
  RM_UNROLL
  for (int k = 0; k < kChains; ++k) sum[k] = set1(1.f + k);
  const vf a = load(vectors[0]), b = load(vectors[1]);
  for (long i = 0; i < turns; ++i) {
    RM_UNROLL
    for (int k = 0; k < kChains; ++k) {
      sum[k] = sum[k] * a + b;
      RM_OPAQUE(sum[k]);
    }
  }
  vf all = sum[0];
  RM_UNROLL
  for (int k = 1; k < kChains; ++k) all += sum[k];
  store(scratch[0], all);
  return turns * kChains;
}

// Returns the exponentials done.
long exps(long turns) {
  vf x[8];
  RM_UNROLL
  for (int k = 0; k < 8; ++k) x[k] = set1(-.1f * k);
  for (long i = 0; i < turns; ++i) {
    RM_UNROLL
    for (int k = 0; k < 8; ++k) {
      x[k] = exp2(x[k]);
      RM_OPAQUE(x[k]);
    }
  }
  vf all = x[0];
  RM_UNROLL
  for (int k = 1; k < 8; ++k) all += x[k];
  store(scratch[0], all);
  return turns * 8 * W;
}

float read_floats(const float* p, long count, long turns) {
  vf sum[8] = {};
  for (long i = 0; i < turns; ++i)
    for (long k = 0; k + 8 * W <= count; k += 8 * W) {
      RM_UNROLL
      for (int v = 0; v < 8; ++v) sum[v] += load(p + k + v * W);
    }
  vf all = sum[0];
  RM_UNROLL
  for (int v = 1; v < 8; ++v) all += sum[v];
  return hsum(all);
}

// The recurrence alone.
void scan_loop(long turns) {
  const Job j;
  prepare(j.args, j.unit, j.block, 0, kSteps, j.s);
  for (long i = 0; i < turns; ++i)
    advance_all(j.args, kSteps, weights, j.B, j.C, j.s, state, Ahead(j.s.dt));
}

// With the softplus before it and the gate after it.
void scan_composite(long turns) {
  const Job j;
  for (long i = 0; i < turns; ++i) {
    prepare(j.args, j.unit, j.block, 0, kSteps, j.s);
    advance_all(j.args, kSteps, weights, j.B, j.C, j.s, state, Ahead(j.s.dt));
    finish(j.args, j.unit, j.block, 0, kSteps, j.s);
  }
}

}  // extern "C"
