#include "field/hash_grid.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "simd/kernels.hpp"

namespace fieldpack {
namespace {

constexpr int most_axes = 8;
constexpr std::array<std::uint32_t, most_axes> primes = {
    1u, 2654435761u, 805459861u, 3674653429u, 2097192037u, 1434869437u, 2165219737u, 1220703125u};

// Entries of a grid that is stored corner by corner, or 0 if the table is too small for it.
std::int64_t side_of_dense_grid(std::int64_t cells, int axes, std::int64_t entries) {
    std::int64_t corners = 1;
    for (int axis = 0; axis < axes; ++axis) {
        if (corners > entries / (cells + 1)) return 0;
        corners *= cells + 1;
    }
    return cells + 1;
}

}  // namespace

void interpolate_hash_grid(float* out, const double* coordinates, int axes, std::int64_t cells,
                           const Tensor& table) {
    const std::int64_t entries = table.shape[0];
    const int channels = static_cast<int>(table.shape[1]);
    const std::int64_t side = side_of_dense_grid(cells, axes, entries);
    const double half = static_cast<double>(cells) / 2.0;
    for (int p = 0; p < tile_points; ++p) {
        std::array<std::int64_t, most_axes> corner{};
        std::array<float, most_axes> fraction{};
        for (int axis = 0; axis < axes; ++axis) {
            double place = coordinates[axis * tile_points + p] * half + half;
            place = place > 0.0 ? place : 0.0;
            place = place < static_cast<double>(cells) ? place : static_cast<double>(cells);
            const double cell = std::min(std::floor(place), static_cast<double>(cells - 1));
            corner[axis] = static_cast<std::int64_t>(cell);
            fraction[axis] = static_cast<float>(place - cell);
        }
        for (int c = 0; c < channels; ++c) out[c * tile_points + p] = 0.0f;
        for (unsigned k = 0; k < 1u << axes; ++k) {
            float weight = 1.0f;
            std::uint32_t hash = 0;
            std::int64_t dense = 0;
            std::int64_t stride = 1;
            for (int axis = 0; axis < axes; ++axis) {
                const bool upper = (k >> axis & 1u) != 0;
                weight = weight * (upper ? fraction[axis] : 1.0f - fraction[axis]);
                const std::int64_t at = corner[axis] + (upper ? 1 : 0);
                hash ^= static_cast<std::uint32_t>(at) * primes[axis];
                dense += at * stride;
                stride *= side;
            }
            const std::int64_t entry =
                side > 0 ? dense : static_cast<std::int64_t>(hash % std::uint64_t(entries));
            const float* values = table.values.data() + entry * channels;
            for (int c = 0; c < channels; ++c) {
                float& sum = out[c * tile_points + p];
                sum = sum + weight * values[c];
            }
        }
    }
}

}  // namespace fieldpack
