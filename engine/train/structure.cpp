// Structural similarity as what the trainer maximises.
//
// The kernels know squared errors only. Of a drawn picture y, the squared error to
// y - gradient / (2 * weight) has any gradient one likes: that is what they are told to aim at, anew
// in each pass.
#include <algorithm>

#include "trainer.hpp"

namespace fieldpack::train {

constexpr int kRows = 32;  // a job

void Trainer::compare_structure(double factor, float fidelity) {
  similarity_factor_ = factor;
  fidelity_ = fidelity;
  std::vector<Plane> original;
  for (const Plane& plane : image_) {
    original.push_back(plane.copy());
    drawn_.emplace_back(height_, width_);
  }
  ms_ssim_ = std::make_unique<MsSsim>(std::move(original), kernels_, pool_);
}

double Trainer::aim(const std::vector<Plane>& drawn, bool gradients) {
  std::vector<Plane> none;
  const double similarity = ms_ssim_->similarity(drawn, gradients ? image_ : none);
  const std::vector<Plane>& original = ms_ssim_->image();
  std::vector<double> errors(size_t((height_ + kRows - 1) / kRows));
  const float step = float(similarity_factor_ / (2 * double(scale_)));
  pool_.run(int(errors.size()), [&](int job, int) {
    for (int c = 0; c < model_.channels; ++c)
      for (int y = job * kRows; y < std::min((job + 1) * kRows, height_); ++y) {
        const float* value = drawn[c].view().row(y);
        const float* wanted = original[c].view().row(y);
        const float* weight = weights_.empty() ? nullptr : weights_[c].view().row(y);
        float* target = image_[c].view().row(y);
        float squares = 0;
        for (int x = 0; x < width_; ++x) {
          const float w = weight ? weight[x] : 1.0f, error = value[x] - wanted[x];
          squares += w * error * error;
          if (gradients) target[x] = value[x] - fidelity_ * error + step * target[x] / w;
        }
        errors[job] += squares;
      }
  });
  double error = 0;
  for (const double rows : errors) error += rows;
  return similarity_factor_ * (1 - similarity) + double(fidelity_) * scale_ * error;
}

void Trainer::linearise(const float* parameters) {
  const StepOptions options = StepOptions::rounding();
  StepResult result;
  pack(parameters);
  quantise(options);
  filter_and_upsample();
  draw(options, &drawn_, false, result, nullptr);
  aim(drawn_, true);
  ms_ssim_.reset();
  drawn_.clear();
}

}  // namespace fieldpack::train
