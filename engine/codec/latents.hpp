// Coding of one grid of latents with the context model.
//
// Sixteen rows are coded together along a wavefront: row r of a band is at column t - lag · r when
// row 0 is at column t, with the lag chosen so that every neighbour of a latent lies on an earlier
// wavefront. The sixteen predictions of a wavefront are then one vector computation.
#pragma once

#include <cstddef>
#include <cstdint>

#include "codec/laplace_table.hpp"
#include "entropy/range_coder.hpp"
#include "train/kernels.hpp"

namespace fieldpack::codec {

constexpr int kBand = 16;
constexpr int kAbove = 8;                        // rows of the band before that stay in reach
constexpr int kWaveStride = kBand + kAbove + 8;  // floats of one wavefront
constexpr int kLargestLatent = 1 << 20;

// A grid that is decoded already.
struct CoarserGrid {
    int height = 0, width = 0;
    const std::int32_t* latents = nullptr;
};

struct GridCoding {
    const train::ModelShape* model;
    const train::PackedParameters* parameters;
    int set;                       // of context weights
    const LaplaceTables* tables;
    int height, width;
    std::int32_t* latents;         // row-major; read by the encoder, written by the decoder
    const CoarserGrid* coarser;    // [level]: the grid so many above; no latents: there is none
    float* workspace;              // grid_workspace() floats
    RangeEncoder* encoder;         // one of the two
    RangeDecoder* decoder;
    void (*encode)(RangeEncoder&, SymbolRange);
    double bits;                   // out: what the coded latents take
};

// Wavefronts that a row lags behind the one above.
__attribute__((always_inline)) inline int wave_lag(const train::ModelShape& model) {
    int lag = 1;
    for (int n = 0; n < model.neighbour_count; ++n) {
        const auto [dy, dx] = model.neighbours[n];
        if (dy < 0 && dx >= 0) {
            const int needed = (dx + 1 - dy - 1) / -dy;
            if (needed > lag) lag = needed;
        }
    }
    return lag;
}

// Wavefronts before the first one that neighbours may read.
__attribute__((always_inline)) inline int wave_margin(const train::ModelShape& model) {
    int reach = 0;
    for (int n = 0; n < model.neighbour_count; ++n) {
        const auto [dy, dx] = model.neighbours[n];
        const int back = -(dx + dy * wave_lag(model));
        if (back > reach) reach = back;
    }
    return reach;
}

__attribute__((always_inline)) inline std::ptrdiff_t grid_workspace(const train::ModelShape& model, int width) {
    const std::ptrdiff_t waves =
        width + (kBand - 1) * wave_lag(model) + wave_margin(model) + kAbove * wave_lag(model) + 1;
    const std::ptrdiff_t ancestors = std::ptrdiff_t(model.ancestor_count) * kBand;
    return waves * (kWaveStride + ancestors) + 2 * train::kMaxWidth * kBand + 64;
}

struct CodecKernels {
    const char* isa;
    void (*code_grid)(GridCoding&);
    void (*filter)(const train::FilterArgs&);
    void (*upsample)(const train::UpsampleArgs&);
    void (*synthesis)(train::SynthesisArgs&);
    std::ptrdiff_t (*synthesis_workspace)(const train::ModelShape&, int rows, int columns);
};

// The fastest table that this machine runs, or the one that FIELDPACK_ISA names. All of them give
// the same bits. Throws std::invalid_argument as fieldpack::kernels() does.
const CodecKernels& codec_kernels();

}  // namespace fieldpack::codec
