// The convolution that the filling network is made of, one row of outputs a call.
//
// Planes are [row][position][channel], channels a multiple of eight, with a margin of zeros around.
#pragma once

#include <cstddef>

namespace fieldpack::filling {

constexpr int kLanes = 8;
constexpr int kMostTaps = 9;
constexpr float kLeak = 0.1f;  // slope below zero of the activation

struct RowArgs {
  const float* in;             // the first output's first tap
  ptrdiff_t in_step;           // floats from one output's taps to the next one's
  int inputs;                  // channels
  int taps;
  ptrdiff_t offsets[kMostTaps];  // floats from the first tap to each
  const float* weights;        // [tap][input][output]
  const float* bias;           // [output]
  int outputs;                 // channels
  float* out;
  const float* add;            // what to add, laid out as `out`, or null
  ptrdiff_t out_step;          // floats from one output to the next
  int count;                   // outputs in the row
  bool rectify;                // at the end, below zero by kLeak
};

struct Kernels {
  void (*row)(const RowArgs& args);
};

// The best of this machine, or the one that FIELDPACK_ISA names; throws std::runtime_error as
// fieldpack::train::kernels does.
const Kernels& kernels();

}  // namespace fieldpack::filling
