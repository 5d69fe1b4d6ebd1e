// The hot loops as plain functions, one table of them per instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model.hpp"

namespace fieldpack::train {

// Row-major float plane. `data` points at element (0, 0); rows and columns beyond the plane exist as
// margins, so that shifted reads and whole vectors never need a test.
struct PlaneView {
  float* data = nullptr;
  ptrdiff_t stride = 0;
  int height = 0, width = 0;
  float* row(ptrdiff_t y) const { return data + y * stride; }
};

constexpr int kMarginRows = 4;
constexpr int kMarginLeft = 16;
constexpr int kMarginRight = 48;  // a margin plus one overrunning vector

constexpr int kLossBlock = 4;  // pixels; divides the sides of the tiles
constexpr int loss_blocks(int pixels) { return (pixels + kLossBlock - 1) / kLossBlock; }

// Parameters as the kernels want them: `natural` is the flat vector itself; `transposed` has every
// weight matrix as [inputs][outputs]; `flipped` has the 3x3 kernels as [output, tap][input].
struct PackedParameters {
  const float* natural;
  const float* transposed;
  const float* flipped;
};

enum class Quantiser : int { kSoft = 0, kHard = 1 };

struct QuantiseArgs {
  Quantiser mode;
  float temperature;  // of the soft rounding
  float noise;        // half width of the uniform noise between the two soft roundings; its sign
                      // mirrors the noise
  float shift;        // 0 to 2: moves the uniform numbers in [-1, 1) round that range
  uint32_t key;       // mixes seed, step and grid: the noise depends on nothing else but position
  PlaneView latents, quantised, slope;  // slope = d quantised / d latent
  int row_begin, row_end;
};

struct ContextArgs {
  const ModelShape* model;
  PackedParameters parameters;
  int set;
  PlaneView quantised;
  const PlaneView* coarser;           // [level]: quantised latents of that many grids above, or no data
  const PlaneView* coarser_gradient;  // [level]: added to, private to these rows
  PlaneView gradient;   // written for rows [row_begin, row_end)
  PlaneView spill;      // what those rows add to the gradients of rows above row_begin: row -1 etc.
  int row_begin, row_end;
  float weight;         // lambda / pixels / ln 2: turns nats into loss
  bool gradients;       // false: only the bits
  float* sums;          // [context parameters][lanes], added to; null: latents' gradients only
  PlaneView nats;       // written with those of each latent; no data: left out
  float* workspace;
  double bits;          // out
};

struct FilterArgs {
  PlaneView in, out;   // in: with margins of zeros
  const float* taps;
  int row_begin, row_end;
  bool add;            // to what `out` holds
  float* workspace;    // the columns and 4 vectors
};

struct FilterGradientArgs {
  PlaneView in, gradient;  // the latents, and the gradient of what came out; margins of zeros
  const float* taps;
  int row_begin, row_end;
  float* sums;             // [4][lanes], added to
  float* workspace;        // twice that
};

struct UpsampleArgs {
  PlaneView coarse, fine;  // fine is written in the given rows and columns
  const float* taps;
  int row_begin, row_end, column_begin, column_end;
  float* workspace;
};

struct UpsampleGradientArgs {
  PlaneView coarse;           // as read by the forward pass, margins replicated
  PlaneView fine_gradient;
  PlaneView coarse_gradient;  // added to, two rows and columns beyond the region's half
  const float* taps;
  int row_begin, row_end, column_begin, column_end;  // of the fine plane, begins even
  float* sums;                // [4][lanes], added to, or null
  float* workspace;
};

struct SynthesisArgs {
  const ModelShape* model;
  PackedParameters parameters;
  int height, width;                 // of the image
  int row_begin, row_end, column_begin, column_end;  // of the tile, begins even
  PlaneView finest;                  // quantised latents of grid 0
  PlaneView finest_gradient;         // added to inside the tile; no data: left out
  const PlaneView* coarse;           // [grids - 1] planes at half resolution, margins replicated
  const PlaneView* coarse_gradient;  // [grids - 1] private to the tile, added to
  const PlaneView* image;            // [channels]
  const PlaneView* weights;          // [channels] or null
  float scale;                       // 1 / sum of the weights
  const PlaneView* reconstruction;   // [channels] or null
  bool gradients;                    // false: only the distortion and the reconstruction
  float* sums;                       // [taps, filter, synthesis and convolution parameters][lanes], added to;
                                     // null: latents' gradients only
  double* losses;                    // by blocks of kLossBlock pixels a side, [..][losses_stride], added
  ptrdiff_t losses_stride;           // to, if not null; then there can be no gradients
  float* workspace;
  double distortion;                 // out: scale * sum of w * error^2 over the tile
};

struct AdamArgs {
  PlaneView latents, gradient, slope, mean, square;
  int row_begin, row_end;
  float step, beta1, beta2, epsilon;  // step and epsilon include the bias corrections
  // A latent's step is divided by the root of own * (its mean square) + shared.
  float own, shared, largest;  // `largest` bounds the quotient, in units of `step`
  double squares;              // out: sum of the mean squares of these rows
};

// Structural similarity, see ms_ssim_kernel.hpp.
constexpr int kWindow = 11;  // pixels a side
constexpr float kC1 = 1e-4f, kC2 = 9e-4f;  // of values from 0 to 1
constexpr int kSimilarityTileRows = 64, kSimilarityTileColumns = 256;

struct WindowMomentsArgs {
  PlaneView plane;
  PlaneView mean, variance;  // of the windows that begin in rows [row_begin, row_end)
  int row_begin, row_end;
  float* workspace;
};

struct SimilarityArgs {
  PlaneView original, drawn;
  PlaneView mean, variance;  // of the original's windows
  PlaneView gradient;        // of the windows' sum in `drawn`, written inside the tile
  int row_begin, row_end, column_begin, column_end;
  bool compares_means;
  bool gradients;            // false: only the total
  float* workspace;
  double total;              // out: of the windows that begin in the tile
};

struct Kernels {
  const char* isa;
  int lanes;
  void (*quantise)(const QuantiseArgs&);
  void (*context)(ContextArgs&);
  void (*filter)(const FilterArgs&);
  void (*filter_gradient)(const FilterGradientArgs&);
  void (*upsample)(const UpsampleArgs&);
  void (*upsample_gradient)(const UpsampleGradientArgs&);
  void (*synthesis)(SynthesisArgs&);
  void (*adam)(AdamArgs&);
  void (*window_moments)(const WindowMomentsArgs&);
  void (*similarity)(SimilarityArgs&);
  void (*add_lanes)(const float* sums, ptrdiff_t count, float* totals);  // totals[i] += sum of lanes
  ptrdiff_t (*context_workspace)(const ModelShape&);
  ptrdiff_t (*synthesis_workspace)(const ModelShape&, int tile_rows, int tile_columns);
  ptrdiff_t (*similarity_workspace)();
};

// The fastest table this processor runs, or the one that FIELDPACK_ISA (baseline, avx2, avx512)
// names. Throws std::runtime_error when that is unknown or not supported here.
const Kernels& kernels();

}  // namespace fieldpack::train
