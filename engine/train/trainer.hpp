// Fits the latents of one image: owns its planes, runs one full pass a call.
//
// Memory: about 105 bytes a pixel (six planes a latent, the image, the pyramid at half resolution and
// its gradients, grid 0 filtered), plus about 1 MB a thread; about 80 more where structure is compared.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "kernels.hpp"
#include "ms_ssim.hpp"
#include "plane.hpp"
#include "pool.hpp"

namespace fieldpack::train {

struct StepOptions {
  static StepOptions rounding();  // plainly, without noise, gradients and an update

  Quantiser quantiser = Quantiser::kSoft;
  float temperature = 0.3f;
  float noise = 0.25f;
  float lambda = 0.001f;      // loss a bit per pixel
  uint32_t seed = 0;
  uint32_t step = 0;
  bool gradients = true;      // false: loss and reconstruction only
  bool update = true;         // moves the latents
  bool context_gradient = true;  // false: zeros for the context models' weights, in less time
  std::array<float, kMaxGrids> learning_rate{};  // by grid, in quantisation steps
  float beta1 = 0.6f, beta2 = 0.95f, epsilon = 1e-12f;
  float sharing = 0.85f;  // of the grid's mean square gradient in what divides a latent's step
};

struct StepResult {
  double distortion = 0;                    // weighted mean squared error
  std::array<double, kMaxGrids> bits{};     // by grid
  std::array<double, 8> seconds{};          // by part, see kPartNames
};

inline constexpr std::array<const char*, 6> kPartNames = {
    "quantiser", "context", "upsampling", "synthesis", "upsampling_gradient", "optimiser"};

class Trainer {
 public:
  // image: [height][width][channels]; weights: null, or the same layout, not all zero. Grids finer
  // than `finest` stay at zero, without bits and gradients.
  Trainer(const ModelShape& model, const float* image, const float* weights, int height, int width,
          int threads, int finest = 0);

  // From now on the distortion is factor * (1 - MS-SSIM) + fidelity * the weighted mean squared
  // error. Both sides must be at least kWindow, all weights positive.
  void compare_structure(double factor, float fidelity);

  // Replaces that by a weighted squared error which has the same gradient where the latents are now.
  void linearise(const float* parameters);
  bool compares_structure() const { return bool(ms_ssim_); }

  const ModelShape& model() const { return model_; }
  int height() const { return height_; }
  int width() const { return width_; }
  int threads() const { return pool_.threads(); }
  int finest() const { return finest_; }

  // One pass with the given network parameters; `gradient` (same length) is overwritten, or null to
  // leave it out, which takes a third less time.
  StepResult step(const float* parameters, const StepOptions& options, float* gradient);

  // As step without gradients; reconstruction is [height][width][channels], or null.
  StepResult evaluate(const float* parameters, const StepOptions& options, float* reconstruction);

  // Mean squared error with the latents rounded, without what evaluate does beside.
  double distortion(const float* parameters);

  // Loss of the rounded latents where it arises, by blocks of kLossBlock by kLossBlock pixels, row by
  // row, and what of it is for the bits; those of a latent count where its first pixel is. Overwrites
  // the slopes.
  void loss_by_block(const float* parameters, float lambda, double* losses, double* rates);

  // Bits, by grid, of the rounded latents; only of grids that use a context set unless it is -1.
  std::array<double, kMaxGrids> bits(const float* parameters, int context_set);

  Plane& latents(int grid) { return grids_[grid].latents; }
  const Plane& quantised(int grid) const { return grids_[grid].quantised; }
  const Plane& latent_gradient(int grid) const { return grids_[grid].gradient; }
  const Plane& slope(int grid) const { return grids_[grid].slope; }
  void reset_moments();  // gives their memory back, too

 private:
  struct Grid {
    int height, width;
    Plane latents, quantised, slope, gradient, mean, square;
    double mean_square = 0;  // of the gradient after the last update, bias corrected
  };
  struct Band {
    int grid, row_begin, row_end;
    Plane spill;  // gradients that belong to rows above the band
    // [level]: gradients that belong to the grid so many above; row 0 is that of row_begin.
    std::vector<Plane> coarser = {};
  };
  struct Tile {
    int top, bottom, left, right;
    std::vector<Plane> coarse_gradient;
    double distortion;
  };

  void pack(const float* parameters);
  void quantise(const StepOptions& options);
  void context(const StepOptions& options, bool weight_gradient, StepResult& result,
               int only_set = -1, bool keep_nats = false);
  void filter_and_upsample();
  void synthesise(const StepOptions& options, const std::vector<Plane>* reconstruction,
                  bool network_gradient, StepResult& result, double* losses = nullptr);
  void draw(const StepOptions& options, const std::vector<Plane>* reconstruction,
            bool network_gradient, StepResult& result, double* losses);
  double aim(const std::vector<Plane>& drawn, bool gradients);
  void upsample_gradient();
  void filter_gradient();
  void add_spills_and_update(const StepOptions& options);
  void gather_parameter_gradient(bool context_gradient, float* gradient);
  StepResult pass(const float* parameters, const StepOptions& options, float* gradient,
                  const std::vector<Plane>* reconstruction);

  ModelShape model_;
  int height_, width_, finest_;
  const Kernels& kernels_;
  ThreadPool pool_;
  std::vector<Plane> image_, weights_;
  float scale_;
  std::unique_ptr<MsSsim> ms_ssim_;  // if there is one, image_ is what a squared error would aim at
  double similarity_factor_ = 0;
  float fidelity_ = 0;
  std::vector<Plane> drawn_;
  std::vector<Grid> grids_;
  // pyramid_[s][p - s]: grid p at the resolution of grid s (s >= 1), margins replicated.
  std::vector<std::vector<Plane>> pyramid_, pyramid_gradient_;
  Plane filtered_, filtered_gradient_;  // of grid 0, where grids are filtered
  std::vector<Band> bands_;
  std::vector<Tile> tiles_;
  std::vector<float> transposed_, flipped_, natural_;
  std::vector<AlignedFloats> band_sums_, filter_sums_, tile_sums_, stage_sums_, workspaces_;
  uint32_t adam_steps_ = 0;
};

}  // namespace fieldpack::train
