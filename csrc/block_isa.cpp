// What the projections leave never gets to memory: an image (or, where these are few, a stretch of one) is
// normed and projected by the thread that goes on with it.
#include "block.h"

#include "mixer_forward.h"
#include "norm_rows.h"

namespace RM_NS {
namespace {

using rmeeto::BlockArgs;

// A slot holds one image's projected input and mixed tokens; there is one a thread, or one an image.
class Around {
 public:
  static constexpr bool kAround = true;
  explicit Around(const BlockArgs& b)
      : b(b), rows(b.mixer.length + kTallest), xz_row(whole(2 * b.mixer.channels)), width(whole(b.width)) {}

  long shared(long slots, int threads) const { return packed() + slots * slot() + threads * scratch(); }
  void place(MixerArgs& a, float* memory, long slots, int threads) {
    in = memory, out = in + b.width * xz_row;
    pack(b.in_proj, 2 * a.channels, b.width, in, threads);
    pack(b.out_proj, b.width, a.channels, out, threads);
    first = memory + packed(), normed = first + slots * slot();
    a.xz = first, a.out = first + rows * xz_row;
    a.xz_row = xz_row, a.xz_batch = a.out_batch = slot();
  }
  // The mixer's arguments for an image that is in this slot, whatever its number.
  MixerArgs of(MixerArgs a, long at) const {
    a.xz = first + at * slot(), a.out = first + at * slot() + rows * xz_row;
    a.xz_batch = a.out_batch = 0;
    return a;
  }
  void enter(const MixerArgs& a, long image, long at, long t0, int thread) const {
    const long steps = smaller(kStretch, a.length - t0);
    float* to = normed + thread * scratch();
    const float* from = b.stream + image * b.stream_batch + t0 * b.stream_row;
    for (long t = 0; t < steps; ++t)
      norm_row(from + t * b.stream_row, nullptr, b.norm, b.width, b.eps, nullptr, to + t * width);
    multiply(steps, {to, W, width, b.width}, in, 2 * a.channels, first + at * slot() + t0 * xz_row, xz_row);
  }
  void leave(const MixerArgs& a, long image, long at, long t0, int thread) const {
    const long steps = smaller(kStretch, a.length - t0);
    float* fresh = normed + thread * scratch();
    const float* mixed = first + at * slot() + rows * xz_row + t0 * a.channels;
    multiply(steps, {mixed, W, a.channels, a.channels}, out, b.width, fresh, width);
    const float* from = b.stream + image * b.stream_batch + t0 * b.stream_row;
    const long at_row = (image * a.length + t0) * b.width;
    for (long t = 0; t < steps; ++t, from += b.stream_row)
      for_vectors(b.width, [&](long c, int n) {
        const vf update = b.scale * load(fresh + t * width + c);
        store_some(b.out + at_row + t * b.width + c, load_some(from + c, n) + update, n);
        if (b.update) store_some(b.update + at_row + t * b.width + c, update, n);
      });
  }

 private:
  static void pack(const float* from, long columns, long depth, float* to, int threads) {
    const long lines = ceil_div(depth, W);
    parallel_for(lines, worth_threads(threads, columns * depth / 2), [&](long i, int) {
      pack_panels(from, columns, depth, to, i * W, smaller(depth, (i + 1) * W));
    });
  }
  static long whole(long values) { return ceil_div(values, W) * W; }
  long packed() const { return b.width * xz_row + b.mixer.channels * width; }
  long slot() const { return rows * (xz_row + whole(b.mixer.channels)); }
  long scratch() const { return (kStretch + kTallest) * width; }

  const BlockArgs& b;
  long rows, xz_row, width;  // of a slot and its rows, in memory
  float *in = nullptr, *out = nullptr, *first = nullptr, *normed = nullptr;
};

}  // namespace

void block_forward(const BlockArgs& b) {
  const double products = 3. * b.mixer.batch * b.mixer.length * b.mixer.channels * b.width / (3 * W);  // ns
  mix_any<float>(b.mixer, Around(b), products);
}

}  // namespace RM_NS
