// Token matching, and sums of rows into slots.
#pragma once
#include <cstdint>

#include "isa.h"

namespace rmeeto {

struct MatchArgs {
  const void* features;            // (batch, tokens, width) rows, float or (half) bf16
  const std::uint8_t* fixed;       // (batch, tokens) bool: tokens that take no part
  std::int64_t* assign;            // (batch, tokens)
  std::int64_t* keep;              // (batch, tokens - removed)
  long batch, tokens, width, removed, free;  // free: tokens that take part in each image
  long feature_batch, feature_row, fixed_batch;  // strides
  bool ordered, half;
  int threads;
};

struct SlotArgs {
  const float* in;             // slot_sum: (batch, tokens, width) rows; slot_gather: (batch, slots, width)
  const float* weight;         // (batch, tokens), or null for 1
  const std::int64_t* assign;  // (batch, tokens), 0 … slots; `slots` drops the row
  float* out;                  // slot_sum: (batch, slots, width); slot_gather: (batch, tokens, width)
  float* total;                // slot_sum: null, or (batch, slots): then divide by the weights' sum
  long batch, tokens, slots, width;
  long in_batch, in_row, weight_batch;  // strides
  int threads;
};

}  // namespace rmeeto

RM_KERNEL(match, rmeeto::MatchArgs)
RM_KERNEL(slot_sum, rmeeto::SlotArgs)
RM_KERNEL(slot_gather, rmeeto::SlotArgs)
