// Gradients of the mixer: a thread takes a group of images, one after the other, and sums their gradients of
// the parameters; the groups, cut by shape only, are added up in their order.
#include "conv_backward.h"
#include "mixer_backward.h"
#include "mixer_sums.h"
#include "parallel.h"

namespace RM_NS {
namespace {

using rmeeto::ConvArgs;

const long kMostGroups = 16;
const long kChannelsPerUnit = 256;  // of the scan: its sums for B and C stay in the cache

ScanGradArgs scan_args(const Backward& m, int way, long image, const BackScratch& s) {
  const MixerArgs& f = m.f;
  const long width = m.c.blocks * W, rank = f.rank, D = f.channels, bytes = f.half ? 2 : 4;
  const auto mine = [](float* data, long row) { return Rows{data, 0, row, rmeeto::kFloat}; };
  const auto tokens = [&m](float* data) { return States{data, 0, 0, m.c.padded, 1, rmeeto::kFloat, false}; };
  ScanGradArgs g{};
  g.forward.size = m.c.size;
  g.forward.u = mine(s.u, width), g.forward.delta = mine(s.delta, width);
  g.forward.z = directed((char*)f.xz + D * bytes, image, f.xz_batch, f.xz_row, f.length, way, f.half);
  g.forward.B = tokens(s.low + rank), g.forward.C = tokens(s.low + rank + f.states);
  g.forward.D = f.ways[way].D, g.forward.bias = f.ways[way].dt_bias, g.forward.softplus = true;
  g.grad = directed(m.a.grad, image, m.a.grad_batch, m.a.grad_row, f.length, way, f.half);
  g.du = mine(s.du, width), g.ddelta = mine(s.delta, width);
  g.dz = directed((char*)m.a.grad_xz + D * bytes, image, f.length * 2 * D, 2 * D, f.length, way, f.half);
  g.dB = tokens(s.d_low + rank), g.dC = tokens(s.d_low + rank + f.states);
  g.accumulate = way;
  return g;
}

void scan_image(const Backward& m, int way, long image, const BackScratch& s, const WaySums& sums) {
  const ScanGradArgs g = scan_args(m, way, image, s);
  const BackwardScratch scratch(s.scan, m.c.cut, m.c.size, m.stretches);
  Partials partial(g.forward);
  partial.weight = s.weight, partial.B = s.dB, partial.C = s.dC;
  const Packed packed(m.weights[way].packed.A);
  for (long index = 0; index < m.c.cut.units; ++index)
    backward_unit(g, m.c.cut, m.stretches, packed, index, scratch, partial);
  add_floats(sums.scan, s.weight, partial.weights);
  const Blocked ddelta{s.delta, W, m.c.blocks * W, m.f.channels};
  multiply(m.f.length, ddelta, m.weights[way].dt_panels, m.f.rank, s.d_low, m.c.padded);
  deliver_tokens(g.dB, m.c.size, m.c.cut, 0, 0, partial.B, partial.tokens);
  deliver_tokens(g.dC, m.c.size, m.c.cut, 0, 0, partial.C, partial.tokens);
}

template <class T, int K>
void convolve_back(const Backward& m, int way, long image, const BackScratch& s, const WaySums& sums) {
  constexpr int V = kBackwardStrip;
  const MixerArgs& f = m.f;
  ConvArgs a{};
  a.x = static_cast<const T*>(f.xz) + image * f.xz_batch, a.x_row = f.xz_row;
  a.out = static_cast<T*>(m.a.grad_xz) + image * f.length * 2 * f.channels, a.out_row = 2 * f.channels;
  a.weight = f.ways[way].taps, a.bias = f.ways[way].conv_bias;
  // The rows of du are in the direction's order already: read from the end they are in that of the tokens.
  const long width = m.c.blocks * W;
  a.grad = way ? s.du + (f.length - 1) * width : s.du, a.grad_row = way ? -width : width;
  a.length = f.length, a.channels = f.channels, a.taps = K;
  a.silu = true, a.reverse = way, a.accumulate = way;
  long c = 0;
  for (; c + V * W <= a.channels; c += V * W) backward_strip<T, float, K, V, true>(a, 0, c, V * W, s.conv);
  for (; c < a.channels; c += W)
    backward_strip<T, float, K, 1, false>(a, 0, c, static_cast<int>(smaller(W, a.channels - c)), s.conv);
  add_floats(sums.conv, s.conv, (K + 1) * a.channels);
}

template <class T, int K>
void unmix_way(const Backward& m, int way, long image, const BackScratch& s, const WaySums& sums) {
  const MixerArgs& f = m.f;
  const BackWeights& w = m.weights[way];
  const long L = f.length, width = m.c.blocks * W, padded = m.c.padded;
  const T* x = static_cast<const T*>(f.xz) + image * f.xz_batch;
  const Tokens<T> tokens = {way ? x + (L - 1) * f.xz_row : x, way ? -f.xz_row : f.xz_row};
  convolve<T, K>(tokens, 0, L, f.channels, w.packed.taps, {s.u, W, width});
  read_low<T>(m, way, image, s.low);
  for (long k = 0; k < m.c.blocks; ++k)
    multiply_column(L, s.low, padded, f.rank, w.packed.dt_proj + k * f.rank * W, vf{}, s.delta + k * W, width);
  scan_image(m, way, image, s, sums);
  add_product(m.c.columns, L, s.d_low, 1, padded, s.u, sums.x_proj, width);
  add_product(f.rank, L, s.low, 1, padded, s.delta, sums.dt_proj, width);
  add_product(L, m.c.columns, s.d_low, padded, 1, w.x_rows, s.du, width);
  convolve_back<T, K>(m, way, image, s, sums);
}

template <class T, int K>
void unmix(const MixerGradArgs& a) {
  MixerArgs one = a.forward;
  one.batch = 1;  // the scan sees an image at a time
  const MixerArgs& f = a.forward;
  const MixerCut c(one, kChannelsPerUnit);
  const Stretches stretches(f.length);
  const double cost = 2. * f.batch * f.length * f.channels * (10. * f.states + 60) / W;
  const long images = ceil_div(f.batch, kMostGroups), groups = ceil_div(f.batch, images);
  int threads = worth_threads(f.threads, cost);
  if (threads > groups) threads = static_cast<int>(groups);
  const long packed = BackWeights::floats(f, c), each = BackScratch(f, c, stretches, nullptr).floats;
  const long sums = WaySums(f, c, nullptr).floats;
  float* memory = rmeeto::arena(2 * packed + 2 * groups * sums + threads * each);
  const Backward m{a, f, c, stretches,
                   {pack_back(f, c, f.ways[0], memory), pack_back(f, c, f.ways[1], memory + packed)}};
  float* const total = memory + 2 * packed;
  float* const scratch = total + 2 * groups * sums;
  parallel_for(groups, threads, [&](long group, int thread) {
    const FlushToZero flush;
    const BackScratch s(f, c, stretches, scratch + thread * each);
    float* const mine = total + group * 2 * sums;
    std::memset(mine, 0, sizeof(float) * 2 * sums);
    for (long image = group * images; image < smaller(f.batch, (group + 1) * images); ++image)
      for (int way = 0; way < 2; ++way)
        unmix_way<T, K>(m, way, image, s, WaySums(f, c, mine + way * sums));
  });
  for (long group = 1; group < groups; ++group) add_floats(total, total + group * 2 * sums, 2 * sums);
  for (int way = 0; way < 2; ++way)
    deliver_way(f, c, f.ways[way], WaySums(f, c, total + way * sums), a.ways[way]);
}

}  // namespace

void mixer_backward(const MixerGradArgs& a) {
  const bool half = a.forward.half;
  switch (a.forward.taps) {
    case 2: return half ? unmix<bf16, 2>(a) : unmix<float, 2>(a);
    case 3: return half ? unmix<bf16, 3>(a) : unmix<float, 3>(a);
    default: return half ? unmix<bf16, 4>(a) : unmix<float, 4>(a);
  }
}

}  // namespace RM_NS
