// Plans and slots come from the caller and become addresses: both are checked here, before any kernel.
#include "module.h"
#include "tokens.h"

namespace rmeeto {
namespace {

// Tokens that take part in each image, or -1 when the images differ.
long count_free(const std::uint8_t* fixed, long batch, long tokens, long stride) {
  long first = 0;
  for (long b = 0; b < batch; ++b) {
    long free = tokens;
    for (long n = 0; n < tokens; ++n) free -= fixed[b * stride + n];
    if (b == 0) first = free;
    if (free != first) return -1;
  }
  return first;
}

bool valid_slots(const std::int64_t* assign, long count, long slots) {
  std::int64_t low = 0, high = 0;
  for (long i = 0; i < count; ++i) {
    low = assign[i] < low ? assign[i] : low;
    high = assign[i] > high ? assign[i] : high;
  }
  return low >= 0 && high <= slots;
}

void add(nanobind::module_& m) {
  // Returns the number of tokens that take part, or -1; runs only if `removed` is at most half of it.
  m.def("match", [](Address features, Address fixed, Address assign, Address keep, long batch,
                    long tokens, long width, long removed, long feature_batch, long feature_row,
                    long fixed_batch, bool ordered, bool half, int threads) {
    nanobind::gil_scoped_release nogil;
    const long free = count_free(at<std::uint8_t>(fixed), batch, tokens, fixed_batch);
    if (removed <= free / 2)
      match({at<void>(features), at<std::uint8_t>(fixed), at<std::int64_t>(assign),
             at<std::int64_t>(keep), batch, tokens, width, removed, free, feature_batch,
             feature_row, fixed_batch, ordered, half, threads});
    return free;
  });
  // These two return false, having done nothing, when a slot is out of range.
  m.def("slot_sum", [](Address in, Address weight, Address assign, Address out, Address total,
                       long batch, long tokens, long slots, long width, long in_batch, long in_row,
                       long weight_batch, int threads) {
    nanobind::gil_scoped_release nogil;
    const bool valid = valid_slots(at<std::int64_t>(assign), batch * tokens, slots);
    if (valid)
      slot_sum({at<float>(in), at<float>(weight), at<std::int64_t>(assign), at<float>(out),
                at<float>(total), batch, tokens, slots, width, in_batch, in_row, weight_batch,
                threads});
    return valid;
  });
  m.def("slot_gather", [](Address in, Address weight, Address assign, Address out, long batch,
                          long tokens, long slots, long width, long in_batch, long in_row,
                          long weight_batch, int threads) {
    nanobind::gil_scoped_release nogil;
    const bool valid = valid_slots(at<std::int64_t>(assign), batch * tokens, slots);
    if (valid)
      slot_gather({at<float>(in), at<float>(weight), at<std::int64_t>(assign), at<float>(out),
                   nullptr, batch, tokens, slots, width, in_batch, in_row, weight_batch, threads});
    return valid;
  });
}

Binder binder(add);

}  // namespace
}  // namespace rmeeto
