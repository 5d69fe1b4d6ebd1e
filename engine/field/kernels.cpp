// Compiled once for each instruction set with FIELDPACK_ISA naming it; nothing here may have
// external linkage but the table (see simd/vector.hpp).
#include "simd/kernels.hpp"

#include "simd/elementary.hpp"
#include "simd/vector.hpp"

namespace fieldpack {
namespace {

// Accumulators must fit the registers: 4 x 4 vectors of 32 registers, or 4 x 2 of 16.
constexpr int block_outputs = 4;
constexpr int block_vectors = vector_bytes == 64 ? 4 : 2;
constexpr int block_points = block_vectors * lanes;
static_assert(tile_points % block_points == 0);

template <int outputs>
inline void linear_block(float* out, const float* weight, const float* in, int inputs) {
    Floats sums[outputs][block_vectors] = {};
    for (int i = 0; i < inputs; ++i) {
        Floats x[block_vectors];
        for (int v = 0; v < block_vectors; ++v)
            x[v] = load<Floats>(in + std::size_t(i) * tile_points + v * lanes);
        for (int o = 0; o < outputs; ++o) {
            const Floats w = broadcast(weight[std::size_t(o) * inputs + i]);
            for (int v = 0; v < block_vectors; ++v) sums[o][v] = sums[o][v] + w * x[v];
        }
    }
    for (int o = 0; o < outputs; ++o)
        for (int v = 0; v < block_vectors; ++v)
            store(out + o * tile_points + v * lanes, sums[o][v]);
}

void linear(float* out, const float* weight, const float* in, int outputs, int inputs) {
    for (int p = 0; p < tile_points; p += block_points) {
        int o = 0;
        for (; o + block_outputs <= outputs; o += block_outputs)
            linear_block<block_outputs>(out + std::size_t(o) * tile_points + p,
                                        weight + std::size_t(o) * inputs, in + p, inputs);
        for (; o < outputs; ++o)
            linear_block<1>(out + std::size_t(o) * tile_points + p,
                            weight + std::size_t(o) * inputs, in + p, inputs);
    }
}

template <class Function>
inline void map(float* out, const float* in, int rows, Function function) {
    const std::size_t count = std::size_t(rows) * tile_points;
    for (std::size_t i = 0; i < count; i += lanes)
        store(out + i, Floats(function(load<Floats>(in + i))));
}

template <class Function>
inline void map_pairs(float* out, const float* a, const float* b, int rows, Function function) {
    const std::size_t count = std::size_t(rows) * tile_points;
    for (std::size_t i = 0; i < count; i += lanes)
        store(out + i, Floats(function(load<Floats>(a + i), load<Floats>(b + i))));
}

template <class Function>
inline void map_rows(float* out, const float* in, const float* constants, int rows, int stride,
                     Function function) {
    for (int row = 0; row < rows; ++row) {
        const Floats constant = broadcast(constants[row * stride]);
        const std::size_t start = std::size_t(row) * tile_points;
        for (int p = 0; p < tile_points; p += lanes)
            store(out + start + p, Floats(function(load<Floats>(in + start + p), constant)));
    }
}

void add(float* out, const float* a, const float* b, int rows) {
    map_pairs(out, a, b, rows, [](Floats x, Floats y) { return x + y; });
}

void multiply(float* out, const float* a, const float* b, int rows) {
    map_pairs(out, a, b, rows, [](Floats x, Floats y) { return x * y; });
}

void shift(float* out, const float* in, const float* offset, int rows, int stride) {
    map_rows(out, in, offset, rows, stride, [](Floats x, Floats c) { return x + c; });
}

void scale(float* out, const float* in, const float* factor, int rows, int stride) {
    map_rows(out, in, factor, rows, stride, [](Floats x, Floats c) { return x * c; });
}

void tanh(float* out, const float* in, int rows) {
    map(out, in, rows, [](Floats x) { return hyperbolic_tangent(x); });
}

void gelu(float* out, const float* in, int rows) {
    map(out, in, rows, [](Floats x) { return gaussian_error_linear_unit(x); });
}

void sigmoid(float* out, const float* in, int rows) {
    map(out, in, rows, [](Floats x) { return logistic(x); });
}

constexpr double turns_per_radian = 0.15915494309189534;

inline Doubles sine_of(HalfFloats x, double frequency, double phase) {
    const Doubles wide = __builtin_convertvector(x, Doubles);
    return sine_of_turns((wide * frequency) * turns_per_radian + phase);
}

void sine(float* out, const float* in, double frequency, double phase, int rows) {
    const std::size_t count = std::size_t(rows) * tile_points;
    for (std::size_t i = 0; i < count; i += lanes / 2)
        store(out + i, __builtin_convertvector(
                           sine_of(load<HalfFloats>(in + i), frequency, phase), HalfFloats));
}

void relu(float* out, const float* in, int rows) {
    map(out, in, rows, [](Floats x) { return x > 0.0f ? x : broadcast(0.0f); });
}

void absolute(float* out, const float* in, int rows) {
    map(out, in, rows, [](Floats x) {
        const Ints magnitude = load<Ints>(&x) & 0x7FFFFFFF;
        return load<Floats>(&magnitude);
    });
}

void gaussian(float* out, const float* in, int rows) {
    map(out, in, rows, [](Floats x) { return exponential(-(x * x)); });
}

void gabor(float* out, const float* in, float omega, float scale, int rows) {
    const std::size_t half = std::size_t(rows / 2) * tile_points;
    const float square = scale * scale;
    sine(out, in, omega, 0.25, rows / 2);
    sine(out + half, in, omega, 0.0, rows / 2);
    for (std::size_t i = 0; i < half; i += lanes) {
        const Floats a = load<Floats>(in + i);
        const Floats b = load<Floats>(in + half + i);
        const Floats envelope = exponential(-(omega * b) - square * (a * a + b * b));
        store(out + i, Floats(envelope * load<Floats>(out + i)));
        store(out + half + i, Floats(envelope * load<Floats>(out + half + i)));
    }
}

void sinusoid(float* out, const double* positions, double first, double ratio, int rows) {
    double frequency = first;
    for (int row = 0; row < rows; ++row) {
        for (int p = 0; p < tile_points; p += lanes / 2) {
            const Doubles phase = load<Doubles>(positions + p) * frequency;
            const Doubles sine = sine_of_turns(phase * turns_per_radian);
            store(out + std::size_t(row) * tile_points + p,
                  __builtin_convertvector(sine, HalfFloats));
        }
        frequency = frequency * ratio;
    }
}

}  // namespace

namespace FIELDPACK_ISA {
extern const Kernels table;
#define FIELDPACK_STRING(x) #x
#define FIELDPACK_NAME(x) FIELDPACK_STRING(x)
const Kernels table = {FIELDPACK_NAME(FIELDPACK_ISA), linear, add, multiply, shift, scale, tanh,
                       gelu, sigmoid, sine, relu, absolute, gaussian, gabor, sinusoid};
}  // namespace FIELDPACK_ISA
}  // namespace fieldpack
