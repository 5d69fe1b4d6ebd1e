// Included by kernels.cpp only: the wavefront coder, compiled for each instruction set.
#pragma once

#include "codec/latents.hpp"
#include "train/vector.hpp"

namespace fieldpack::train::FIELDPACK_ISA {

using namespace fieldpack::codec;

// s_o = bias_o + w_o0 x_0 + w_o1 x_1 + ... in this order, for kBand latents at once.
template <class Finish>
inline void band_dense(const float* const* x, int inputs, int outputs, const float* weights,
                       const float* bias, const Finish& finish) {
    constexpr int kVectors = kBand / kLanes;
    constexpr int kTogether = kVectors == 1 ? 8 : kVectors == 2 ? 4 : 2;
    int o = 0;
    for (; o + kTogether <= outputs; o += kTogether) {
        Floats sums[kTogether][kVectors];
        for (int j = 0; j < kTogether; ++j)
            for (int v = 0; v < kVectors; ++v) sums[j][v] = splat(bias[o + j]);
        for (int i = 0; i < inputs; ++i) {
            Floats in[kVectors];
            for (int v = 0; v < kVectors; ++v) in[v] = load(x[i] + v * kLanes);
            const float* w = weights + std::ptrdiff_t(i) * outputs + o;
            for (int j = 0; j < kTogether; ++j)
                for (int v = 0; v < kVectors; ++v) sums[j][v] += splat(w[j]) * in[v];
        }
        for (int j = 0; j < kTogether; ++j)
            for (int v = 0; v < kVectors; ++v) finish(o + j, v, sums[j][v]);
    }
    for (; o < outputs; ++o)
        for (int v = 0; v < kVectors; ++v) {
            Floats s = splat(bias[o]);
            for (int i = 0; i < inputs; ++i)
                s += splat(weights[std::ptrdiff_t(i) * outputs + o]) * load(x[i] + v * kLanes);
            finish(o, v, s);
        }
}

struct Predictions {
    std::int32_t mean[kBand];    // in 1 / kMeanSteps
    std::int32_t scale[kBand];   // index of the scale
};

class WavePredictor {
public:
    WavePredictor(const GridCoding& coding, float* memory)
        : shape_(coding.model->context),
          parameters_(*coding.parameters),
          offset_(coding.model->context_offset(coding.set)),
          neighbours_(coding.model->neighbour_count),
          ancestors_(coding.model->ancestor_count),
          memory_(memory) {
        for (int n = 0; n < neighbours_; ++n) {
            const Neighbour neighbour = coding.model->neighbours[n];
            shift_[n] = (neighbour.dx + std::ptrdiff_t(neighbour.dy) * wave_lag(*coding.model)) *
                            kWaveStride +
                        neighbour.dy;
        }
    }

    // `ancestors`: of each, the values at the wave's latents, kBand of them.
    FIELDPACK_INLINE void predict(const float* wave, const float* ancestors,
                                  Predictions& out) const {
        const float* x[kMaxWidth];
        float* hidden[2][kMaxWidth];
        for (int n = 0; n < neighbours_; ++n) x[n] = wave + shift_[n];
        for (int n = 0; n < ancestors_; ++n) x[neighbours_ + n] = ancestors + n * kBand;
        for (int b = 0; b < 2; ++b)
            for (int i = 0; i < kMaxWidth; ++i)
                hidden[b][i] = memory_ + (b * kMaxWidth + i) * kBand;
        std::ptrdiff_t offset = offset_;
        for (int l = 0; l + 1 < shape_.layers; ++l) {
            float* const* to = hidden[l % 2];
            const bool residual = shape_.residual(l);
            band_dense(x, shape_.size[l], shape_.size[l + 1], parameters_.transposed + offset,
                       parameters_.natural + offset + shape_.weights(l),
                       [&](int o, int v, Floats s) {
                           if (residual) s += load(x[o] + v * kLanes);
                           store(to[o] + v * kLanes, max(s, Floats{}));
                       });
            for (int i = 0; i < shape_.size[l + 1]; ++i) x[i] = to[i];
            offset += shape_.parameters(l);
        }
        const int l = shape_.layers - 1;
        band_dense(x, shape_.size[l], 2, parameters_.transposed + offset,
                   parameters_.natural + offset + shape_.weights(l),
                   [&](int o, int v, Floats s) {
                       if (o == 0) {
                           s = min(max(s, splat(-32768.0f)), splat(32768.0f));
                           write(out.mean + v * kLanes, round(s * float(kMeanSteps)));
                       } else {
                           s = (s - float(kMinLogScale)) * float(kScaleSteps);
                           s = min(max(s, Floats{}), splat(float(kScales - 1)));
                           write(out.scale + v * kLanes, round(s));
                       }
                   });
    }

private:
    FIELDPACK_INLINE static void write(std::int32_t* to, Floats values) {
        const Ints integers = __builtin_convertvector(values, Ints);
        __builtin_memcpy(to, &integers, sizeof integers);
    }

