// A separable symmetric filter of 7 taps over the latents of a grid, and its gradients. Beyond the
// plane latents count as zero, so that the filter is its own transpose.
#pragma once

#include "kernels.hpp"
#include "vector.hpp"

namespace fieldpack::train::FIELDPACK_ISA {

// values[0] + pairs at distances 1, 2 and 3, each times its tap; `step` leads to the next value.
struct Stencil {
  Floats taps[kTaps];

  explicit Stencil(const float* differences) {
    for (int t = 0; t < kTaps; ++t) taps[t] = splat(differences[t]);
    taps[0] += splat(1.0f);
  }
  FIELDPACK_INLINE Floats at(const float* x, ptrdiff_t step) const {
    Floats sum = taps[0] * load(x);
    for (int t = 1; t < kTaps; ++t) sum += taps[t] * (load(x - t * step) + load(x + t * step));
    return sum;
  }
};

inline void filter(const FilterArgs& a) {
  const Stencil stencil(a.taps);
  float* line = a.workspace + 2 * kLanes;  // a row between the two directions
  const Ints lanes = lane_indices();
  const int width = a.in.width;
  for (int y = a.row_begin; y < a.row_end; ++y) {
    const float* in = a.in.row(y);
    float* out = a.out.row(y);
    for (int x = -kLanes; x < width + kLanes; x += kLanes)
      store(line + x, stencil.at(in + x, a.in.stride));
    for (int x = 0; x < width; x += kLanes) {
      Floats v = select(lanes + x < width, stencil.at(line + x, 1), Floats{});
      if (a.add) v += load(out + x);
      store(out + x, v);
    }
  }
}

// Adds to `sums` the gradient of the taps, from the latents and the gradient of what came out.
inline void filter_gradient(const FilterGradientArgs& a) {
  const Stencil stencil(a.taps);
  const ptrdiff_t length = a.in.width + 4 * kLanes;
  float* line = a.workspace + 2 * kLanes;
  float* back = line + length;
  Floats sums[kTaps];
  for (int t = 0; t < kTaps; ++t) sums[t] = load(a.sums + t * kLanes);
  for (int y = a.row_begin; y < a.row_end; ++y) {
    const float* in = a.in.row(y);
    const float* gradient = a.gradient.row(y);
    for (int x = -kLanes; x < a.in.width + kLanes; x += kLanes) {
      store(line + x, stencil.at(in + x, a.in.stride));
      store(back + x, stencil.at(gradient + x, 1));
    }
    for (int x = 0; x < a.in.width; x += kLanes) {
      const Floats g = load(gradient + x), h = load(back + x);
      sums[0] += g * load(line + x) + h * load(in + x);
      for (int t = 1; t < kTaps; ++t)
        sums[t] += g * (load(line + x - t) + load(line + x + t)) +
                   h * (load(in + x - t * a.in.stride) + load(in + x + t * a.in.stride));
    }
  }
  for (int t = 0; t < kTaps; ++t) store(a.sums + t * kLanes, sums[t]);
}

}  // namespace fieldpack::train::FIELDPACK_ISA
