// One image's gradients for some blocks of channels: what a thread of the backward scan does at a time.
#pragma once
#include "scan_sums.h"

namespace RM_NS {

// State at the start of every stretch.
static inline void save_checkpoints(const ScanArgs& f, const Cut& cut, const Stretches& stretches, const Packed& packed,
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
static inline Ahead inputs_ahead(const ScanGradArgs& a, const Cut& cut, const Unit& unit, long k, long t0, long steps,
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
static inline Ahead outputs_ahead(const ScanGradArgs& a, const Unit& unit, const Block& block, long last_step,
                    const BackwardScratch& s) {
  Ahead ahead(s.dt);
  ahead.set(0, a.du, unit.batch, last_step, block, -1);
  ahead.set(1, a.ddelta, unit.batch, last_step, block, -1);
  ahead.set(2, a.dz, unit.batch, last_step, block, -1);
  return ahead;
}

static inline void sweep_block(const ScanGradArgs& a, const Cut& cut, const Unit& unit, long k, long t0, long steps,
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

static inline void backward_unit(const ScanGradArgs& a, const Cut& cut, const Stretches& stretches, const Packed& packed,
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

}  // namespace RM_NS
