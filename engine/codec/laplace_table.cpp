#include "codec/laplace_table.hpp"

#include <memory>

#include "entropy/exponential.hpp"

namespace fieldpack::codec {
namespace {

double scale_of(int index) {
    const double log_scale = static_cast<double>(index) / kScaleSteps + kMinLogScale;
    return log_scale < 0 ? exact_exponential(-log_scale) : 1.0 / exact_exponential(log_scale);
}

// The distribution function of a Laplace distribution around 0.
double below(double x, double scale) {
    return x < 0 ? 0.5 * exact_exponential(-x / scale) : 1.0 - 0.5 * exact_exponential(x / scale);
}

std::unique_ptr<LaplaceTables> build() {
    auto tables = std::make_unique<LaplaceTables>();
    for (int index = 0; index < kScales; ++index) {
        const double scale = scale_of(index);
        int shift = 0;
        while (scale > 2.0 * (1 << shift)) ++shift;
        tables->shift[index] = static_cast<std::uint8_t>(shift);
        const double width = 1 << shift;
        for (int fraction = 0; fraction < kFractions; ++fraction) {
            const double mean = shift == 0 ? static_cast<double>(fraction) / kMeanSteps : 0.0;
            // Integers of a bin start at its lowest; the edge lies half an integer below.
            const double offset = shift == 0 ? 0.5 : width / 2.0 + 0.5;
            std::uint32_t start = 0;
            for (int symbol = 0; symbol < kEscape; ++symbol) {
                tables->starts[index][fraction][symbol] = static_cast<std::uint16_t>(start);
                const double left = (symbol - kHalfBins) * width - offset - mean;
                const double mass = below(left + width, scale) - below(left, scale);
                start += 1 + static_cast<std::uint32_t>(mass * ((1 << kTotalBits) - kSymbols));
            }
            tables->starts[index][fraction][kEscape] = static_cast<std::uint16_t>(start);
        }
    }
    return tables;
}

}  // namespace

const LaplaceTables& laplace_tables() {
    static const std::unique_ptr<LaplaceTables> tables = build();
    return *tables;
}

}  // namespace fieldpack::codec
