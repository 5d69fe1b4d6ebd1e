// Multi-scale structural similarity of a drawn picture to the original, and its gradient.
//
// Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment", 2003:
// of each channel, the weighted geometric mean over the scales (each of half the size of the one
// before, by the mean of 2 by 2 pixels) of the mean similarity in windows of 11 by 11 pixels, see
// ms_ssim_kernel.hpp; then the mean over the channels. Small pictures have fewer scales, whose
// weights are enlarged so that their sum stays.
#pragma once

#include <vector>

#include "kernels.hpp"
#include "plane.hpp"
#include "pool.hpp"

namespace fieldpack::train {

class MsSsim {
 public:
  // image: planes of one size with both sides at least kWindow, values from 0 to 1. Takes about
  // 20 bytes for each of their samples.
  MsSsim(std::vector<Plane> image, const Kernels& kernels, ThreadPool& pool);

  // The original picture.
  const std::vector<Plane>& image() const { return original_[0]; }

  // Of `drawn`; its gradient goes to `gradient` if that is not empty.
  double similarity(const std::vector<Plane>& drawn, std::vector<Plane>& gradient);

  // Weights with which squared errors come near to 1 - MS-SSIM times the number of samples: the
  // inverse variance around each pixel, at each scale, which counts `falling` times what the one
  // before does. They are too large for errors that change from pixel to pixel if falling is 1, and
  // about right for noise if it is 1/4.
  std::vector<Plane> error_weights(float falling) const;

 private:
  const Kernels& kernels_;
  ThreadPool& pool_;
  int channels_;
  std::vector<double> exponents_;  // by scale
  // [scale][channel]
  std::vector<std::vector<Plane>> original_, mean_, variance_;
  std::vector<Plane> drawn_, gradient_;  // [scale], of one channel at a time
  std::vector<AlignedFloats> workspaces_;
};

}  // namespace fieldpack::train
