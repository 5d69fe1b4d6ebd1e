// Structural similarity of two planes in windows of 11 by 11 pixels, and its gradient in the second.
//
// In each window, with Gaussian weights that add up to 1: means m and n, variances s and t,
// covariance c. The similarity is (2 c + C2) / (s + t + C2), at the last scale also times
// (2 m n + C1) / (m m + n n + C1) (Wang, Simoncelli and Bovik, "Multiscale structural similarity for
// image quality assessment", 2003).
#pragma once

#include "kernels.hpp"
#include "vector.hpp"

namespace fieldpack::train::FIELDPACK_ISA {

constexpr int kReach = kWindow - 1;

// A Gaussian of deviation 1.5 pixels, the middle last.
constexpr float kWindowTaps[kWindow / 2 + 1] = {0.00102838008f, 0.00759875814f, 0.0360007721f,
                                                0.10936069f,    0.213005538f,   0.266011725f};

// Sum over a window that begins at x; `step` leads to the next value.
FIELDPACK_INLINE Floats windowed(const float* x, ptrdiff_t step) {
  Floats total = kWindowTaps[kWindow / 2] * load(x + kWindow / 2 * step);
  for (int t = 0; t < kWindow / 2; ++t)
    total += kWindowTaps[t] * (load(x + t * step) + load(x + (kReach - t) * step));
  return total;
}

// Buffers of one tile: rows of so many floats.
constexpr ptrdiff_t kSimilarityColumns = kSimilarityTileColumns + 2 * kReach + 2 * kLanes;
constexpr ptrdiff_t kSimilarityRows = kSimilarityTileRows + 2 * kReach;

inline ptrdiff_t similarity_workspace() {
  return (6 * kSimilarityRows + 8) * kSimilarityColumns;
}

// Moments of the windows that begin in the given rows, of the original alone.
inline void window_moments(const WindowMomentsArgs& a) {
  const int windows = a.plane.width - kReach;
  float* mean = a.workspace;
  float* square = a.workspace + kSimilarityColumns;
  for (int y = a.row_begin; y < a.row_end; ++y)
    for (int left = 0; left < windows; left += kSimilarityTileColumns) {
      const int right = left + kSimilarityTileColumns < windows ? left + kSimilarityTileColumns : windows;
      // Vertical sums of the values and of their squares, then horizontal ones.
      for (int x = left; x < right + kReach; x += kLanes) {
        const float* p = a.plane.row(y) + x;
        Floats total{}, squares{};
        for (int t = 0; t < kWindow; ++t) {
          const Floats v = load(p + t * a.plane.stride);
          const Floats weighted = kWindowTaps[t < kWindow / 2 ? t : kReach - t] * v;
          total += weighted;
          squares += weighted * v;
        }
        store(mean + x - left, total);
        store(square + x - left, squares);
      }
      for (int x = left; x < right; x += kLanes) {
        const Floats m = windowed(mean + x - left, 1);
        store(a.mean.row(y) + x, m);
        store(a.variance.row(y) + x, max(windowed(square + x - left, 1) - m * m, Floats{}));
      }
    }
}

class SimilarityTile {
 public:
  explicit SimilarityTile(SimilarityArgs& a)
      : a_(a), window_rows_(a.drawn.height - kReach), window_columns_(a.drawn.width - kReach) {
    top_ = a.row_begin > kReach ? a.row_begin - kReach : 0;
    bottom_ = a.row_end < window_rows_ ? a.row_end : window_rows_;
    left_ = a.column_begin > kReach ? a.column_begin - kReach : 0;
    right_ = a.column_end < window_columns_ ? a.column_end : window_columns_;
    float* memory = a.workspace;
    for (int i = 0; i < 3; ++i) {
      blurred_[i] = memory + i * kSimilarityRows * kSimilarityColumns;
      partial_[i] = memory + (3 + i) * kSimilarityRows * kSimilarityColumns;
    }
    lines_ = memory + 6 * kSimilarityRows * kSimilarityColumns;
  }

  void run() {
    blur_rows();
    compare();
    if (a_.gradients) collect();
  }

 private:
  // Rows of the three quantities blurred along x: drawn, its square, its product with the original.
  void blur_rows() {
    const int columns = right_ - left_;
    float* squares = lines_;
    float* products = lines_ + kSimilarityColumns;
    for (int y = top_; y < bottom_ + kReach; ++y) {
      const float* drawn = a_.drawn.row(y) + left_;
      const float* original = a_.original.row(y) + left_;
      for (int x = 0; x < columns + kReach; x += kLanes) {
        const Floats v = load(drawn + x);
        store(squares + x, v * v);
        store(products + x, v * load(original + x));
      }
      const ptrdiff_t row = (y - top_) * kSimilarityColumns;
      for (int x = 0; x < columns; x += kLanes) {
        store(blurred_[0] + row + x, windowed(drawn + x, 1));
        store(blurred_[1] + row + x, windowed(squares + x, 1));
        store(blurred_[2] + row + x, windowed(products + x, 1));
      }
    }
  }

