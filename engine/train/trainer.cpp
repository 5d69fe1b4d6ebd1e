#include "trainer.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace fieldpack::train {

namespace {

// Smaller tiles fit a cache better, but compute more of their neighbours: these came out fastest with
// 512 KB of level-2 cache. Both are multiples of the widest vector.
constexpr int kTileRows = 64, kTileColumns = 256;
static_assert(kTileRows % kLossBlock == 0 && kTileColumns % kLossBlock == 0);
constexpr int kBandPixels = 16384, kFewestBandRows = 16;
// A latent moves at most so many times the step size in one pass.
constexpr float kLargestStep = 3;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

uint32_t mix(uint32_t h, uint32_t v) {
  h ^= v + 0x9e3779b9u + (h << 6) + (h >> 2);
  h ^= h >> 16;
  h *= 0x7feb352du;
  h ^= h >> 15;
  h *= 0x846ca68bu;
  return h ^ (h >> 16);
}

}  // namespace

Trainer::Trainer(const ModelShape& model, const float* image, const float* weights, int height,
                 int width, int threads, int finest)
    : model_(model), height_(height), width_(width), finest_(finest), kernels_(kernels()),
      pool_(threads) {
  const int channels = model.channels, levels = model.grids;
  image_ = split_channels(image, height, width, channels);
  double total = double(height) * width * channels;
  if (weights) {
    weights_ = split_channels(weights, height, width, channels);
    total = 0;
    for (ptrdiff_t i = 0; i < ptrdiff_t(height) * width * channels; ++i) total += weights[i];
  }
  scale_ = float(1 / total);

  for (int k = 0, h = height, w = width; k < levels; ++k, h = (h + 1) / 2, w = (w + 1) / 2) {
    Grid grid{h, w, {}, {}, {}, {}, {}, {}, 0.0};
    for (Plane* plane : {&grid.latents, &grid.quantised, &grid.slope, &grid.gradient})
      *plane = Plane(h, w);
    grids_.push_back(std::move(grid));
    int reach = 0;
    for (int n = 0; n < model.neighbour_count; ++n)
      reach = std::max(reach, -model.neighbours[n].dy);
    const int rows = std::max({reach + 1, kBandPixels / w + 1, kFewestBandRows});
    // Without bands, a grid stays at zero and costs nothing.
    for (int y = 0; k >= finest && y < h; y += rows) {
      bands_.push_back({k, y, std::min(y + rows, h), Plane(0, w)});
    }
  }
  for (Band& band : bands_) {
    band.coarser.resize(size_t(levels - band.grid));
    for (int n = 0; n < model.ancestor_count; ++n) {
      const int level = model.ancestors[n].level;
      if (band.grid + level < levels && !band.coarser[level].view().data)
        band.coarser[level] =
            Plane(((band.row_end - 1) >> level) - (band.row_begin >> level) + 1,
                  grids_[band.grid + level].width, kAncestorReach);
    }
  }
  pyramid_.resize(levels);
  pyramid_gradient_.resize(levels);
  for (int s = 1; s < levels; ++s)
    for (int p = s; p < levels; ++p) {
      pyramid_[s].emplace_back(grids_[s].height, grids_[s].width);
      pyramid_gradient_[s].emplace_back(grids_[s].height, grids_[s].width);
    }
  for (int y = 0; y < height; y += kTileRows)
    for (int x = 0; x < width; x += kTileColumns) {
      Tile tile{y, std::min(y + kTileRows, height), x, std::min(x + kTileColumns, width), {}, 0};
      for (int p = 1; p < levels; ++p)
        tile.coarse_gradient.emplace_back((tile.bottom - tile.top + 1) / 2 + 4,
                                          (tile.right - tile.left + 1) / 2 + 4);
      tiles_.push_back(std::move(tile));
    }
  const size_t lanes = size_t(kernels_.lanes);
  // Their memory comes with the first pass that wants such gradients.
  band_sums_.resize(bands_.size());
  tile_sums_.resize(tiles_.size());
  filter_sums_.assign(bands_.size(), AlignedFloats(kTaps * lanes));
  if (model.filters) {
    filtered_ = Plane(height, width);
    filtered_gradient_ = Plane(height, width);
  }
  stage_sums_.assign(size_t(levels) * levels, AlignedFloats(kTaps * lanes));
  const ptrdiff_t workspace = std::max<ptrdiff_t>(
      {kernels_.context_workspace(model), kernels_.synthesis_workspace(model, kTileRows, kTileColumns),
       ptrdiff_t(width) * 2 + 1024});
  workspaces_.assign(size_t(threads), AlignedFloats(size_t(workspace)));
  natural_.resize(size_t(model.parameters()));
  transposed_.resize(natural_.size());
  flipped_.resize(natural_.size());
}

