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
void save_checkpoints(const ScanArgs& f, const Cut& cut, const Stretches& stretches, const Packed& packed,
                      const Unit& unit, const BackwardScratch& s) {
  const long tile = f.size.states * W, all = cut.blocks * tile, steps = stretches.steps;
  const ForwardScratch rows{s.dt, s.dx, s.y, nullptr, nullptr, nullptr};
  std::memset(s.checkpoint, 0, sizeof(float) * all);
  for (long i = 0; i + 1 < stretches.count; ++i) {
    const long t0 = i * steps;
    Operand B = token_rows(f.B, unit, t0, steps, f.size.states, s.B);
    Operand C = token_rows(f.C, unit, t0, steps, f.size.states, s.C);
    for (long k = unit.first; k < unit.last; ++k) {
      const Block block(cut, unit, k);
      float* now = s.checkpoint + i * all + (k - unit.first) * tile;
      if (f.B.constant) B.data = packed.B + block.packed * tile;
      if (f.C.constant) C.data = packed.C + block.packed * tile;
      std::memcpy(now + all, now, sizeof(float) * tile);
      prepare(f, unit, block, t0, steps, rows);
      advance_all(f, steps, packed.A + block.packed * tile, B, C, rows, now + all, Ahead(s.dt));
    }
  }
}

// What the next block of this stretch reads, or the first block of the stretch before.
Ahead inputs_ahead(const ScanGradArgs& a, const Cut& cut, const Unit& unit, long k, long t0, long steps,
                   const BackwardScratch& s) {
  Ahead ahead(s.dt);
  const bool last = k + 1 == unit.last;
  const Block next(cut, unit, last ? unit.first : k + 1);
  if (last) t0 = t0 < steps ? 0 : t0 - steps;
  ahead.set(0, a.forward.u, unit.batch, t0, next);
  ahead.set(1, a.forward.delta, unit.batch, t0, next);
  ahead.set(2, a.forward.z, unit.batch, t0, next);
  ahead.set(3, a.grad, unit.batch, t0, next);
  return ahead;
}

// Where this block's gradients go; the sweep runs backwards.
Ahead outputs_ahead(const ScanGradArgs& a, const Unit& unit, const Block& block, long last_step,
                    const BackwardScratch& s) {
  Ahead ahead(s.dt);
  ahead.set(0, a.du, unit.batch, last_step, block, -1);
  ahead.set(1, a.ddelta, unit.batch, last_step, block, -1);
  ahead.set(2, a.dz, unit.batch, last_step, block, -1);
  return ahead;
}

void sweep_block(const ScanGradArgs& a, const Cut& cut, const Unit& unit, long k, long t0, long steps,
                 const Packed& packed, Operand B, Operand C, const float* h, const BackwardScratch& s) {
  const ScanArgs& f = a.forward;
  const Block block(cut, unit, k);
  const long states = f.size.states, local = k - unit.first, at = local * states * W;
  const float* A = packed.A + block.packed * states * W;
  if (f.B.constant) B.data = packed.B + block.packed * states * W;
  if (f.C.constant) C.data = packed.C + block.packed * states * W;
  const TileSums sums{s.adjoint + at, s.dA + at, f.B.constant ? s.dB + at : s.sumB,
                      f.C.constant ? s.dC + at : s.sumC};
  const Ahead in = inputs_ahead(a, cut, unit, k, t0, steps, s);
  const Ahead out = outputs_ahead(a, unit, block, t0 + steps - 1, s);
  prepare(a, unit, block, t0, steps, s);
  if (f.B.constant && f.C.constant)
    sweep_tiles<true, true>(steps, states, A, B, C, h, sums, s, in, out);
  else if (f.B.constant)
    sweep_tiles<true, false>(steps, states, A, B, C, h, sums, s, in, out);
  else if (f.C.constant)
    sweep_tiles<false, true>(steps, states, A, B, C, h, sums, s, in, out);
  else
    sweep_tiles<false, false>(steps, states, A, B, C, h, sums, s, in, out);
  finish(a, unit, block, t0, steps, s.dD + local * W, s.dbias + local * W, s);
}

void backward_unit(const ScanGradArgs& a, const Cut& cut, const Stretches& stretches, const Packed& packed,
                   long index, const BackwardScratch& s, const Partials& partial) {
  const ScanArgs& f = a.forward;
  const Unit unit(cut, f.size, index);
  const long states = f.size.states, tile = states * W, all = cut.blocks * tile;
  std::memset(s.adjoint, 0, sizeof(float) * (s.checkpoint - s.adjoint));  // … and the sums after it
  save_checkpoints(f, cut, stretches, packed, unit, s);
  for (long i = stretches.count - 1; i >= 0; --i) {
    const long t0 = i * stretches.steps, steps = smaller(stretches.steps, f.size.length - t0);
    const Operand B = token_rows(f.B, unit, t0, steps, states, s.B);
    const Operand C = token_rows(f.C, unit, t0, steps, states, s.C);
    std::memset(s.sumB, 0, sizeof(float) * steps * tile);
    std::memset(s.sumC, 0, sizeof(float) * steps * tile);
    for (long k = unit.first; k < unit.last; ++k)
      sweep_block(a, cut, unit, k, t0, steps, packed, B, C,
                  s.checkpoint + i * all + (k - unit.first) * tile, s);
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
    const auto scratch = ForwardScratch::place(memory + shared + thread * each, a.size);
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
  Partials partial(f);
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
