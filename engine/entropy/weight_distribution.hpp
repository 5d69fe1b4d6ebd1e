// The distribution that codes quantised weights: a generalised Gaussian exp(-(|k| / s)^b) sampled
// at the integers, in frequencies that are the same on every machine (docs/format.md, "Weights").
#pragma once

#include <cstdint>
#include <vector>

namespace fieldpack {

constexpr int weight_shapes = 7;          // exponents b = 1/2, 1, 3/2, 2, 3, 4, 8
constexpr int weight_max_reach = 32767;   // largest |k|

// Frequencies of k = -reach .. reach. `scale` is 0 .. 255: s = 2^(scale / 8 - 8).
std::vector<std::uint32_t> weight_frequencies(int shape, int scale, int reach);

}  // namespace fieldpack