void Trainer::reset_moments() {
  for (Grid& grid : grids_) {
    grid.mean = {};
    grid.square = {};
    grid.mean_square = 0;
  }
  adam_steps_ = 0;
}

void Trainer::pack(const float* parameters) {
  std::copy(parameters, parameters + model_.parameters(), natural_.begin());
  const auto transpose = [&](ptrdiff_t offset, int outputs, int inputs) {
    for (int o = 0; o < outputs; ++o)
      for (int i = 0; i < inputs; ++i)
        transposed_[offset + ptrdiff_t(i) * outputs + o] =
            natural_[offset + ptrdiff_t(o) * inputs + i];
  };
  const auto perceptron = [&](const PerceptronShape& shape, ptrdiff_t offset) {
    for (int l = 0; l < shape.layers; ++l)
      transpose(offset + shape.offset(l), shape.size[l + 1], shape.size[l]);
  };
  perceptron(model_.synthesis, model_.synthesis_offset());
  for (int set = 0; set < model_.context_sets; ++set)
    perceptron(model_.context, model_.context_offset(set));
  const int c = model_.channels;
  for (int l = 0; l < model_.convolutions; ++l) {
    const ptrdiff_t offset = model_.convolution_offset(l);
    transpose(offset, c, 9 * c);
    for (int o = 0; o < c; ++o)
      for (int i = 0; i < c; ++i)
        for (int t = 0; t < 9; ++t)
          flipped_[offset + (o * 9 + t) * c + i] = natural_[offset + (o * c + i) * 9 + t];
  }
}

void Trainer::quantise(const StepOptions& options) {
  pool_.run(int(bands_.size()), [&](int job, int) {
    const Band& band = bands_[job];
    Grid& grid = grids_[band.grid];
    // Stratified over eight passes: each latent's noise falls into every quarter of its range twice,
    // every second pass mirrors the one before. What is linear in the noise cancels, and more.
    const uint32_t key = mix(mix(options.seed, options.step / 8), uint32_t(band.grid));
    constexpr float kShifts[4] = {0.0f, 1.0f, 0.5f, 1.5f};
    const float shift = kShifts[options.step % 8 / 2];
    const float noise = options.step % 2 ? -options.noise : options.noise;
    kernels_.quantise({options.quantiser, options.temperature, noise, shift, key,
                       grid.latents.view(), grid.quantised.view(), grid.slope.view(),
                       band.row_begin, band.row_end});
  });
}

void Trainer::context(const StepOptions& options, bool weight_gradient, StepResult& result,
                      int only_set, bool keep_nats) {
  const float weight =
      float(options.lambda / (double(height_) * width_) * 1.4426950408889634);
  std::vector<double> bits(bands_.size());
  pool_.run(int(bands_.size()), [&](int job, int thread) {
    Band& band = bands_[job];
    Grid& grid = grids_[band.grid];
    if (only_set >= 0 && model_.context_set_of[band.grid] != only_set) return;
    band.spill.clear();
    PlaneView coarser[kMaxGrids], coarser_gradient[kMaxGrids];
    for (size_t level = 1; level < band.coarser.size(); ++level) {
      Plane& plane = band.coarser[level];
      if (!plane.view().data) continue;
      plane.clear();
      coarser[level] = grids_[band.grid + level].quantised.view();
      coarser_gradient[level] = plane.view();
      coarser_gradient[level].data -= (band.row_begin >> level) * plane.view().stride;
    }
    float* sums = weight_gradient ? band_sums_[job].data() : nullptr;
    if (sums) std::fill(band_sums_[job].begin(), band_sums_[job].end(), 0.0f);
    ContextArgs args{&model_, {natural_.data(), transposed_.data(), flipped_.data()},
                     model_.context_set_of[band.grid], grid.quantised.view(), coarser,
                     coarser_gradient, grid.gradient.view(), band.spill.view(), band.row_begin,
                     band.row_end, weight, options.gradients, sums,
                     keep_nats ? grid.slope.view() : PlaneView{}, workspaces_[thread].data(), 0.0};
    kernels_.context(args);
    bits[job] = args.bits;
  });
  for (size_t job = 0; job < bands_.size(); ++job) result.bits[bands_[job].grid] += bits[job];
}

