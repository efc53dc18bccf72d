// Selective scan, forward and backward: threads, scratch, and the order of the work.
#include "scan_sums.h"

namespace RM_NS {
namespace {

const double kForwardCost = 2.5 / W, kBackwardCost = 4 * kForwardCost;  // ns a state and step, roughly

double elements(const ScanSizes& s) {
  return 1. * s.batches * s.length * s.channels * s.states;
}

// Forward units hold no sums, so they may be cut finer when there is little work to share out.
long forward_channels(const ScanSizes& s, int threads) {
  const long each = s.batches * s.channels / (4 * threads);
  return each < 128 ? (each < W ? long(W) : each) : 128;
}

// State at the start of every stretch.
void save_checkpoints(const ScanGradArgs& a, const Cut& cut, const Stretches& stretches,
                      const Packed& packed, const Unit& unit, const BackwardScratch& s) {
  const ScanArgs& f = a.forward;
  const long tile = f.size.states * W, all = cut.blocks * tile;
  ForwardScratch rows{s.dt, f.size};
  rows.dt = s.dt, rows.dx = s.dx, rows.y = s.y;
  std::memset(s.checkpoint, 0, sizeof(float) * all);
  for (long i = 0; i + 1 < stretches.count; ++i) {
    const long t0 = i * stretches.steps, steps = stretches.steps;
    Operand B{};
    if (!f.B.constant) B = token_rows(f.B, unit, t0, steps, f.size.states, s.B);
    for (long k = unit.first; k < unit.last; ++k) {
      const Block block(cut, unit, k);
      const float* A = packed.A + block.packed * tile;
      const float* now = s.checkpoint + i * all + (k - unit.first) * tile;
      float* next = s.checkpoint + (i + 1) * all + (k - unit.first) * tile;
      std::memcpy(next, now, sizeof(float) * tile);
      prepare(f, unit, block, t0, steps, rows);
      // C does not matter here: y is thrown away, so A serves as a constant C.
      if (f.B.constant)
        advance_all<true, true>(steps, f.size.states, A, {packed.B + block.packed * tile, 0}, {A, 0}, rows, next);
      else
        advance_all<false, true>(steps, f.size.states, A, B, {A, 0}, rows, next);
    }
  }
}

void sweep_block(const ScanGradArgs& a, const Unit& unit, const Block& block, long local, long t0, long steps,
                 const Packed& packed, Operand B, Operand C, const float* h, const BackwardScratch& s) {
  const ScanArgs& f = a.forward;
  const long states = f.size.states, at = local * states * W;
  const float* A = packed.A + block.packed * states * W;
  if (f.B.constant) B.data = packed.B + block.packed * states * W;
  if (f.C.constant) C.data = packed.C + block.packed * states * W;
  const TileSums sums{s.adjoint + at, s.dA + at, f.B.constant ? s.dB + at : s.sumB,
                      f.C.constant ? s.dC + at : s.sumC};
  prepare(a, unit, block, t0, steps, s);
  if (f.B.constant && f.C.constant)
    sweep_all<true, true>(steps, states, A, B, C, h, sums, s);
  else if (f.B.constant)
    sweep_all<true, false>(steps, states, A, B, C, h, sums, s);
  else if (f.C.constant)
    sweep_all<false, true>(steps, states, A, B, C, h, sums, s);
  else
    sweep_all<false, false>(steps, states, A, B, C, h, sums, s);
  finish(a, unit, block, t0, steps, s.dD + local * W, s.dbias + local * W, s);
}

void backward_unit(const ScanGradArgs& a, const Cut& cut, const Stretches& stretches, const Packed& packed,
                   long index, const BackwardScratch& s, const Partials& partial) {
  const ScanArgs& f = a.forward;
  const Unit unit(cut, f.size, index);
  const long states = f.size.states, tile = states * W, all = cut.blocks * tile;
  std::memset(s.adjoint, 0, sizeof(float) * (s.checkpoint - s.adjoint));  // … and the sums after it
  save_checkpoints(a, cut, stretches, packed, unit, s);
  for (long i = stretches.count - 1; i >= 0; --i) {
    const long t0 = i * stretches.steps, steps = smaller(stretches.steps, f.size.length - t0);
    Operand B{}, C{};
    if (!f.B.constant) B = token_rows(f.B, unit, t0, steps, states, s.B);
    if (!f.C.constant) C = token_rows(f.C, unit, t0, steps, states, s.C);
    std::memset(s.sumB, 0, sizeof(float) * steps * tile);
    std::memset(s.sumC, 0, sizeof(float) * steps * tile);
    for (long k = unit.first; k < unit.last; ++k) {
      const long local = k - unit.first;
      sweep_block(a, unit, Block(cut, unit, k), local, t0, steps, packed, B, C,
                  s.checkpoint + i * all + local * tile, s);
    }
    const long at = index * partial.tokens + t0 * states;
    if (partial.B) sum_lanes(s.sumB, steps * states, partial.B + at);
    if (partial.C) sum_lanes(s.sumC, steps * states, partial.C + at);
  }
  for (long k = unit.first; k < unit.last; ++k)
    save_weights(f, unit, Block(cut, unit, k), k - unit.first, s, partial);
}

void add_up(const ScanGradArgs& a, const Cut& cut, const Partials& partial, int threads) {
  const ScanSizes& size = a.forward.size;
  const long each = 1024, slices = ceil_div(partial.weights, each), images = size.batches * size.groups;
  parallel_for(slices + images, threads, [&](long i, int) {
    const FlushToZero flush;
    if (i < slices) {
      sum_weights(a.forward, partial, i * each, smaller(each, partial.weights - i * each));
      return;
    }
    const long batch = (i - slices) / size.groups, group = (i - slices) % size.groups;
    if (partial.B) deliver_tokens(a.dB, size, cut, batch, group, partial.B, partial.tokens);
    if (partial.C) deliver_tokens(a.dC, size, cut, batch, group, partial.C, partial.tokens);
  });
  deliver_weights(a, partial);
}

}  // namespace

void scan_forward(const ScanArgs& a) {
  const int threads = worth_threads(a.threads, elements(a.size) * kForwardCost);
  const Cut cut(a.size, forward_channels(a.size, threads));
  const long each = ceil_div(ForwardScratch::floats(cut, a.size), 32) * 32;
  const long shared = ceil_div(Packed::floats(cut, a), 32) * 32;
  float* memory = rmeeto::arena(shared + each * threads);
  const Packed packed(memory, cut, a);
  parallel_for(cut.units, threads, [&](long index, int thread) {
    const FlushToZero flush;
    const ForwardScratch scratch(memory + shared + thread * each, a.size);
    forward_unit(a, cut, packed, Unit(cut, a.size, index), scratch);
  });
}

void scan_backward(const ScanGradArgs& a) {
  const ScanArgs& f = a.forward;
  const int threads = worth_threads(f.threads, elements(f.size) * kBackwardCost);
  const Cut cut(f.size, kBackwardChannels);
  const Stretches stretches(f.size.length);
  const long each = ceil_div(BackwardScratch(nullptr, cut, f.size, stretches).end - (float*)nullptr, 32) * 32;
  const long shared = ceil_div(Packed::floats(cut, f), 32) * 32;
  Partials partial(f, cut);
  float* memory = rmeeto::arena(shared + each * threads + partial.floats(f, cut));
  const Packed packed(memory, cut, f);
  partial.place(memory + shared + each * threads, f, cut);
  parallel_for(cut.units, threads, [&](long index, int thread) {
    const FlushToZero flush;
    const BackwardScratch scratch(memory + shared + thread * each, cut, f.size, stretches);
    backward_unit(a, cut, stretches, packed, index, scratch, partial);
  });
  add_up(a, cut, partial, threads);
}

}  // namespace RM_NS
