#include "block.h"

#include "mixer_bind.h"

namespace {

using namespace rmeeto;

void forward(const PySizes& sizes, const PyWay& ahead, const PyWay& back, Address stream, long stream_batch,
             long stream_row, long width, Address norm, Address in_proj, Address out_proj, double eps,
             double scale, Address out, Address update, Address projected, int threads) {
  const auto [batch, length, channels, states, rank, taps] = sizes;
  nanobind::gil_scoped_release nogil;
  const MixerArgs mixer{nullptr, {way(ahead), way(back)}, nullptr, at<void>(projected), batch, length, channels,
                        states, rank, taps, 0, 0, false, threads};
  block_forward({mixer, at<float>(stream), at<float>(norm), at<float>(in_proj), at<float>(out_proj),
                 at<float>(out), at<float>(update), width, stream_batch, stream_row, static_cast<float>(eps),
                 static_cast<float>(scale)});
}

void add(nanobind::module_& m) { m.def("block_forward", &forward); }

Binder binder(add);

}  // namespace