void Trainer::filter_and_upsample() {
  const int levels = model_.grids;
  pool_.run(int(bands_.size()), [&](int job, int thread) {
    const Band& band = bands_[job];
    const int s = band.grid;
    const PlaneView& source = grids_[s].quantised.view();
    if (s < model_.filters) {
      const PlaneView& target = s == 0 ? filtered_.view() : pyramid_[s][0].view();
      kernels_.filter({source, target, natural_.data() + model_.filter_offset(s), band.row_begin,
                       band.row_end, false, workspaces_[thread].data()});
    } else if (s > 0) {
      for (int y = band.row_begin; y < band.row_end; ++y)
        std::memcpy(pyramid_[s][0].view().row(y), source.row(y), sizeof(float) * source.width);
    }
  });
  for (int s = 1; s < levels; ++s) pyramid_[s][0].replicate_margins();
  for (int s = levels - 2; s >= 1; --s) {
    pool_.run(levels - 1 - s, [&](int job, int thread) {
      Plane& fine = pyramid_[s][job + 1];
      kernels_.upsample({pyramid_[s + 1][job].view(), fine.view(),
                         natural_.data() + model_.taps_offset(s), 0, grids_[s].height, 0,
                         grids_[s].width, workspaces_[thread].data()});
      fine.replicate_margins();
    });
  }
}

void Trainer::synthesise(const StepOptions& options, const std::vector<Plane>* reconstruction,
                         bool network_gradient, StepResult& result, double* losses) {
  if (!ms_ssim_) return draw(options, reconstruction, network_gradient, result, losses);
  StepOptions forward = options;
  forward.gradients = false;
  const std::vector<Plane>& drawn = reconstruction ? *reconstruction : drawn_;
  draw(forward, &drawn, false, result, nullptr);
  result.distortion = aim(drawn, options.gradients);
  if (!options.gradients) return;
  StepResult of_aim;
  draw(options, nullptr, network_gradient, of_aim, nullptr);
}

void Trainer::draw(const StepOptions& options, const std::vector<Plane>* reconstruction,
                   bool network_gradient, StepResult& result, double* losses) {
  const int coarse = model_.grids - 1, channels = model_.channels;
  PlaneView inputs[kMaxGrids], image[kMaxChannels], weights[kMaxChannels], output[kMaxChannels];
  PlaneView finest_gradient;
  if (finest_ == 0) finest_gradient = (model_.filters ? filtered_gradient_ : grids_[0].gradient).view();
  if (model_.filters && options.gradients) filtered_gradient_.clear();
  for (int p = 0; p < coarse; ++p) inputs[p] = pyramid_[1][p].view();
  for (int c = 0; c < channels; ++c) {
    image[c] = image_[c].view();
    if (!weights_.empty()) weights[c] = weights_[c].view();
    if (reconstruction) output[c] = (*reconstruction)[c].view();
  }
  pool_.run(int(tiles_.size()), [&](int job, int thread) {
    Tile& tile = tiles_[job];
    float* sums = network_gradient ? tile_sums_[job].data() : nullptr;
    if (sums) std::fill(tile_sums_[job].begin(), tile_sums_[job].end(), 0.0f);
    PlaneView gradients[kMaxGrids];
    for (int p = 0; p < coarse; ++p) {
      tile.coarse_gradient[p].clear();
      PlaneView view = tile.coarse_gradient[p].view();
      view.data -= (tile.top / 2 - 2) * view.stride + (tile.left / 2 - 2);
      gradients[p] = view;
    }
    SynthesisArgs args{&model_, {natural_.data(), transposed_.data(), flipped_.data()}, height_,
                       width_, tile.top, tile.bottom, tile.left, tile.right,
                       model_.filters ? filtered_.view() : grids_[0].quantised.view(),
                       finest_gradient, inputs, gradients,
                       image, weights_.empty() ? nullptr : weights, scale_,
                       reconstruction ? output : nullptr, options.gradients,
                       sums, losses, loss_blocks(width_), workspaces_[thread].data(), 0.0};
    kernels_.synthesis(args);
    tile.distortion = args.distortion;
  });
  for (const Tile& tile : tiles_) result.distortion += tile.distortion;
}