    const PerceptronShape& shape_;
    const PackedParameters& parameters_;
    std::ptrdiff_t offset_;
    int neighbours_, ancestors_;
    float* memory_;
    std::ptrdiff_t shift_[kMaxWidth];
};

// One latent's place in the table of its distribution.
struct LatentModel {
    const std::uint16_t* starts;
    std::int32_t nearest;   // integer nearest to the mean
    int shift;
    bool mirrored;

    FIELDPACK_INLINE LatentModel(const LaplaceTables& tables, std::int32_t mean,
                                 std::int32_t scale) {
        nearest = (mean + kMeanSteps / 2) >> 5;
        const std::int32_t fraction = mean - nearest * kMeanSteps;
        mirrored = fraction < 0;
        starts = tables.starts[scale][mirrored ? -fraction : fraction];
        shift = tables.shift[scale];
    }

    FIELDPACK_INLINE SymbolRange range(int symbol) const {
        const std::uint32_t end =
            symbol == kEscape ? std::uint32_t{1} << kTotalBits : starts[symbol + 1];
        return {starts[symbol], end - starts[symbol], std::uint32_t{1} << kTotalBits};
    }
};

static_assert(kMeanSteps == 32, "LatentModel shifts by 5");

FIELDPACK_INLINE std::int32_t decode_latent(RangeDecoder& decoder, const LatentModel& model) {
    const std::uint32_t position = decoder.position(std::uint32_t{1} << kTotalBits);
    int symbol = -1;
    for (int i = 0; i < kSymbols; ++i) symbol += model.starts[i] <= position;
    decoder.consume(model.range(symbol));
    std::int32_t bin = symbol - kHalfBins;
    if (symbol == kEscape) {
        // Exponential Golomb: how many bits, the bits, the sign.
        int bits = 0;
        while (bits < 20 && decoder.position(2) == 1) {
            decoder.consume({1, 1, 2});
            ++bits;
        }
        if (bits < 20) decoder.consume({0, 1, 2});
        std::uint32_t rest = 0;
        if (bits > 0) {
            rest = decoder.position(std::uint32_t{1} << bits);
            decoder.consume({rest, 1, std::uint32_t{1} << bits});
        }
        const std::uint32_t sign = decoder.position(2);
        decoder.consume({sign, 1, 2});
        bin = kHalfBins + std::int32_t((std::uint32_t{1} << bits) + rest);
        if (sign == 1) bin = -bin;
    }
    std::int32_t difference = bin;
    if (model.shift > 0) {
        const std::uint32_t inside = decoder.position(std::uint32_t{1} << model.shift);
        decoder.consume({inside, 1, std::uint32_t{1} << model.shift});
        difference = bin * (1 << model.shift) - (1 << (model.shift - 1)) + std::int32_t(inside);
    }
    const std::int32_t value = model.nearest + (model.mirrored ? -difference : difference);
    return value < -kLargestLatent  ? -kLargestLatent
           : value > kLargestLatent ? kLargestLatent
                                    : value;
}

FIELDPACK_INLINE double encode_latent(const GridCoding& coding, const LatentModel& model,
                                      std::int32_t value) {
    double bits = 0;
    const auto put = [&](SymbolRange range) {
        coding.encode(*coding.encoder, range);
        bits += __builtin_log2(double(range.total)) - __builtin_log2(double(range.size));
    };
    std::int32_t difference = value - model.nearest;
    if (model.mirrored) difference = -difference;
    std::int32_t bin = difference;
    std::uint32_t inside = 0;
    if (model.shift > 0) {
        const std::int32_t raised = difference + (1 << (model.shift - 1));
        bin = raised >> model.shift;
        inside = std::uint32_t(raised - bin * (1 << model.shift));
    }
    const std::int32_t size = bin < 0 ? -bin : bin;
    if (size <= kHalfBins) {
        put(model.range(bin + kHalfBins));
    } else {
        put(model.range(kEscape));
        const std::uint32_t beyond = std::uint32_t(size - kHalfBins);
        const int count = 31 - __builtin_clz(beyond);
        for (int i = 0; i < count; ++i) put({1, 1, 2});
        if (count < 20) put({0, 1, 2});
        if (count > 0)
            put({beyond - (std::uint32_t{1} << count), 1, std::uint32_t{1} << count});
        put({bin < 0 ? 1u : 0u, 1, 2});
    }
    if (model.shift > 0) put({inside, 1, std::uint32_t{1} << model.shift});
    return bits;
}

// What the ancestors of a band's latents are, at [wave][ancestor][row of the band].
inline void place_ancestors(const GridCoding& coding, int top, int rows, int lag, float* out) {
    const int count = coding.model->ancestor_count;
    const std::ptrdiff_t stride = std::ptrdiff_t(count) * kBand;
    for (int n = 0; n < count; ++n) {
        const auto [level, dy, dx] = coding.model->ancestors[n];
        const CoarserGrid& grid = coding.coarser[level];
        for (int r = 0; r < rows; ++r) {
            float* to = out + r * lag * stride + n * kBand + r;
            const int y = ((top + r) >> level) + dy;
            const bool is_inside = grid.latents != nullptr && y >= 0 && y < grid.height;
            const std::int32_t* row = grid.latents + (is_inside ? std::ptrdiff_t(y) * grid.width : 0);
            for (int x = 0; x < coding.width; ++x) {
                const int column = (x >> level) + dx;
                to[x * stride] =
                    is_inside && column >= 0 && column < grid.width ? float(row[column]) : 0.0f;
            }
        }
    }
}

inline void code_grid(GridCoding& coding) {
    const int lag = wave_lag(*coding.model);
    const int margin = wave_margin(*coding.model) + kAbove * lag;
    const int waves = coding.width + (kBand - 1) * lag;
    float* const waves_memory = coding.workspace;
    float* const memory = waves_memory + std::ptrdiff_t(margin + waves + 1) * kWaveStride;
    float* const ancestors = memory + 2 * kMaxWidth * kBand;
    const std::ptrdiff_t ancestor_stride = std::ptrdiff_t(coding.model->ancestor_count) * kBand;
    for (std::ptrdiff_t i = 0; i < waves * ancestor_stride; ++i) ancestors[i] = 0;
    // Element (t, lane) of the skewed band; lanes -1, -2, .. are the rows above it.
    const auto at = [&](int t, int lane) -> float& {
        return waves_memory[std::ptrdiff_t(margin + t) * kWaveStride + kAbove + lane];
    };
    const WavePredictor predictor(coding, memory);
    Predictions predictions;
    coding.bits = 0;
    for (int top = 0; top < coding.height; top += kBand) {
        const std::ptrdiff_t count = std::ptrdiff_t(margin + waves + 1) * kWaveStride;
        for (std::ptrdiff_t i = 0; i < count; ++i) waves_memory[i] = 0;
        for (int above = 1; above <= kAbove && above <= top; ++above) {
            const std::int32_t* row = coding.latents + std::ptrdiff_t(top - above) * coding.width;
            for (int x = 0; x < coding.width; ++x) at(x - above * lag, -above) = float(row[x]);
        }
        const int rows = coding.height - top < kBand ? coding.height - top : kBand;
        place_ancestors(coding, top, rows, lag, ancestors);
        for (int t = 0; t < coding.width + (rows - 1) * lag; ++t) {
            predictor.predict(&at(t, 0), ancestors + t * ancestor_stride, predictions);
            const int last = t / lag < rows - 1 ? t / lag : rows - 1;
            const int first = t < coding.width ? 0 : (t - coding.width) / lag + 1;
            for (int r = first; r <= last; ++r) {
                std::int32_t& latent =
                    coding.latents[std::ptrdiff_t(top + r) * coding.width + (t - r * lag)];
                const LatentModel model(*coding.tables, predictions.mean[r], predictions.scale[r]);
                if (coding.decoder != nullptr)
                    latent = decode_latent(*coding.decoder, model);
                else
                    coding.bits += encode_latent(coding, model, latent);
                at(t, r) = float(latent);
            }
        }
    }
}

}  // namespace fieldpack::train::FIELDPACK_ISA
