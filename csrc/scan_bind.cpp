// Python side of the scan: tuples of addresses and strides → argument structs.
#include <nanobind/stl/tuple.h>

#include <tuple>

#include "module.h"
#include "scan.h"

namespace {

using namespace rmeeto;
// address, batch, row, type
using PyRows = std::tuple<Address, long, long, int>;
// address, batch, group, row, state, type, constant
using PyStates = std::tuple<Address, long, long, long, long, int, bool>;
// batches, length, channels, states, groups
using PySizes = std::tuple<long, long, long, long, long>;

std::size_t bytes(int type) { return type == kFloat ? 4 : 2; }

// A reversed scan starts at the last row and steps back.
Rows rows(const PyRows& from, long length, bool reverse) {
  auto [address, batch, row, type] = from;
  if (address && reverse) address += (length - 1) * row * bytes(type), row = -row;
  return {at<void>(address), batch, row, type};
}

States states(const PyStates& from, long length, bool reverse) {
  auto [address, batch, group, row, state, type, constant] = from;
  if (!constant && reverse) address += (length - 1) * row * bytes(type), row = -row;
  return {at<void>(address), batch, group, row, state, type, constant};
}

ScanArgs scan_args(const PySizes& size, const PyRows& u, const PyRows& delta, Address A, const PyStates& B,
                   const PyStates& C, Address D, const PyRows& z, Address bias, bool softplus, bool reverse,
                   int threads) {
  const auto [batches, length, channels, n, groups] = size;
  ScanArgs a{};
  a.size = {batches, length, channels, n, groups};
  a.u = rows(u, length, reverse), a.delta = rows(delta, length, reverse), a.z = rows(z, length, reverse);
  a.A = at<float>(A), a.D = at<float>(D), a.bias = at<float>(bias);
  a.B = states(B, length, reverse), a.C = states(C, length, reverse);
  a.softplus = softplus, a.threads = threads;
  return a;
}

void forward(PySizes size, PyRows u, PyRows delta, Address A, PyStates B, PyStates C, Address D, PyRows z,
             Address bias, bool softplus, bool reverse, int threads, PyRows out, Address last) {
  nanobind::gil_scoped_release nogil;
  ScanArgs a = scan_args(size, u, delta, A, B, C, D, z, bias, softplus, reverse, threads);
  a.out = rows(out, a.size.length, reverse), a.last = at<float>(last);
  scan_forward(a);
}

void backward(PySizes size, PyRows u, PyRows delta, Address A, PyStates B, PyStates C, Address D, PyRows z,
              Address bias, bool softplus, bool reverse, int threads, PyRows grad, PyRows du, PyRows ddelta,
              Address dA, PyStates dB, PyStates dC, Address dD, PyRows dz, Address dbias) {
  nanobind::gil_scoped_release nogil;
  ScanGradArgs a{};
  a.forward = scan_args(size, u, delta, A, B, C, D, z, bias, softplus, reverse, threads);
  const long length = a.forward.size.length;
  a.grad = rows(grad, length, reverse), a.dz = rows(dz, length, reverse);
  a.du = rows(du, length, reverse), a.ddelta = rows(ddelta, length, reverse);
  a.dA = at<float>(dA), a.dD = at<float>(dD), a.dbias = at<float>(dbias);
  a.dB = states(dB, length, reverse), a.dC = states(dC, length, reverse);
  scan_backward(a);
}

void add(nanobind::module_& m) {
  m.def("scan_forward", &forward);
  m.def("scan_backward", &backward);
}

Binder binder(add);

}  // namespace
