// Portable vectors of floats, as wide as the instruction set this file is compiled for.
//
// Everything lives in a namespace named after the instruction set, because the same source is
// compiled several times into one library and the copies must not be merged by the linker. For
// the same reason hot files include nothing from the standard library but integer types.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#ifndef FIELDPACK_ISA
#define FIELDPACK_ISA baseline
#endif

#if defined(__AVX512F__)
#define FIELDPACK_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define FIELDPACK_VECTOR_BYTES 32
#else
#define FIELDPACK_VECTOR_BYTES 16
#endif

#define FIELDPACK_INLINE inline __attribute__((always_inline))

namespace fieldpack::train::FIELDPACK_ISA {

typedef float Floats __attribute__((vector_size(FIELDPACK_VECTOR_BYTES), may_alias));
typedef int32_t Ints __attribute__((vector_size(FIELDPACK_VECTOR_BYTES), may_alias));
typedef uint32_t Words __attribute__((vector_size(FIELDPACK_VECTOR_BYTES), may_alias));
typedef float UnalignedFloats
    __attribute__((vector_size(FIELDPACK_VECTOR_BYTES), may_alias, aligned(4)));

constexpr int kLanes = FIELDPACK_VECTOR_BYTES / 4;

FIELDPACK_INLINE Floats load(const float* p) { return *reinterpret_cast<const UnalignedFloats*>(p); }
FIELDPACK_INLINE void store(float* p, Floats v) { *reinterpret_cast<UnalignedFloats*>(p) = v; }
FIELDPACK_INLINE Floats splat(float x) { return x - Floats{}; }
FIELDPACK_INLINE Floats select(Ints mask, Floats a, Floats b) { return mask ? a : b; }
#if FIELDPACK_VECTOR_BYTES == 64
// The same as below, which gcc 12 turns into two instructions where comparisons yield masks.
FIELDPACK_INLINE Floats max(Floats a, Floats b) { return Floats(_mm512_max_ps(__m512(a), __m512(b))); }
FIELDPACK_INLINE Floats min(Floats a, Floats b) { return Floats(_mm512_min_ps(__m512(a), __m512(b))); }
#else
FIELDPACK_INLINE Floats max(Floats a, Floats b) { return a > b ? a : b; }
FIELDPACK_INLINE Floats min(Floats a, Floats b) { return a < b ? a : b; }
#endif
FIELDPACK_INLINE Floats to_floats(Ints v) { return __builtin_convertvector(v, Floats); }
FIELDPACK_INLINE Ints bits_of(Floats v) { return reinterpret_cast<Ints&>(v); }
FIELDPACK_INLINE Floats from_bits(Ints v) { return reinterpret_cast<Floats&>(v); }
FIELDPACK_INLINE Floats abs(Floats v) { return from_bits(bits_of(v) & 0x7fffffff); }

FIELDPACK_INLINE Ints lane_indices() {
  Ints v{};
  for (int i = 0; i < kLanes; ++i) v[i] = i;
  return v;
}

FIELDPACK_INLINE float sum(Floats v) {
  float total = 0;
  for (int i = 0; i < kLanes; ++i) total += v[i];
  return total;
}

// Elementwise square root; the loop compiles to one instruction.
FIELDPACK_INLINE Floats sqrt(Floats v) {
  Floats r;
  for (int i = 0; i < kLanes; ++i) r[i] = __builtin_sqrtf(v[i]);
  return r;
}

// Nearest integer for |v| < 2^22, ties to even.
FIELDPACK_INLINE Floats round(Floats v) {
  const Floats magic = splat(12582912.0f);
  return (v + magic) - magic;
}

FIELDPACK_INLINE Floats floor(Floats v) {
  const Floats r = round(v);
  return r - select(r > v, splat(1.0f), Floats{});
}

// e^v with a relative error of about 2e-7; the argument is clamped to [-87, 87].
FIELDPACK_INLINE Floats exp(Floats v) {
  v = min(max(v, splat(-87.0f)), splat(87.0f));
  const Floats magic = splat(12582912.0f);
  const Floats shifted = v * 1.44269504f + magic;
  const Floats n = shifted - magic;
  Floats r = v - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  Floats p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Ints exponent = (bits_of(shifted) - bits_of(magic) + 127) << 23;
  return p * from_bits(exponent);
}

// Natural logarithm of positive normal numbers, absolute error about 1e-7.
FIELDPACK_INLINE Floats log(Floats v) {
  const Ints bits = bits_of(v);
  // Split so that the mantissa lies in [sqrt(1/2), sqrt(2)).
  const Ints exponent = (bits - 0x3f3504f3) >> 23;
  const Floats m = from_bits(bits - (exponent << 23));
  const Floats s = (m - 1.0f) / (m + 1.0f);
  const Floats z = s * s;
  Floats p = splat(2.0f / 9);
  p = p * z + 2.0f / 7;
  p = p * z + 2.0f / 5;
  p = p * z + 2.0f / 3;
  p = p * z + 2.0f;
  return to_floats(exponent) * 0.69314718f + p * s;
}

}  // namespace fieldpack::train::FIELDPACK_ISA
