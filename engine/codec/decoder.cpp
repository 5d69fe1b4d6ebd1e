#include "codec/decoder.hpp"

#include <algorithm>

#include "codec/latents.hpp"
#include "entropy/range_coder.hpp"
#include "parallel/threads.hpp"
#include "train/trainer.hpp"

namespace fieldpack::codec {
namespace {

constexpr int kTileRows = 32, kTileColumns = 256;

using train::ModelShape;
using train::PerceptronShape;
using train::Plane;
using train::PlaneView;

// The flat parameters in the layouts that the kernels read.
struct Packed {
    std::vector<float> natural, transposed;

    Packed(const ModelShape& model, const float* parameters)
        : natural(parameters, parameters + model.parameters()), transposed(natural.size()) {
        perceptron(model.synthesis, model.synthesis_offset());
        for (int set = 0; set < model.context_sets; ++set)
            perceptron(model.context, model.context_offset(set));
        for (int l = 0; l < model.convolutions; ++l)
            transpose(model.convolution_offset(l), model.channels, 9 * model.channels);
    }

    void transpose(std::ptrdiff_t offset, int outputs, int inputs) {
        for (int o = 0; o < outputs; ++o)
            for (int i = 0; i < inputs; ++i)
                transposed[offset + std::ptrdiff_t(i) * outputs + o] =
                    natural[offset + std::ptrdiff_t(o) * inputs + i];
    }

    void perceptron(const PerceptronShape& shape, std::ptrdiff_t offset) {
        for (int l = 0; l < shape.layers; ++l)
            transpose(offset + shape.offset(l), shape.size[l + 1], shape.size[l]);
    }

