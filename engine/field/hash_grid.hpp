// One level of a multiresolution hash grid (Müller et al. 2022): a table of vectors at the corners of
// a regular grid, interpolated linearly along every axis.
#pragma once

#include <cstdint>

#include "field/program.hpp"

namespace fieldpack {

// `out`: rows of `tile_points`, one for each channel of `table` (entries x channels);
// `coordinates`: axes x tile_points in [-1, 1], held there beyond; `cells`: of the grid, by axis.
void interpolate_hash_grid(float* out, const double* coordinates, int axes, std::int64_t cells,
                           const Tensor& table);

}  // namespace fieldpack
