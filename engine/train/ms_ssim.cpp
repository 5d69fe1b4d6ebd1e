#include "ms_ssim.hpp"

#include <algorithm>
#include <cmath>

namespace fieldpack::train {
namespace {

constexpr double kExponents[] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};
constexpr int kBandRows = 64;
// A mean similarity may be negative, of which there are no powers.
constexpr double kLeastSimilarity = 1e-3;

void halve(const Plane& fine, Plane& coarse) {
  for (int y = 0; y < coarse.view().height; ++y) {
    const float* upper = fine.view().row(2 * y);
    const float* lower = fine.view().row(2 * y + 1);
    float* out = coarse.view().row(y);
    for (int x = 0; x < coarse.view().width; ++x)
      out[x] = 0.25f * (upper[2 * x] + upper[2 * x + 1] + lower[2 * x] + lower[2 * x + 1]);
  }
}

// The transpose of `halve` but for its factor; odd last rows and columns have nothing above them.
void add_doubled(const Plane& coarse, float factor, Plane& fine) {
  for (int y = 0; y < 2 * coarse.view().height; ++y) {
    const float* in = coarse.view().row(y / 2);
    float* out = fine.view().row(y);
    for (int x = 0; x < 2 * coarse.view().width; ++x) out[x] += factor * in[x / 2];
  }
}

// The windows' values spread over the pixels that they hold, as a mean.
Plane spread(const Plane& windows, int height, int width) {
  double taps[kWindow], total = 0;
  for (int t = 0; t < kWindow; ++t) {
    const double away = (t - kWindow / 2) / 1.5;
    total += taps[t] = std::exp(-0.5 * away * away);
  }
  Plane rows(height, windows.view().width), out(height, width);
  const auto mean = [&](int at, int count, const auto& value) {
    double sum = 0, weight = 0;
    for (int t = 0; t < kWindow; ++t)
      if (at - t >= 0 && at - t < count) {
        sum += taps[t] * value(at - t);
        weight += taps[t];
      }
    return float(sum / weight);
  };
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < windows.view().width; ++x)
      rows.view().row(y)[x] =
          mean(y, windows.view().height, [&](int i) { return windows.view().row(i)[x]; });
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      out.view().row(y)[x] =
          mean(x, windows.view().width, [&](int i) { return rows.view().row(y)[i]; });
  return out;
}

}  // namespace

MsSsim::MsSsim(std::vector<Plane> image, const Kernels& kernels, ThreadPool& pool)
    : kernels_(kernels), pool_(pool), channels_(int(image.size())) {
  workspaces_.assign(size_t(pool.threads()),
                     AlignedFloats(size_t(kernels.similarity_workspace())));
  original_.push_back(std::move(image));
  const auto sides = [&](size_t scale) { return original_[scale][0].view(); };
  double total = 0, missing = 0;
  for (size_t scale = 0;; ++scale) {
    const int height = sides(scale).height, width = sides(scale).width;
    exponents_.push_back(kExponents[scale]);
    total += kExponents[scale];
    mean_.emplace_back();
    variance_.emplace_back();
    drawn_.emplace_back(scale ? height : 0, scale ? width : 0);
    gradient_.emplace_back(height, width);
    for (int c = 0; c < channels_; ++c) {
      for (auto* planes : {&mean_, &variance_})
        planes->back().emplace_back(height - kWindow + 1, width - kWindow + 1);
      const int windows = height - kWindow + 1;
      pool_.run((windows + kBandRows - 1) / kBandRows, [&](int job, int thread) {
        kernels_.window_moments({original_[scale][c].view(), mean_[scale][c].view(),
                                 variance_[scale][c].view(), job * kBandRows,
                                 std::min((job + 1) * kBandRows, windows),
                                 workspaces_[thread].data()});
      });
    }
    if (scale + 1 == std::size(kExponents) || std::min(height, width) / 2 < kWindow) break;
    std::vector<Plane> halves;
    for (int c = 0; c < channels_; ++c) {
      halves.emplace_back(height / 2, width / 2);
      halve(original_[scale][c], halves.back());
    }
    original_.push_back(std::move(halves));
  }
  for (size_t scale = exponents_.size(); scale < std::size(kExponents); ++scale)
    missing += kExponents[scale];
  for (double& exponent : exponents_) exponent *= 1 + missing / total;
}

