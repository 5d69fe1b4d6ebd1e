// The filling network: a small U-Net of residual blocks that sees a guess at one channel of a picture
// and which pixels are known, and returns a better guess. prior/filling_network.py is the same in
// PyTorch.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

namespace fieldpack::filling {

constexpr int kLevels = 4;
constexpr int kCell = 1 << kLevels;  // sides are multiples of it
using Widths = std::array<int, kLevels>;

class Network {
 public:
  // widths: channels at 1/2, 1/4, 1/8 and 1/16 of the resolution, each a multiple of eight.
  // parameters: weights and bias of each layer in order, as PyTorch lays them out.
  Network(const Widths& widths, const float* parameters);

  // How many parameters a network of such widths has.
  static std::size_t parameters(const Widths& widths);

  // guess, out: [height][width]; mask: likewise, 1 where known, else 0. Sides are multiples of kCell.
  // The result does not depend on the number of threads.
  void run(const float* guess, const float* mask, int height, int width, int threads,
           float* out) const;

 private:
  struct Layer {
    int inputs, outputs, padded_outputs, kernel;
    bool transposed;
    std::vector<float> weights, bias;  // [tap][input][padded output]
  };

  Widths widths_;
  std::vector<Layer> layers_;
};

}  // namespace fieldpack::filling