void Trainer::upsample_gradient() {
  const int levels = model_.grids;
  if (levels < 2) return;
  // Tiles overlap by their margins: every plane adds its tiles in their order.
  pool_.run(levels - 1, [&](int p, int) {
    Plane& total = pyramid_gradient_[1][p];
    total.clear();
    for (const Tile& tile : tiles_) {
      const PlaneView& part = tile.coarse_gradient[p].view();
      for (int y = 0; y < part.height; ++y) {
        float* target = total.view().row(tile.top / 2 - 2 + y) + tile.left / 2 - 2;
        const float* source = part.row(y);
        for (int x = 0; x < part.width; ++x) target[x] += source[x];
      }
    }
    total.add_margins_to_edges();
    total.clear_margins();  // the filter's transpose reads zeros there
  });
  for (int s = 1; s + 1 < levels; ++s)
    pool_.run(levels - 1 - s, [&](int job, int thread) {
      AlignedFloats& sums = stage_sums_[size_t(s) * levels + job];
      std::fill(sums.begin(), sums.end(), 0.0f);
      Plane& coarse = pyramid_gradient_[s + 1][job];
      coarse.clear();
      kernels_.upsample_gradient({pyramid_[s + 1][job].view(), pyramid_gradient_[s][job + 1].view(),
                                  coarse.view(), natural_.data() + model_.taps_offset(s), 0,
                                  grids_[s].height, 0, grids_[s].width, sums.data(),
                                  workspaces_[thread].data()});
      coarse.add_margins_to_edges();
      coarse.clear_margins();
    });
}

void Trainer::filter_gradient() {
  if (!model_.filters) return;
  pool_.run(int(bands_.size()), [&](int job, int thread) {
    const Band& band = bands_[job];
    AlignedFloats& sums = filter_sums_[job];
    std::fill(sums.begin(), sums.end(), 0.0f);
    if (band.grid >= model_.filters) return;
    const PlaneView& gradient =
        band.grid == 0 ? filtered_gradient_.view() : pyramid_gradient_[band.grid][0].view();
    kernels_.filter_gradient({grids_[band.grid].quantised.view(), gradient,
                              natural_.data() + model_.filter_offset(band.grid), band.row_begin,
                              band.row_end, sums.data(), workspaces_[thread].data()});
  });
}