double MsSsim::similarity(const std::vector<Plane>& drawn, std::vector<Plane>& gradient) {
  struct Tile {
    size_t scale;
    int top, bottom, left, right;
    double total;
  };
  const size_t scales = exponents_.size();
  std::vector<Tile> tiles;
  for (size_t scale = 0; scale < scales; ++scale) {
    const PlaneView& plane = original_[scale][0].view();
    for (int y = 0; y < plane.height; y += kSimilarityTileRows)
      for (int x = 0; x < plane.width; x += kSimilarityTileColumns)
        tiles.push_back({scale, y, std::min(y + kSimilarityTileRows, plane.height), x,
                         std::min(x + kSimilarityTileColumns, plane.width), 0});
  }
  double all = 0;
  for (int c = 0; c < channels_; ++c) {
    for (size_t scale = 1; scale < scales; ++scale)
      halve(scale == 1 ? drawn[c] : drawn_[scale - 1], drawn_[scale]);
    pool_.run(int(tiles.size()), [&](int job, int thread) {
      Tile& tile = tiles[job];
      const size_t scale = tile.scale;
      SimilarityArgs args{original_[scale][c].view(),
                          scale ? drawn_[scale].view() : drawn[c].view(),
                          mean_[scale][c].view(), variance_[scale][c].view(),
                          gradient_[scale].view(), tile.top, tile.bottom, tile.left, tile.right,
                          scale + 1 == scales, !gradient.empty(), workspaces_[thread].data(), 0};
      kernels_.similarity(args);
      tile.total = args.total;
    });
    std::vector<double> means(scales);
    for (const Tile& tile : tiles) means[tile.scale] += tile.total;
    double product = 1;
    for (size_t scale = 0; scale < scales; ++scale) {
      const PlaneView& windows = mean_[scale][c].view();
      means[scale] /= double(windows.height) * windows.width;
      product *= std::pow(std::max(means[scale], kLeastSimilarity), exponents_[scale]);
    }
    all += product / channels_;
    if (gradient.empty()) continue;
    // Of the whole in a window's similarity at a scale, relative to that at the first.
    std::vector<double> slopes(scales);
    for (size_t scale = 0; scale < scales; ++scale) {
      const PlaneView& windows = mean_[scale][c].view();
      slopes[scale] = exponents_[scale] * product / channels_ /
                      std::max(means[scale], kLeastSimilarity) /
                      (double(windows.height) * windows.width);
    }
    for (size_t scale = scales - 1; scale >= 1; --scale)
      add_doubled(gradient_[scale], float(0.25 * slopes[scale] / slopes[scale - 1]),
                  gradient_[scale - 1]);
    const PlaneView& in = gradient_[0].view();
    for (int y = 0; y < in.height; ++y)
      for (int x = 0; x < in.width; ++x)
        gradient[c].view().row(y)[x] = float(slopes[0]) * in.row(y)[x];
  }
  return all;
}

std::vector<Plane> MsSsim::error_weights(float falling) const {
  std::vector<Plane> weights(static_cast<size_t>(channels_));
  for (int c = 0; c < channels_; ++c)
    for (int scale = int(exponents_.size()) - 1; scale >= 0; --scale) {
      const PlaneView& variance = variance_[scale][c].view();
      Plane inverse(variance.height, variance.width);
      const double factor = exponents_[scale] * std::pow(falling, scale);
      for (int y = 0; y < variance.height; ++y)
        for (int x = 0; x < variance.width; ++x)
          inverse.view().row(y)[x] = float(factor / (2 * variance.row(y)[x] + kC2));
      const PlaneView& plane = original_[scale][c].view();
      Plane sum = spread(inverse, plane.height, plane.width);
      if (scale + 1 < int(exponents_.size())) {
        const PlaneView& above = weights[c].view();
        for (int y = 0; y < plane.height; ++y)
          for (int x = 0; x < plane.width; ++x)
            sum.view().row(y)[x] += above.row(std::min(y / 2, above.height - 1))[std::min(
                x / 2, above.width - 1)];
      }
      weights[c] = std::move(sum);
    }
  return weights;
}

}  // namespace fieldpack::train
