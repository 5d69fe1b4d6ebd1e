// From latents and network parameters to a picture and to bytes, the same bits on every machine.
#pragma once

#include <cstdint>
#include <vector>

#include "train/model.hpp"

namespace fieldpack::codec {

using Latents = std::vector<std::vector<std::int32_t>>;   // by grid, row-major

// Heights and widths of the grids of a picture.
struct GridSize {
    int height, width;
};
std::vector<GridSize> grid_sizes(const train::ModelShape& model, int height, int width);

struct CodedLatents {
    std::vector<std::uint8_t> bytes;
    std::vector<double> bits;   // by grid
};

// Codes the grids from the coarsest to the finest; grids that `empty` names are all zero and left
// out. Latents must not exceed 2^20 in size.
CodedLatents encode_latents(const train::ModelShape& model, const float* parameters, int height,
                            int width, Latents latents, const std::vector<bool>& empty);

Latents decode_latents(const train::ModelShape& model, const float* parameters, int height,
                       int width, const std::uint8_t* bytes, std::size_t size,
                       const std::vector<bool>& empty);

// Part of a picture, ends excluded.
struct PictureRegion {
    int top, bottom, left, right;
};

// Writes the region's [rows][columns][channels]. The work grows with the region.
void synthesise(const train::ModelShape& model, const float* parameters, int height, int width,
                const Latents& latents, PictureRegion region, int threads, float* out);

}  // namespace fieldpack::codec
