// What the trainer tells of its latents without moving them.
#include <algorithm>

#include "trainer.hpp"

namespace fieldpack::train {

StepOptions StepOptions::rounding() {
  StepOptions options;
  options.quantiser = Quantiser::kHard;
  options.noise = 0;
  options.gradients = options.update = false;
  return options;
}

StepResult Trainer::evaluate(const float* parameters, const StepOptions& options,
                             float* reconstruction) {
  StepOptions forward = options;
  forward.gradients = forward.update = false;
  if (!reconstruction) return pass(parameters, forward, nullptr, nullptr);
  std::vector<Plane> planes;
  for (int c = 0; c < model_.channels; ++c) planes.emplace_back(height_, width_);
  const StepResult result = pass(parameters, forward, nullptr, &planes);
  join_channels(planes, reconstruction);
  return result;
}

double Trainer::distortion(const float* parameters) {
  const StepOptions options = StepOptions::rounding();
  StepResult result;
  pack(parameters);
  quantise(options);
  filter_and_upsample();
  synthesise(options, nullptr, false, result);
  return result.distortion;
}

void Trainer::loss_by_block(const float* parameters, float lambda, double* losses, double* rates) {
  const StepOptions options = StepOptions::rounding();
  StepResult result;
  pack(parameters);
  quantise(options);
  context(options, false, result, -1, true);
  filter_and_upsample();
  const int rows = loss_blocks(height_), columns = loss_blocks(width_);
  const double nat = double(lambda) / (double(height_) * width_) * 1.4426950408889634;
  pool_.run(rows, [&](int job, int) {
    double* sums = rates + ptrdiff_t(job) * columns;
    std::fill(sums, sums + columns, 0.0);
    const int end = std::min((job + 1) * kLossBlock, height_);
    for (int y = job * kLossBlock; y < end; ++y)
      for (int k = finest_; k < model_.grids && y % (1 << k) == 0; ++k) {
        const float* nats = grids_[k].slope.view().row(y >> k);
        for (int x = 0; x < grids_[k].width; ++x) sums[(x << k) / kLossBlock] += nat * nats[x];
      }
  });
  std::copy(rates, rates + ptrdiff_t(rows) * columns, losses);
  synthesise(options, nullptr, false, result, losses);
}

std::array<double, kMaxGrids> Trainer::bits(const float* parameters, int context_set) {
  const StepOptions options = StepOptions::rounding();
  StepResult result;
  pack(parameters);
  quantise(options);
  context(options, false, result, context_set);
  return result.bits;
}

}  // namespace fieldpack::train
