// Rate of a latent: minus the log of a Laplace distribution's mass on the unit bin around it.
#pragma once

#include "vector.hpp"

namespace fieldpack::train::FIELDPACK_ISA {

constexpr float kMinLogScale = -3.0f;  // a scale of .05: a certain symbol costs 7e-5 bits
constexpr float kMaxLogScale = 6.0f;

struct LaplaceRate {
  Floats nats;
  Floats d_value, d_mean, d_log_scale;
};

// With a = |value - mean|, s the scale, E1 = exp(-|a - 1/2| / s), E2 = exp(-(a + 1/2) / s), the mass
// is (E1 - E2) / 2 when the mean lies outside the bin and 1 - (E1 + E2) / 2 when it lies inside, and
// both cases share their derivatives: dP/da = (E2 - E1) / 2s,
// dP/dlog s = ((a - 1/2) E1 - (a + 1/2) E2) / 2s.
FIELDPACK_INLINE LaplaceRate laplace_rate(Floats value, Floats mean, Floats log_scale) {
  const Floats clamped = min(max(log_scale, splat(kMinLogScale)), splat(kMaxLogScale));
  const Floats inverse = exp(-clamped);
  const Floats difference = value - mean;
  const Floats a = abs(difference);
  const Floats inner = a - 0.5f, outer = a + 0.5f;
  // Far outliers keep a finite, still growing rate: the exponent stops, the slope does not.
  const Floats t1 = min(abs(inner) * inverse, splat(60.0f));
  const Floats e1 = exp(-t1);
  const Floats e2 = select(inner > 0, e1 * exp(-inverse), exp(-outer * inverse));
  const Floats mass =
      max(select(inner > 0, 0.5f * (e1 - e2), 1.0f - 0.5f * (e1 + e2)), splat(1e-30f));
  const Floats beyond = select(inner > 0, abs(inner) * inverse - t1, Floats{});
  const Floats factor = 0.5f * inverse / mass;
  const Floats d_distance = (e1 - e2) * factor;
  const Floats d_scale = (outer * e2 - inner * e1) * factor;
  LaplaceRate r;
  r.nats = beyond - log(mass);
  r.d_value = select(difference > 0, d_distance, -d_distance);
  r.d_mean = -r.d_value;
  // At a bound of the scale only the direction back inside counts.
  const Ints stuck = ((log_scale < kMinLogScale) & (d_scale > 0)) |
                     ((log_scale > kMaxLogScale) & (d_scale < 0));
  r.d_log_scale = select(stuck, Floats{}, d_scale);
  return r;
}

}  // namespace fieldpack::train::FIELDPACK_ISA