    train::PackedParameters view() const { return {natural.data(), transposed.data(), nullptr}; }
};

void put(RangeEncoder& encoder, SymbolRange range) { encoder.encode(range); }

}  // namespace

std::vector<GridSize> grid_sizes(const ModelShape& model, int height, int width) {
    std::vector<GridSize> sizes;
    for (int k = 0; k < model.grids; ++k) {
        sizes.push_back({height, width});
        height = (height + 1) / 2;
        width = (width + 1) / 2;
    }
    return sizes;
}

namespace {

template <class Run>
void for_each_grid(const ModelShape& model, const float* parameters, int height, int width,
                   const std::vector<bool>& empty, Latents& latents, const Run& run) {
    const Packed packed(model, parameters);
    const train::PackedParameters view = packed.view();
    const auto sizes = grid_sizes(model, height, width);
    std::vector<float> workspace(std::size_t(grid_workspace(model, width)));
    const CodecKernels& kernels = codec_kernels();
    for (int k = model.grids - 1; k >= 0; --k) {
        if (empty[k]) continue;
        CoarserGrid coarser[train::kMaxGrids];
        for (int level = 1; k + level < model.grids; ++level)
            coarser[level] = {sizes[k + level].height, sizes[k + level].width,
                              latents[k + level].data()};
        GridCoding coding{&model, &view, model.context_set_of[k], &laplace_tables(),
                          sizes[k].height, sizes[k].width, latents[k].data(), coarser,
                          workspace.data(), nullptr, nullptr, put, 0.0};
        run(k, coding, kernels);
    }
}

}  // namespace

CodedLatents encode_latents(const ModelShape& model, const float* parameters, int height,
                            int width, Latents latents, const std::vector<bool>& empty) {
    CodedLatents coded;
    coded.bits.assign(std::size_t(model.grids), 0.0);
    RangeEncoder encoder;
    for_each_grid(model, parameters, height, width, empty, latents,
                  [&](int k, GridCoding& coding, const CodecKernels& kernels) {
                      coding.encoder = &encoder;
                      kernels.code_grid(coding);
                      coded.bits[k] = coding.bits;
                  });
    coded.bytes = encoder.finish();
    return coded;
}

Latents decode_latents(const ModelShape& model, const float* parameters, int height, int width,
                       const std::uint8_t* bytes, std::size_t size,
                       const std::vector<bool>& empty) {
    Latents latents;
    for (const GridSize grid : grid_sizes(model, height, width))
        latents.emplace_back(std::size_t(grid.height) * grid.width, 0);
    RangeDecoder decoder(bytes, size);
    for_each_grid(model, parameters, height, width, empty, latents,
                  [&](int, GridCoding& coding, const CodecKernels& kernels) {
                      coding.decoder = &decoder;
                      kernels.code_grid(coding);
                  });
    return latents;
}

void synthesise(const ModelShape& model, const float* parameters, int height, int width,
                const Latents& latents, PictureRegion region, int threads, float* out) {
    const Packed packed(model, parameters);
    const CodecKernels& kernels = codec_kernels();
    const auto sizes = grid_sizes(model, height, width);
    std::vector<float> stage_memory(std::size_t(width) * 2 + 1024);
    const auto plane_of = [&](int k) {
        Plane plane(sizes[k].height, sizes[k].width);
        for (int y = 0; y < sizes[k].height; ++y) {
            const std::int32_t* from = latents[k].data() + std::ptrdiff_t(y) * sizes[k].width;
            float* to = plane.view().row(y);
            for (int x = 0; x < sizes[k].width; ++x) to[x] = float(from[x]);
        }
        if (k >= model.filters) return plane;
        Plane filtered(sizes[k].height, sizes[k].width);
        kernels.filter({plane.view(), filtered.view(),
                        packed.natural.data() + model.filter_offset(k), 0, sizes[k].height, false,
                        stage_memory.data()});
        return filtered;
    };
    // planes[i]: grid s + i at the resolution of grid s, for the s of each turn.
    std::vector<Plane> planes;
    for (int s = model.grids - 1; s >= 1; --s) {
        std::vector<Plane> finer;
        finer.push_back(plane_of(s));
        finer.back().replicate_margins();
        for (Plane& plane : planes) {
            finer.emplace_back(sizes[s].height, sizes[s].width);
            kernels.upsample({plane.view(), finer.back().view(),
                              packed.natural.data() + model.taps_offset(s), 0, sizes[s].height, 0,
                              sizes[s].width, stage_memory.data()});
            finer.back().replicate_margins();
        }
        planes = std::move(finer);
    }
    const Plane finest = plane_of(0);
    PlaneView coarse[train::kMaxGrids];
    for (std::size_t p = 0; p < planes.size(); ++p) coarse[p] = planes[p].view();

    // Tiles start at even rows and columns: upsampling goes by pairs.
    const int first_row = region.top / 2 * 2, first_column = region.left / 2 * 2;
    const int across = (region.right - first_column + kTileColumns - 1) / kTileColumns;
    const int down = (region.bottom - first_row + kTileRows - 1) / kTileRows;
    const std::ptrdiff_t columns = region.right - region.left;
    struct Worker {
        std::vector<float> memory;
        std::vector<Plane> output;
    };
    std::vector<Worker> workers(static_cast<std::size_t>(threads));
    for (Worker& worker : workers) {
        worker.memory.resize(
            std::size_t(kernels.synthesis_workspace(model, kTileRows, kTileColumns)));
        for (int c = 0; c < model.channels; ++c)
            worker.output.emplace_back(kTileRows + 8, kTileColumns + 16);
    }
    const int channels = model.channels;
    run_parallel(threads, std::size_t(across) * down, [&](int number, std::size_t job) {
        Worker& worker = workers[number];
        const int top = first_row + static_cast<int>(job / across) * kTileRows;
        const int left = first_column + static_cast<int>(job % across) * kTileColumns;
        const int bottom = std::min(top + kTileRows, region.bottom);
        const int right = std::min(left + kTileColumns, region.right);
        PlaneView output[train::kMaxChannels];
        for (int c = 0; c < channels; ++c) {
            output[c] = worker.output[c].view();
            output[c].data -= (top - 4) * output[c].stride + (left - 8);
        }
        train::SynthesisArgs args{&model, packed.view(), height, width, top, bottom, left, right,
                                  finest.view(), {}, coarse, nullptr, output, nullptr, 0.0f,
                                  output, false, nullptr, nullptr, 0, worker.memory.data(), 0.0};
        kernels.synthesis(args);
        for (int y = std::max(top, region.top); y < bottom; ++y)
            for (int c = 0; c < channels; ++c) {
                const float* from = output[c].row(y);
                float* to =
                    out + ((y - region.top) * columns - region.left) * channels + c;
                for (int x = std::max(left, region.left); x < right; ++x)
                    to[std::ptrdiff_t(x) * channels] = from[x];
            }
    });
}

}  // namespace fieldpack::codec
