// The pyramid codec's model: its sizes and where each parameter lies in the one flat vector.
#pragma once

#include <cstddef>

namespace fieldpack::train {

constexpr int kMaxLayers = 4;      // dense layers of one perceptron
constexpr int kMaxWidth = 64;      // rows a dense layer reads or writes
constexpr int kMaxChannels = 4;    // colour channels of the image
constexpr int kMaxGrids = 12;
constexpr int kMaxConvolutions = 4;
// Slope of the 3x3 layers' activation below zero. With a plain ReLU a colour channel can die for good.
constexpr float kLeak = 0.125f;
constexpr int kAncestorReach = 1;  // rows and columns around the latent that covers a place
constexpr int kTaps = 4;           // a symmetric kernel of 8 taps has 4 free ones

// A multilayer perceptron over pixels. Every layer but the last ends in a ReLU; a hidden layer that
// reads as many values as it writes adds its input before that ReLU (the first layer never does).
// Parameters: for each layer weights [outputs][inputs], then biases [outputs].
struct PerceptronShape {
  int layers = 0;
  int size[kMaxLayers + 1] = {};

  bool residual(int layer) const {
    return layer > 0 && layer + 1 < layers && size[layer] == size[layer + 1];
  }
  ptrdiff_t weights(int layer) const { return ptrdiff_t(size[layer]) * size[layer + 1]; }
  ptrdiff_t parameters(int layer) const { return weights(layer) + size[layer + 1]; }
  ptrdiff_t offset(int layer) const {
    ptrdiff_t total = 0;
    for (int l = 0; l < layer; ++l) total += parameters(l);
    return total;
  }
  ptrdiff_t parameters() const { return offset(layers); }
};

// Position of an already decoded latent relative to the one being coded.
struct Neighbour {
  int dy, dx;
};

// A latent of a coarser grid, which is decoded before: of the grid `level` above, (dy, dx) from the
// latent that covers the place of the one being coded.
struct Ancestor {
  int level, dy, dx;
};

// Flat parameter vector:
//   upsampling   [grids - 1][4]        taps of the stage from level s + 1 to level s, nearest first
//   filters      [filters][4]          of each grid but the coarsest: what is added to the identity's
//                                      central tap, and the taps at distances 1 to 3
//   synthesis    perceptron grids -> ... -> channels
//   convolutions [n][C][C][3][3] weights then [C] biases each; leaky(x + conv(x)), the last without leaky
//   context      [sets] perceptron neighbours, ancestors -> ... -> (mean, log scale)
struct ModelShape {
  int channels = 3;
  int grids = 7;
  int convolutions = 2;
  int filters = 0;  // grids - 1, or none
  int context_sets = 1;
  int context_set_of[kMaxGrids] = {};  // the context weights that a grid uses
  PerceptronShape synthesis;
  PerceptronShape context;
  int neighbour_count = 0, ancestor_count = 0;  // together the context perceptron's inputs
  Neighbour neighbours[kMaxWidth] = {};
  Ancestor ancestors[kMaxWidth] = {};

  ptrdiff_t taps_offset(int stage) const { return ptrdiff_t(stage) * kTaps; }
  ptrdiff_t filter_offset(int grid) const { return ptrdiff_t(grids - 1 + grid) * kTaps; }
  ptrdiff_t synthesis_offset() const { return filter_offset(filters); }
  ptrdiff_t convolution_weights() const { return ptrdiff_t(channels) * channels * 9; }
  ptrdiff_t convolution_offset(int layer) const {
    return synthesis_offset() + synthesis.parameters() + layer * (convolution_weights() + channels);
  }
  ptrdiff_t context_offset(int set) const {
    return convolution_offset(convolutions) + set * context.parameters();
  }
  ptrdiff_t parameters() const { return context_offset(context_sets); }
};

}  // namespace fieldpack::train
