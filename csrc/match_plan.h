// From each source's nearest target to the plan: who merges, who stays, and where everyone goes.
#pragma once
#include "match_nearest.h"

namespace RM_NS {
namespace {

// Larger scores have smaller keys; equal ones sort by position.
RM_INLINE std::uint64_t key_of(float score, long position) {
  std::uint32_t bits;
  score += 0.f;  // -0 is 0
  std::memcpy(&bits, &score, sizeof bits);
  bits = bits >> 31 ? bits : ~(bits | 0x80000000u);
  return static_cast<std::uint64_t>(bits) << 32 | static_cast<std::uint32_t>(position);
}

// Merges the lanes of each source's maximum: where[i*W] becomes the target, keys[i] the rank.
void rank(const Scratch& s) {
  for (long i = 0; i < s.sources; ++i) {
    float top = kNone;
    std::int32_t at = 0;
    for (int lane = 0; lane < W; ++lane) {
      const float score = s.best[i * W + lane];
      const std::int32_t target = s.where[i * W + lane] * W + lane;
      if (score > top || (score == top && target < at)) top = score, at = target;
    }
    s.where[i * W] = at < s.targets ? at : 0;
    s.keys[i] = key_of(top * s.inverse[2 * i], i);
  }
  static const int gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};  // Ciura's, for Shell's sort
  for (int gap : gaps)
    for (long i = gap; i < s.sources; ++i) {
      const std::uint64_t key = s.keys[i];
      long j = i;
      for (; j >= gap && s.keys[j - gap] > key; j -= gap) s.keys[j] = s.keys[j - gap];
      s.keys[j] = key;
    }
}

RM_INLINE long source_at(const Scratch& s, long place) {
  return static_cast<long>(s.keys[place] & 0xffffffffu);
}

// Survivors in their old order.
void keep_in_order(const MatchArgs& a, std::int64_t* assign, std::int64_t* keep) {
  long slots = 0;
  for (long n = 0; n < a.tokens; ++n)
    if (assign[n] != -1) assign[n] = slots, keep[slots++] = n;
}

// Kept sources by falling score, the fixed tokens among them by proportion, then the targets.
void keep_by_score(const MatchArgs& a, const Scratch& s, std::int64_t* assign, std::int64_t* keep) {
  const long kept = s.sources - a.removed, n_fixed = a.tokens - a.free;
  long slots = 0, f = 0;
  auto put = [&](long n) { assign[n] = slots, keep[slots++] = n; };
  for (long i = 0; i <= kept; ++i) {
    while (f < n_fixed && (i == kept || s.fixed[f] * kept / s.sources <= i)) put(s.fixed[f++]);
    if (i < kept) put(s.free[2 * source_at(s, a.removed + i)]);
  }
  for (long j = 0; j < s.targets; ++j) put(s.free[2 * j + 1]);
}

void write_plan(const MatchArgs& a, long b, const Scratch& s) {
  std::int64_t* assign = a.assign + b * a.tokens;
  std::int64_t* keep = a.keep + b * (a.tokens - a.removed);
  for (long n = 0; n < a.tokens; ++n) assign[n] = 0;
  for (long i = 0; i < a.removed; ++i) assign[s.free[2 * source_at(s, i)]] = -1;
  if (a.ordered)
    keep_in_order(a, assign, keep);
  else
    keep_by_score(a, s, assign, keep);
  for (long i = 0; i < a.removed; ++i) {
    const long source = source_at(s, i);
    assign[s.free[2 * source]] = assign[s.free[2 * s.where[source * W] + 1]];
  }
}

}  // namespace
}  // namespace RM_NS
