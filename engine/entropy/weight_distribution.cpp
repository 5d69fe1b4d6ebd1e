#include "entropy/weight_distribution.hpp"

#include <cmath>
#include <stdexcept>

#include "entropy/exponential.hpp"

namespace fieldpack {
namespace {

// Only multiplications and square roots, which IEEE 754 makes exact, for the same reason.
double power(double t, int shape) {
    switch (shape) {
        case 0: return std::sqrt(t);
        case 1: return t;
        case 2: return t * std::sqrt(t);
        case 3: return t * t;
        case 4: return t * t * t;
        case 5: return (t * t) * (t * t);
        default: {
            const double fourth = (t * t) * (t * t);
            return fourth * fourth;
        }
    }
}

// 2^(i / 8)
constexpr double eighths[8] = {1.0,
                               1.0905077326652577,
                               1.1892071150027210,
                               1.2968395546510096,
                               1.4142135623730951,
                               1.5422108254079408,
                               1.6817928305074290,
                               1.8340080864093424};

}  // namespace

std::vector<std::uint32_t> weight_frequencies(int shape, int scale, int reach) {
    if (shape < 0 || shape >= weight_shapes) throw std::invalid_argument("no such shape");
    if (scale < 0 || scale > 255) throw std::invalid_argument("no such scale");
    if (reach < 0 || reach > weight_max_reach) throw std::invalid_argument("reach out of range");
    const double s = eighths[scale & 7] * std::ldexp(1.0, (scale >> 3) - 8);
    std::vector<std::uint32_t> frequencies(2 * static_cast<std::size_t>(reach) + 1);
    for (int k = 0; k <= reach; ++k) {
        const double density = exact_exponential(power(k / s, shape));
        const auto frequency = 1 + static_cast<std::uint32_t>(65536.0 * density);
        frequencies[reach + k] = frequency;
        frequencies[reach - k] = frequency;
    }
    return frequencies;
}

}  // namespace fieldpack
