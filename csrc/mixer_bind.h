// How the mixer's sizes and parameters arrive from Python.
#pragma once
#include "mixer.h"

#include <nanobind/stl/tuple.h>

#include <tuple>

#include "module.h"

namespace rmeeto {

// taps, conv_bias, x_proj, dt_proj, dt_bias, A_log, D
using PyWay = std::tuple<Address, Address, Address, Address, Address, Address, Address>;
// batch, length, channels, states, rank, taps
using PySizes = std::tuple<long, long, long, long, long, long>;

inline MixerWay way(const PyWay& from) {
  const auto [taps, conv_bias, x_proj, dt_proj, dt_bias, A_log, D] = from;
  return {at<float>(taps),    at<float>(conv_bias), at<float>(x_proj), at<float>(dt_proj),
          at<float>(dt_bias), at<float>(A_log),     at<float>(D)};
}

}  // namespace rmeeto
