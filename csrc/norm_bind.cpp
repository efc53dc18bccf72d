#include "module.h"
#include "norm.h"

namespace rmeeto {
namespace {

void add(nanobind::module_& m) {
  m.def("norm_forward", [](Address x, Address residual, Address weight, Address out, Address stream,
                           long rows, long width, long x_row, long residual_row, float eps,
                           bool half_in, bool half_out, int threads) {
    nanobind::gil_scoped_release nogil;
    norm_forward({at<void>(x), at<float>(residual), at<float>(weight), at<void>(out),
                  at<float>(stream), rows, width, x_row, residual_row, eps, half_in, half_out,
                  threads});
  });
  m.def("norm_backward", [](Address grad, Address grad_stream, Address stream, Address weight,
                            Address out, Address grad_weight, long rows, long width, float eps,
                            bool half, int threads) {
    nanobind::gil_scoped_release nogil;
    norm_backward({at<void>(grad), at<float>(grad_stream), at<float>(stream), at<float>(weight),
                   at<float>(out), at<float>(grad_weight), rows, width, eps, half, threads});
  });
}

Binder binder(add);

}  // namespace
}  // namespace rmeeto