  // The similarity in each window, and its gradient's three parts: of what is blurred of the
  // original, of the drawn plane, and of the constant 1.
  void compare() {
    const Ints lanes = lane_indices();
    double total = 0;
    for (int y = top_; y < bottom_; ++y) {
      const bool is_own_row = y >= a_.row_begin;
      const ptrdiff_t row = (y - top_) * kSimilarityColumns;
      Floats sums{};
      for (int x = left_; x < right_; x += kLanes) {
        const ptrdiff_t at = row + x - left_;
        const Floats m = load(a_.mean.row(y) + x), s = load(a_.variance.row(y) + x);
        const Floats n = windowed(blurred_[0] + at, kSimilarityColumns);
        const Floats t =
            max(windowed(blurred_[1] + at, kSimilarityColumns) - n * n, Floats{});
        const Floats c = windowed(blurred_[2] + at, kSimilarityColumns) - m * n;
        const Floats numerator = 2.0f * c + kC2, inverse = 1.0f / (s + t + kC2);
        const Floats structure = numerator * inverse;
        Floats luminance = splat(1.0f), slope{};
        if (a_.compares_means) {
          const Floats bottom = 1.0f / (m * m + n * n + kC1);
          luminance = (2.0f * m * n + kC1) * bottom;
          slope = structure * 2.0f * (m - luminance * n) * bottom;
        }
        const Ints column = lanes + x;
        const Ints is_inside = column < right_;
        sums += select(is_inside & (column >= a_.column_begin), structure * luminance, Floats{});
        if (!a_.gradients) continue;
        const Floats of_original = 2.0f * luminance * inverse;
        const Floats of_drawn = of_original * structure;
        const ptrdiff_t target = row + kReach + x - left_;
        store(partial_[0] + target, select(is_inside, of_original, Floats{}));
        store(partial_[1] + target, select(is_inside, of_drawn, Floats{}));
        store(partial_[2] + target, select(is_inside, slope + of_drawn * n - of_original * m, Floats{}));
      }
      if (is_own_row) total += double(sum(sums));
      if (!a_.gradients) continue;
      // Beyond the windows there is nothing.
      const ptrdiff_t end = row + kReach + (right_ - left_ + kLanes - 1) / kLanes * kLanes;
      for (int i = 0; i < 3; ++i) {
        for (int x = 0; x < kReach; ++x) partial_[i][row + x] = 0;
        for (ptrdiff_t x = end; x < row + kSimilarityColumns; ++x) partial_[i][x] = 0;
      }
    }
    a_.total = total;
  }

  // What each pixel gets from all windows that hold it.
  void collect() {
    for (int y = a_.row_begin; y < a_.row_end; ++y) {
      const int first = y - kReach > top_ ? y - kReach : top_;
      const int last = y < bottom_ - 1 ? y : bottom_ - 1;
      const int columns = a_.column_end - a_.column_begin;
      for (int i = 0; i < 3; ++i)
        for (int x = 0; x < columns + kReach; x += kLanes) {
          Floats total{};
          for (int window = first; window <= last; ++window) {
            const int t = y - window;
            total += kWindowTaps[t < kWindow / 2 ? t : kReach - t] *
                     load(partial_[i] + (window - top_) * kSimilarityColumns + offset() + x);
          }
          store(lines_ + i * kSimilarityColumns + x, total);
        }
      const float* drawn = a_.drawn.row(y) + a_.column_begin;
      const float* original = a_.original.row(y) + a_.column_begin;
      float* out = a_.gradient.row(y) + a_.column_begin;
      for (int x = 0; x < columns; x += kLanes) {
        const Floats of_original = windowed(lines_ + x, 1);
        const Floats of_drawn = windowed(lines_ + kSimilarityColumns + x, 1);
        const Floats of_one = windowed(lines_ + 2 * kSimilarityColumns + x, 1);
        const Floats g = load(original + x) * of_original - load(drawn + x) * of_drawn + of_one;
        if (x + kLanes <= columns) {
          store(out + x, g);
        } else {
          // The next tile's columns are another thread's.
          for (int i = 0; x + i < columns; ++i) out[x + i] = g[i];
        }
      }
    }
  }

  // Of the window that ends at the tile's first column, in rows of partial_.
  ptrdiff_t offset() const { return a_.column_begin - left_; }

  SimilarityArgs& a_;
  int window_rows_, window_columns_;
  int top_, bottom_, left_, right_;  // windows that have to do with the tile
  float* blurred_[3];
  float* partial_[3];  // columns shifted by kReach
  float* lines_;
};

inline void similarity(SimilarityArgs& a) { SimilarityTile(a).run(); }

}  // namespace fieldpack::train::FIELDPACK_ISA
