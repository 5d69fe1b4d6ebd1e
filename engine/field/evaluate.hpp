// Evaluates a program at points, the same bits on every machine and for every number of threads.
#pragma once

#include <cstddef>
#include <vector>

#include "field/program.hpp"
#include "simd/kernels.hpp"

namespace fieldpack {

// `points`: count x axes coordinates; `out`: count x channels.
void evaluate_points(const Program& program, const Kernels& kernels, const double* points,
                     std::size_t count, int threads, float* out);

// The grid of all combinations of coordinates, `coordinates[0]` varying fastest. What depends on
// one coordinate only is computed once for each of its values. Same bits as evaluate_points.
void evaluate_grid(const Program& program, const Kernels& kernels,
                   const std::vector<std::vector<double>>& coordinates, int threads, float* out);

}  // namespace fieldpack
