#include "conv.h"
#include "module.h"

namespace rmeeto {
namespace {

void add(nanobind::module_& m) {
  m.def("conv_forward", [](Address x, Address weight, Address bias, Address out, long batch,
                           long length, long channels, long taps, long x_batch, long x_row,
                           long out_batch, long out_row, bool silu, bool reverse, bool half, int threads) {
    nanobind::gil_scoped_release nogil;
    conv_forward({at<void>(x), nullptr, at<float>(weight), at<float>(bias), at<void>(out), nullptr,
                  nullptr, batch, length, channels, taps, x_batch, x_row, out_batch, out_row, 0, 0,
                  silu, reverse, half, false, threads});
  });
  m.def("conv_backward", [](Address grad, Address x, Address weight, Address bias, Address grad_x,
                            Address grad_weight, Address grad_bias, long batch, long length,
                            long channels, long taps, long x_batch, long x_row, long out_batch,
                            long out_row, long grad_batch, long grad_row, bool silu, bool reverse,
                            bool half, int threads) {
    nanobind::gil_scoped_release nogil;
    conv_backward({at<void>(x), at<void>(grad), at<float>(weight), at<float>(bias),
                   at<void>(grad_x), at<float>(grad_weight), at<float>(grad_bias), batch, length,
                   channels, taps, x_batch, x_row, out_batch, out_row, grad_batch, grad_row, silu,
                   reverse, half, false, threads});
  });
}

Binder binder(add);

}  // namespace
}  // namespace rmeeto
