// The operations that a field's program is made of, on a tile of points.
//
// A tile holds `tile_points` points; a value of C channels is stored as C rows of `tile_points`
// floats. Every kernel does the same IEEE operations in the same order for each point whatever the
// width of the machine's vectors, so all instruction sets give the same bits.
#pragma once

#include <cstddef>

namespace fieldpack {

constexpr int tile_points = 64;

struct Kernels {
    const char* name;
    // out (outputs rows) = weight (outputs x inputs, row-major) · in (inputs rows)
    void (*linear)(float* out, const float* weight, const float* in, int outputs, int inputs);
    void (*add)(float* out, const float* a, const float* b, int rows);
    void (*multiply)(float* out, const float* a, const float* b, int rows);
    // One number a row, or the same for all rows where `stride` is 0 rather than 1.
    void (*shift)(float* out, const float* in, const float* offset, int rows, int stride);
    void (*scale)(float* out, const float* in, const float* factor, int rows, int stride);
    void (*tanh)(float* out, const float* in, int rows);
    void (*gelu)(float* out, const float* in, int rows);
    void (*sigmoid)(float* out, const float* in, int rows);
    // sin(2 pi (in · frequency / (2 pi) + phase)), phase in turns.
    void (*sine)(float* out, const float* in, double frequency, double phase, int rows);
    void (*relu)(float* out, const float* in, int rows);
    void (*absolute)(float* out, const float* in, int rows);
    // exp(-in²)
    void (*gaussian)(float* out, const float* in, int rows);
    // exp(i · omega · z - |scale · z|²) of complex z: half of the rows real, then half imaginary.
    void (*gabor)(float* out, const float* in, float omega, float scale, int rows);
    // Row i = sin(first · ratio^i · position); positions are `tile_points` doubles.
    void (*sinusoid)(float* out, const double* positions, double first, double ratio, int rows);
};

// The kernels of the best instruction set of this machine, or of the one that the environment
// variable FIELDPACK_ISA names (baseline, avx2, avx512). Throws std::invalid_argument if that is
// unknown or this machine lacks it.
const Kernels& kernels();

// The same by name; throws likewise.
const Kernels& kernels(const char* isa);

}  // namespace fieldpack
