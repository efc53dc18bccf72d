// Selective scan, forward and backward: threads, scratch, and the order of the work.
#include "scan_unit.h"

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
