// Where partial sums of the backward scan go, and how they are added up: always in the same order.
#pragma once
#include "scan_backward.h"

namespace RM_NS {

// [sums of neighbouring pairs of a, then of b]
RM_INLINE vf pair_sums(vf a, vf b) {
#if defined(__AVX512F__)
  return RM_PICK(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
         RM_PICK(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#elif defined(__AVX2__)
  return RM_PICK(a, b, 0, 2, 4, 6, 8, 10, 12, 14) + RM_PICK(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
#else
  return RM_PICK(a, b, 0, 2, 4, 6) + RM_PICK(a, b, 1, 3, 5, 7);
#endif
}

// to[i] = sum of the lanes of the i-th vector. W at a time: a tree of pair sums ends in one vector.
static inline void sum_lanes(const float* from, long vectors, float* to) {
  long i = 0;
  for (; i + W <= vectors; i += W) {
    vf v[W];
    RM_UNROLL
    for (int k = 0; k < W; ++k) v[k] = load(from + (i + k) * W);
    RM_UNROLL
    for (int k = 0; k < W / 2; ++k) v[k] = pair_sums(v[2 * k], v[2 * k + 1]);
    RM_UNROLL
    for (int k = 0; k < W / 4; ++k) v[k] = pair_sums(v[2 * k], v[2 * k + 1]);
#if defined(__AVX2__)
    RM_UNROLL
    for (int k = 0; k < W / 8; ++k) v[k] = pair_sums(v[2 * k], v[2 * k + 1]);
#endif
#if defined(__AVX512F__)
    v[0] = pair_sums(v[0], v[1]);
#endif
    store(to + i, v[0]);
  }
  for (; i < vectors; ++i) to[i] = hsum(load(from + i * W));
}

// Partial sums of one call: of the weights per image, [image][dA, dB, dC (channels, states), dD, dbias];
// of per-token B and C per unit, [unit][step][state].
struct Partials {
  long matrix, weights, tokens;  // floats of one matrix, of one image's weights, of one unit's tokens
  float *weight, *B, *C;
  explicit Partials(const ScanArgs& f) {
    matrix = f.size.channels * f.size.states;
    weights = matrix * (1 + f.B.constant + f.C.constant) + 2 * f.size.channels;
    tokens = f.size.length * f.size.states;
    weight = B = C = nullptr;
  }
  long floats(const ScanArgs& f, const Cut& cut) const {
    return f.size.batches * weights + (2 - f.B.constant - f.C.constant) * cut.units * tokens;
  }
  void place(float* p, const ScanArgs& f, const Cut& cut) {
    weight = p, p += f.size.batches * weights;
    if (!f.B.constant) B = p, p += cut.units * tokens;
    if (!f.C.constant) C = p;
  }
};

// [state][W] → rows of (channels, states)
static inline void unpack(const float* from, const Block& block, long states, float* to) {
  for (int w = 0; w < block.lanes; ++w)
    for (long n = 0; n < states; ++n) to[(block.channel + w) * states + n] = from[n * W + w];
}

static inline void save_weights(const ScanArgs& f, const Unit& unit, const Block& block, long local,
                                const BackwardScratch& s, const Partials& partial) {
  const long states = f.size.states, at = local * states * W;
  float* to = partial.weight + unit.batch * partial.weights;
  unpack(s.dA + at, block, states, to);
  if (f.B.constant) unpack(s.dB + at, block, states, to += partial.matrix);
  if (f.C.constant) unpack(s.dC + at, block, states, to += partial.matrix);
  to += partial.matrix;
  store(to + block.channel, load(s.dD + local * W), block.lanes);
  store(to + f.size.channels + block.channel, load(s.dbias + local * W), block.lanes);
}

// Sums over images of `count` values from `first` on; leaves them with the first image.
static inline void sum_weights(const ScanArgs& f, const Partials& partial, long first, long count) {
  float* to = partial.weight + first;
  for (long b = 1; b < f.size.batches; ++b) {
    const float* from = to + b * partial.weights;
    for (long i = 0; i < count; ++i) to[i] += from[i];
  }
}

// Hands the summed weights out.
static inline void deliver_weights(const ScanGradArgs& a, const Partials& partial) {
  const ScanArgs& f = a.forward;
  const float* from = partial.weight;
  const auto give = [&from](void* to, long floats) {
    if (to) std::memcpy(to, from, sizeof(float) * floats);
    from += floats;
  };
  give(a.dA, partial.matrix);
  if (f.B.constant) give(a.dB.data, partial.matrix);
  if (f.C.constant) give(a.dC.data, partial.matrix);
  give(a.dD, f.size.channels);
  give(a.dbias, f.size.channels);
}

// dB or dC of one image and group: the sum over its units.
static inline void deliver_tokens(const States& to, const ScanSizes& s, const Cut& cut, long batch,
                                  long group, const float* partial, long tokens) {
  const float* from = partial + (batch * s.groups + group) * cut.parts * tokens;
  for (long t = 0; t < s.length; ++t) {
    const long at = batch * to.batch + group * to.group + t * to.row;
    for (long n = 0; n < s.states; ++n) {
      float sum = from[t * s.states + n];
      for (long part = 1; part < cut.parts; ++part) sum += from[part * tokens + t * s.states + n];
      if (to.type == rmeeto::kFloat)
        static_cast<float*>(to.data)[at + n * to.state] = sum;
      else
        from_float(sum, static_cast<bf16*>(to.data) + at + n * to.state);
    }
  }
}

}  // namespace RM_NS
