// Vectors of the width that suits the instruction set a file is compiled for. Everything here has
// internal linkage: the same names are compiled with different instruction sets, and the linker
// must not merge them.
#pragma once

#include <cstdint>

namespace {

#if defined(__AVX512F__)
constexpr int vector_bytes = 64;
#elif defined(__AVX2__)
constexpr int vector_bytes = 32;
#else
constexpr int vector_bytes = 16;
#endif

constexpr int lanes = vector_bytes / 4;

typedef float Floats __attribute__((vector_size(vector_bytes)));
typedef std::int32_t Ints __attribute__((vector_size(vector_bytes)));
typedef double Doubles __attribute__((vector_size(vector_bytes)));
typedef std::int64_t Longs __attribute__((vector_size(vector_bytes)));
typedef float HalfFloats __attribute__((vector_size(vector_bytes / 2)));

template <class Vector, class Scalar>
inline Vector load(const Scalar* from) {
    Vector result;
    __builtin_memcpy(&result, from, sizeof result);
    return result;
}

template <class Vector, class Scalar>
inline void store(Scalar* to, Vector value) {
    __builtin_memcpy(to, &value, sizeof value);
}

inline Floats broadcast(float value) { return Floats{} + value; }

}  // namespace
