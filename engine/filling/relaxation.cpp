#include "filling/relaxation.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "parallel/threads.hpp"

namespace fieldpack::filling {

namespace {

constexpr int kBandRows = 16;

// Rows of width * channels floats, each with a copy of its first and last pixel beyond its ends.
struct Surface {
  int height, length, channels;  // length: floats a row
  std::vector<float> values;

  Surface(int h, int w, int c)
      : height(h), length(w * c), channels(c), values(std::size_t(h) * (w + 2) * c) {}
  // Beyond the first and last row stand the same once more.
  float* row(int y) {
    y = std::clamp(y, 0, height - 1);
    return values.data() + std::size_t(y) * (length + 2 * channels) + channels;
  }
  void extend(int y) {
    float* r = row(y);
    for (int c = 0; c < channels; ++c) {
      r[c - channels] = r[c];
      r[length + c] = r[length - channels + c];
    }
  }
};

}  // namespace

void relax(float* values, const unsigned char* mask, int height, int width, int channels,
           float tension, float momentum, int iterations, int threads) {
  Surface ahead(height, width, channels), curvature(height, width, channels);
  const int length = width * channels;
  const float step = 1 / (64 + 8 * tension);  // 64 and 8: the largest eigenvalues
  const int bands = (height + kBandRows - 1) / kBandRows;
  const auto in_bands = [&](const auto& work) {
    run_parallel(threads, std::size_t(bands), [&](int, std::size_t band) {
      const int first = int(band) * kBandRows;
      for (int y = first; y < std::min(first + kBandRows, height); ++y) work(y);
    });
  };
  // 0 where known, else the step, a float for each value.
  std::vector<float> steps(std::size_t(height) * length);
  in_bands([&](int y) {
    const float* source = values + std::size_t(y) * length;
    std::copy(source, source + length, ahead.row(y));
    ahead.extend(y);
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < channels; ++c)
        steps[std::size_t(y) * length + x * channels + c] =
            mask[std::size_t(y) * width + x] ? 0.0f : step;
  });
  for (int i = 0; i < iterations; ++i) {
    in_bands([&](int y) {
      const float *up = ahead.row(y - 1), *at = ahead.row(y), *down = ahead.row(y + 1);
      float* out = curvature.row(y);
      for (int x = 0; x < length; ++x)
        out[x] = (up[x] + down[x]) + (at[x - channels] + at[x + channels]) - 4 * at[x];
      curvature.extend(y);
    });
    in_bands([&](int y) {
      const float *up = curvature.row(y - 1), *at = curvature.row(y), *down = curvature.row(y + 1);
      const float* move = steps.data() + std::size_t(y) * length;
      float *value = values + std::size_t(y) * length, *next = ahead.row(y);
      for (int x = 0; x < length; ++x) {
        const float slope = (up[x] + down[x]) + (at[x - channels] + at[x + channels]) -
                            4 * at[x] - tension * at[x];
        const float moved = next[x] - move[x] * slope;
        next[x] = moved + momentum * (moved - value[x]);
        value[x] = moved;
      }
      ahead.extend(y);
    });
  }
}

}  // namespace fieldpack::filling
