// Sums of weighted rows into slots, in token order, and their adjoint. Denormals are kept: a row alone in
// its slot must come out bit for bit.
#include "parallel.h"
#include "simd.h"
#include "tokens.h"

namespace RM_NS {
namespace {

using rmeeto::SlotArgs;

constexpr long kStrip = 256;  // channels in a unit of work

RM_INLINE void scaled(const float* in, float weight, float* out, long n) {
  long c = 0;
  for (; c + W <= n; c += W) store(out + c, weight * load(in + c));
  for (; c < n; ++c) out[c] = weight * in[c];
}

RM_INLINE void add_scaled(const float* in, float weight, float* out, long n) {
  long c = 0;
  for (; c + W <= n; c += W) store(out + c, load(out + c) + weight * load(in + c));
  for (; c < n; ++c) out[c] += weight * in[c];
}

// Calls body(b, first channel, channels, thread) for every image and strip of channels.
template <class Body>
RM_INLINE void for_strips(const SlotArgs& a, int threads, const Body& body) {
  const long strips = a.width > kStrip ? (a.width + kStrip - 1) / kStrip : 1;
  parallel_for(a.batch * strips, threads, [&](long unit, int thread) {
    const long c0 = unit % strips * kStrip;
    body(unit / strips, c0, a.width - c0 < kStrip ? a.width - c0 : kStrip, thread);
  });
}

int threads_for(const SlotArgs& a) {
  return worth_threads(a.threads, 0.3 * a.batch * a.tokens * a.width);
}

}  // namespace

void slot_sum(const SlotArgs& a) {
  const int threads = threads_for(a);
  const long floats = (2 * a.slots + 15) / 16 * 16;
  float* base = rmeeto::arena(floats * threads + 16);
  for_strips(a, threads, [&](long b, long c0, long n, int thread) {
    float *total = base + thread * floats, *used = total + a.slots;
    const std::int64_t* assign = a.assign + b * a.tokens;
    const float* weight = a.weight ? a.weight + b * a.weight_batch : nullptr;
    for (long slot = 0; slot < a.slots; ++slot) total[slot] = used[slot] = 0;
    if (a.total) {
      for (long t = 0; t < a.tokens; ++t)
        if (assign[t] < a.slots) total[assign[t]] += weight[t];
      if (c0 == 0)
        for (long slot = 0; slot < a.slots; ++slot) a.total[b * a.slots + slot] = total[slot];
    }
    float* out = a.out + b * a.slots * a.width + c0;
    const float* in = a.in + b * a.in_batch + c0;
    for (long t = 0; t < a.tokens; ++t) {
      const long slot = assign[t];
      if (slot >= a.slots) continue;
      // Dividing by the total first makes the weight of a token alone exactly 1.
      const float w = !weight ? 1.f : a.total ? weight[t] / total[slot] : weight[t];
      if (used[slot] == 0)
        scaled(in + t * a.in_row, w, out + slot * a.width, n);
      else
        add_scaled(in + t * a.in_row, w, out + slot * a.width, n);
      used[slot] = 1;
    }
    for (long slot = 0; slot < a.slots; ++slot)
      if (used[slot] == 0)
        for (long c = 0; c < n; ++c) out[slot * a.width + c] = 0;
  });
}

void slot_gather(const SlotArgs& a) {
  for_strips(a, threads_for(a), [&](long b, long c0, long n, int) {
    const std::int64_t* assign = a.assign + b * a.tokens;
    const float* weight = a.weight ? a.weight + b * a.weight_batch : nullptr;
    float* out = a.out + b * a.tokens * a.width + c0;
    for (long t = 0; t < a.tokens; ++t, out += a.width) {
      if (assign[t] < a.slots)
        scaled(a.in + b * a.in_batch + assign[t] * a.in_row + c0, weight ? weight[t] : 1.f, out, n);
      else
        for (long c = 0; c < n; ++c) out[c] = 0;
    }
  });
}

}  // namespace RM_NS
