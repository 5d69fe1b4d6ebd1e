// Quantisation of the latents while training: soft rounding with noise, or rounding.
//
// Soft rounding twice with uniform noise between: Agustsson and Theis, "Universally quantized neural
// compression", 2020; as used for single-image codecs by C3 (Kim et al., 2023).
#pragma once

#include "vector.hpp"
#include "kernels.hpp"

namespace fieldpack::train::FIELDPACK_ISA {

// Uniform numbers in [-1, 1) from counters: an integer hash with full avalanche (lowbias32).
FIELDPACK_INLINE Floats uniform(Words counter, uint32_t key) {
  Words h = counter * 0x9e3779b9u ^ key;
  h ^= h >> 16;
  h *= 0x21f0aaadu;
  h ^= h >> 15;
  h *= 0x735a2d97u;
  h ^= h >> 15;
  return to_floats(reinterpret_cast<Ints&>(h) >> 8) * (1.0f / 8388608);
}

struct SoftRounding {
  float inverse_temperature, half_inverse_gain, slope_gain;

  explicit SoftRounding(float temperature) {
    inverse_temperature = 1 / temperature;
    // tanh(1 / (2 T)) through the exponential of this file's own making.
    const float e = exp(splat(1 / temperature))[0];
    const float gain = 1 - 2 / (e + 1);
    half_inverse_gain = 0.5f / gain;
    slope_gain = inverse_temperature * half_inverse_gain;
  }

  // Returns s(x) and multiplies `slope` by s'(x).
  FIELDPACK_INLINE Floats operator()(Floats x, Floats& slope) const {
    const Floats middle = floor(x) + 0.5f;
    const Floats e = exp((x - middle) * (2 * inverse_temperature));
    const Floats t = 1.0f - 2.0f / (e + 1.0f);
    slope *= (1.0f - t * t) * slope_gain;
    return middle + t * half_inverse_gain;
  }
};

inline void quantise(const QuantiseArgs& a) {
  const SoftRounding soft(a.temperature);
  const Ints lanes = lane_indices();
  for (int y = a.row_begin; y < a.row_end; ++y) {
    const float* in = a.latents.row(y);
    float* out = a.quantised.row(y);
    float* slopes = a.slope.row(y);
    for (int x = 0; x < a.latents.width; x += kLanes) {
      const Ints valid = lanes + x < a.latents.width;
      const Floats v = load(in + x);
      Floats q, slope = splat(1.0f);
      if (a.mode == Quantiser::kHard) {
        q = round(v);
      } else {
        const Ints position = lanes + int32_t(y * a.latents.width + x);
        const Floats moved = uniform(reinterpret_cast<const Words&>(position), a.key) + a.shift;
        const Floats u = select(moved >= 1.0f, moved - 2.0f, moved);
        q = soft(soft(v, slope) + u * a.noise, slope);
      }
      // The context model relies on zeros outside the grid.
      store(out + x, select(valid, q, Floats{}));
      store(slopes + x, select(valid, slope, Floats{}));
    }
  }
}

// Adam, but what divides a latent's step is mostly the mean square gradient of its whole grid. The
// curvature of the distortion hardly differs within a grid, while dividing by each latent's own root
// mean square makes those that have nothing to tell walk about with the noise, at the price of bits.
inline void adam(AdamArgs& a) {
  double squares = 0;
  for (int y = a.row_begin; y < a.row_end; ++y) {
    float *latent = a.latents.row(y), *mean = a.mean.row(y), *square = a.square.row(y);
    const float *gradient = a.gradient.row(y), *slope = a.slope.row(y);
    Floats row_squares{};
    for (int x = 0; x < a.latents.width; x += kLanes) {
      const Floats g = load(gradient + x) * load(slope + x);
      const Floats m = load(mean + x) * a.beta1 + g * (1 - a.beta1);
      const Floats s = load(square + x) * a.beta2 + g * g * (1 - a.beta2);
      store(mean + x, m);
      store(square + x, s);
      row_squares += s;
      const Floats quotient = m / (sqrt(s * a.own + a.shared) + a.epsilon);
      const Floats bounded = min(max(quotient, splat(-a.largest)), splat(a.largest));
      store(latent + x, load(latent + x) - a.step * bounded);
    }
    squares += double(sum(row_squares));
  }
  a.squares = squares;
}

}  // namespace fieldpack::train::FIELDPACK_ISA
