// Selective scan: what the kernels are given. Strides count elements; time runs with the row stride, so a
// reversed scan is the same scan with the pointers at the last row and negative row strides.
#pragma once
#include "isa.h"

namespace rmeeto {

enum Type { kFloat, kBf16 };

// (batch, length, channels) with stride 1 over channels; data is null for an absent tensor.
struct Rows {
  void* data;
  long batch, row;
  int type;
};

// B or C: one value per (batch, group, time, state), or constant in time: (channels, states) floats.
struct States {
  void* data;
  long batch, group, row, state;
  int type;
  bool constant;
};

struct ScanSizes {
  long batches, length, channels, states, groups;
};

struct ScanArgs {
  ScanSizes size;
  Rows u, delta, z, out;
  const float* A;  // (channels, states)
  States B, C;
  const float *D, *bias;  // (channels), or null
  float* last;            // (batches, channels, states): state after the last step, or null
  bool softplus;
  int threads;
};

struct ScanGradArgs {
  ScanArgs forward;                // out and last are not used
  Rows grad, du, ddelta, dz;       // dz like z
  float *dA, *dD, *dbias;          // dD and dbias may be null
  States dB, dC;                   // shaped like B and C
  bool accumulate;                 // add to dz what it held
};

}  // namespace rmeeto

RM_KERNEL(scan_forward, rmeeto::ScanArgs)
RM_KERNEL(scan_backward, rmeeto::ScanGradArgs)
