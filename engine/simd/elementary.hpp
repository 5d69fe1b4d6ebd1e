// Elementary functions from IEEE additions, multiplications and divisions in a fixed order
// (docs/format.md, "Elementary functions"): a math library's last bit differs between machines.
#pragma once

#include "simd/vector.hpp"

namespace {

// Adding and subtracting 3 · 2^(mantissa - 1) rounds to the nearest integer, ties to even.
inline Floats nearest_integer(Floats x) { return (x + 12582912.0f) - 12582912.0f; }

// Relative error below 2e-7 for -87 <= x <= 88, the ends held beyond; NaN gives a number too.
inline Floats exponential(Floats x) {
    x = x > -87.0f ? x : broadcast(-87.0f);
    x = x < 88.0f ? x : broadcast(88.0f);
    const Floats n = nearest_integer(x * 1.44269504f);
    const Floats r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    Floats y = broadcast(1.0f / 720);
    y = y * r + 1.0f / 120;
    y = y * r + 1.0f / 24;
    y = y * r + 1.0f / 6;
    y = y * r + 0.5f;
    y = y * r + 1.0f;
    y = y * r + 1.0f;
    const Ints exponent = (__builtin_convertvector(n, Ints) + 127) << 23;
    return y * load<Floats>(&exponent);
}

inline Floats hyperbolic_tangent(Floats x) { return 1.0f - 2.0f / (exponential(x + x) + 1.0f); }

inline Floats logistic(Floats x) { return 1.0f / (exponential(-x) + 1.0f); }

// x times the normal distribution function of x, by Abramowitz and Stegun 7.1.26 (error of the
// distribution function below 1e-7).
inline Floats gaussian_error_linear_unit(Floats x) {
    const Floats z = x < 0.0f ? -x : x;
    const Floats t = 1.0f / (1.0f + 0.23164190f * z);
    Floats y = broadcast(0.53070271f);
    y = y * t + -0.72657601f;
    y = y * t + 0.71070687f;
    y = y * t + -0.14224837f;
    y = y * t + 0.12741480f;
    const Floats tail = (y * t) * exponential(-0.5f * (z * z));
    return x * (x < 0.0f ? tail : 1.0f - tail);
}

// sin(2 pi turns) to 1e-9.
inline Doubles sine_of_turns(Doubles turns) {
    Doubles u = turns - ((turns + 6755399441055744.0) - 6755399441055744.0);
    u = u > 0.25 ? 0.5 - u : u;
    u = u < -0.25 ? -0.5 - u : u;
    const Doubles square = u * u;
    Doubles y = Doubles{} + 3.8199525848482803;
    y = y * square + -15.094642576822984;
    y = y * square + 42.058693944897634;
    y = y * square + -76.70585975306136;
    y = y * square + 81.60524927607504;
    y = y * square + -41.341702240399755;
    y = y * square + 6.283185307179586;
    return y * u;
}

}  // namespace
