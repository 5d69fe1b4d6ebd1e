// The distributions that code latents: Laplace, in tables that are the same on every machine.
//
// A latent's mean is rounded to 1/32 and the logarithm of its scale to 1/7. Around the integer
// nearest to the mean lie 31 bins; the last symbol of a table stands for everything beyond. Bins are
// one integer wide for scales up to 2, else 2^shift, and the place inside a bin is then coded evenly.
#pragma once

#include <array>
#include <cstdint>

namespace fieldpack::codec {

constexpr int kScales = 64;             // scale = exp(index / 7 - 3)
constexpr int kScaleSteps = 7;
constexpr int kMinLogScale = -3;
constexpr int kMeanSteps = 32;
constexpr int kFractions = kMeanSteps / 2 + 1;   // |mean - nearest integer| in 32nds, 0 .. 16
constexpr int kSymbols = 32;
constexpr int kHalfBins = 15;           // bins -15 .. 15 are symbols 0 .. 30
constexpr int kEscape = 31;
constexpr int kTotalBits = 16;          // frequencies add up to 2^16

struct LaplaceTables {
    // Start of each symbol's frequencies for means at or above the integer; those of means below it
    // are the mirror image.
    std::uint16_t starts[kScales][kFractions][kSymbols];
    std::uint8_t shift[kScales];
};

// Built when first asked for.
const LaplaceTables& laplace_tables();

}  // namespace fieldpack::codec
