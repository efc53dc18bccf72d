#include "mixer_bind.h"

namespace {

using namespace rmeeto;

void forward(const PySizes& sizes, Address xz, long xz_batch, long xz_row, bool half, const PyWay& ahead,
             const PyWay& back, Address out, Address projected, int threads) {
  const auto [batch, length, channels, states, rank, taps] = sizes;
  nanobind::gil_scoped_release nogil;
  mixer_forward({at<void>(xz), {way(ahead), way(back)}, at<void>(out), at<void>(projected), batch, length,
                 channels, states, rank, taps, xz_batch, xz_row, half, threads});
}

MixerWayGrad way_grad(const PyWay& to) {
  const auto [taps, conv_bias, x_proj, dt_proj, dt_bias, A_log, D] = to;
  return {at<float>(taps),    at<float>(conv_bias), at<float>(x_proj), at<float>(dt_proj),
          at<float>(dt_bias), at<float>(A_log),     at<float>(D)};
}

void backward(const PySizes& sizes, Address xz, long xz_batch, long xz_row, bool half, const PyWay& ahead,
              const PyWay& back, Address projected, Address grad, long grad_batch, long grad_row,
              Address grad_xz, const PyWay& grad_ahead, const PyWay& grad_back, int threads) {
  const auto [batch, length, channels, states, rank, taps] = sizes;
  nanobind::gil_scoped_release nogil;
  const MixerArgs forward{at<void>(xz), {way(ahead), way(back)}, nullptr, at<void>(projected), batch, length,
                          channels, states, rank, taps, xz_batch, xz_row, half, threads};
  mixer_backward({forward, at<void>(grad), at<void>(grad_xz), {way_grad(grad_ahead), way_grad(grad_back)},
                  grad_batch, grad_row});
}

void add(nanobind::module_& m) {
  m.def("mixer_forward", &forward);
  m.def("mixer_backward", &backward);
}

Binder binder(add);

}  // namespace