void Trainer::add_spills_and_update(const StepOptions& options) {
  if (options.update && adam_steps_++ == 0)
    for (Grid& grid : grids_) {
      grid.mean = Plane(grid.height, grid.width);
      grid.square = Plane(grid.height, grid.width);
    }
  const double t = adam_steps_;
  const float correction1 = float(1 - std::pow(double(options.beta1), t));
  const float correction2 = float(std::sqrt(1 - std::pow(double(options.beta2), t)));
  std::vector<double> squares(bands_.size());
  pool_.run(int(bands_.size()), [&](int job, int thread) {
    const Band& band = bands_[job];
    Grid& grid = grids_[band.grid];
    const PlaneView& gradient = grid.gradient.view();
    if (job + 1 < int(bands_.size()) && bands_[job + 1].grid == band.grid) {
      const PlaneView& spill = bands_[job + 1].spill.view();
      for (int i = 1; i <= std::min(kMarginRows, band.row_end - band.row_begin); ++i)
        for (int x = 0; x < grid.width; ++x) gradient.row(band.row_end - i)[x] += spill.row(-i)[x];
    }
    for (const Band& finer : bands_) {
      const int level = band.grid - finer.grid;
      if (level <= 0 || !finer.coarser[level].view().data) continue;
      const PlaneView& part = finer.coarser[level].view();
      const int first = finer.row_begin >> level;
      const int begin = std::max(band.row_begin, first - kAncestorReach);
      const int end = std::min(band.row_end, first + part.height + kAncestorReach);
      for (int y = begin; y < end; ++y)
        for (int x = 0; x < grid.width; ++x) gradient.row(y)[x] += part.row(y - first)[x];
    }
    if (band.grid < model_.filters) {
      const PlaneView& distortion =
          band.grid == 0 ? filtered_gradient_.view() : pyramid_gradient_[band.grid][0].view();
      kernels_.filter({distortion, gradient, natural_.data() + model_.filter_offset(band.grid),
                       band.row_begin, band.row_end, true,
                       workspaces_[thread].data()});
    } else if (band.grid > 0) {
      const PlaneView& distortion = pyramid_gradient_[band.grid][0].view();
      for (int y = band.row_begin; y < band.row_end; ++y)
        for (int x = 0; x < grid.width; ++x) gradient.row(y)[x] += distortion.row(y)[x];
    }
    if (!options.update) return;
    // The grid's mean square is that of the last pass: it moves slowly, and waiting for this one
    // would take another run over all planes.
    const bool first = adam_steps_ == 1;
    AdamArgs args{grid.latents.view(), gradient, grid.slope.view(), grid.mean.view(),
                  grid.square.view(), band.row_begin, band.row_end,
                  options.learning_rate[band.grid] * correction2 / correction1, options.beta1,
                  options.beta2, options.epsilon * correction2,
                  first ? 1.0f : 1 - options.sharing,
                  first ? 0.0f
                        : float(options.sharing * grid.mean_square) * correction2 * correction2,
                  kLargestStep * correction1 / correction2, 0.0};
    kernels_.adam(args);
    squares[job] = args.squares;
  });
  if (!options.update) return;
  for (Grid& grid : grids_) grid.mean_square = 0;
  for (size_t job = 0; job < bands_.size(); ++job)
    grids_[bands_[job].grid].mean_square += squares[job];
  for (Grid& grid : grids_)
    grid.mean_square /= double(grid.height) * grid.width * correction2 * correction2;
}

void Trainer::gather_parameter_gradient(bool context_gradient, float* gradient) {
  std::fill(gradient, gradient + model_.parameters(), 0.0f);
  const int levels = model_.grids;
  for (const auto& sums : tile_sums_)
    kernels_.add_lanes(sums.data(), model_.context_offset(0), gradient);
  for (int s = 1; s + 1 < levels; ++s)
    for (int job = 0; job < levels - 1 - s; ++job)
      kernels_.add_lanes(stage_sums_[size_t(s) * levels + job].data(), kTaps,
                         gradient + model_.taps_offset(s));
  for (size_t job = 0; job < bands_.size(); ++job)
    if (bands_[job].grid < model_.filters)
      kernels_.add_lanes(filter_sums_[job].data(), kTaps,
                         gradient + model_.filter_offset(bands_[job].grid));
  for (size_t job = 0; context_gradient && job < bands_.size(); ++job)
    kernels_.add_lanes(band_sums_[job].data(), model_.context.parameters(),
                       gradient + model_.context_offset(model_.context_set_of[bands_[job].grid]));
}

StepResult Trainer::pass(const float* parameters, const StepOptions& options, float* gradient,
                         const std::vector<Plane>* reconstruction) {
  StepResult result;
  double last = now();
  const auto lap = [&](int part) {
    const double t = now();
    result.seconds[part] += t - last;
    last = t;
  };
  if (gradient) {
    const size_t lanes = size_t(kernels_.lanes);
    for (auto& sums : tile_sums_) sums.resize(model_.context_offset(0) * lanes);
    if (options.context_gradient)
      for (auto& sums : band_sums_) sums.resize(model_.context.parameters() * lanes);
  }
  pack(parameters);
  quantise(options);
  lap(0);
  context(options, gradient && options.context_gradient, result);
  lap(1);
  filter_and_upsample();
  lap(2);
  synthesise(options, reconstruction, gradient != nullptr, result);
  lap(3);
  if (options.gradients) {
    upsample_gradient();
    if (gradient) filter_gradient();
    lap(4);
    add_spills_and_update(options);
    if (gradient) gather_parameter_gradient(options.context_gradient, gradient);
    lap(5);
  }
  return result;
}

StepResult Trainer::step(const float* parameters, const StepOptions& options, float* gradient) {
  return pass(parameters, options, gradient, nullptr);
}

}  // namespace fieldpack::train
