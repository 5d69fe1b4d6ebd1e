#include "plane.hpp"

#include <algorithm>
#include <cstring>

namespace fieldpack::train {

Plane::Plane(int height, int width, int margin_rows) {
  view_.height = height;
  view_.width = width;
  view_.stride = (width + 15) / 16 * 16 + kMarginLeft + kMarginRight;
  storage_.assign(size_t(view_.stride) * (height + 2 * margin_rows), 0.0f);
  view_.data = storage_.data() + margin_rows * view_.stride + kMarginLeft;
}

Plane Plane::copy() const {
  Plane out(view_.height, view_.width);
  out.read(view_.data, view_.stride, 1);
  return out;
}

void Plane::read(const float* source, ptrdiff_t row_stride, ptrdiff_t column_stride) {
  for (int y = 0; y < view_.height; ++y)
    for (int x = 0; x < view_.width; ++x)
      view_.row(y)[x] = source[y * row_stride + x * column_stride];
}

void Plane::write(float* target) const {
  for (int y = 0; y < view_.height; ++y)
    std::memcpy(target + ptrdiff_t(y) * view_.width, view_.row(y), sizeof(float) * view_.width);
}

void Plane::replicate_margins() {
  const int h = view_.height, w = view_.width;
  for (int y = 0; y < h; ++y) {
    float* row = view_.row(y);
    for (int i = 1; i <= 2; ++i) {
      row[-i] = row[0];
      row[w - 1 + i] = row[w - 1];
    }
  }
  for (int i = 1; i <= 2; ++i) {
    std::memcpy(view_.row(-i) - 2, view_.row(0) - 2, sizeof(float) * (w + 4));
    std::memcpy(view_.row(h - 1 + i) - 2, view_.row(h - 1) - 2, sizeof(float) * (w + 4));
  }
}

void Plane::add_margins_to_edges() {
  const int h = view_.height, w = view_.width;
  for (int i = 1; i <= 2; ++i)
    for (int x = -2; x < w + 2; ++x) {
      view_.row(0)[x] += view_.row(-i)[x];
      view_.row(h - 1)[x] += view_.row(h - 1 + i)[x];
    }
  for (int y = 0; y < h; ++y) {
    float* row = view_.row(y);
    for (int i = 1; i <= 2; ++i) {
      row[0] += row[-i];
      row[w - 1] += row[w - 1 + i];
    }
  }
}

void Plane::clear_margins() {
  const int h = view_.height, w = view_.width;
  for (int i = 1; i <= 2; ++i)
    for (int y : {-i, h - 1 + i}) std::fill_n(view_.row(y) - 2, w + 4, 0.0f);
  for (int y = 0; y < h; ++y)
    for (int i = 1; i <= 2; ++i) view_.row(y)[-i] = view_.row(y)[w - 1 + i] = 0;
}

void Plane::clear() { std::fill(storage_.begin(), storage_.end(), 0.0f); }

std::vector<Plane> split_channels(const float* image, int height, int width, int channels) {
  std::vector<Plane> planes;
  for (int c = 0; c < channels; ++c) {
    planes.emplace_back(height, width);
    planes.back().read(image + c, ptrdiff_t(width) * channels, channels);
  }
  return planes;
}

void join_channels(const std::vector<Plane>& planes, float* image) {
  const size_t channels = planes.size();
  for (size_t c = 0; c < channels; ++c) {
    const PlaneView& view = planes[c].view();
    for (int y = 0; y < view.height; ++y)
      for (int x = 0; x < view.width; ++x)
        image[(size_t(y) * view.width + x) * channels + c] = view.row(y)[x];
  }
}

}  // namespace fieldpack::train
