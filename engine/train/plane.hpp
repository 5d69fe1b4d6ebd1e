// A plane of floats with the margins that the kernels rely on.
#pragma once

#include <vector>

#include "aligned.hpp"
#include "kernels.hpp"

namespace fieldpack::train {

class Plane {
 public:
  Plane() = default;
  Plane(int height, int width, int margin_rows = kMarginRows);
  Plane(Plane&&) = default;
  Plane& operator=(Plane&&) = default;
  Plane copy() const;
  const PlaneView& view() const { return view_; }
  void read(const float* source, ptrdiff_t row_stride, ptrdiff_t column_stride);
  void write(float* target) const;  // contiguous
  void replicate_margins();
  void add_margins_to_edges();  // the transpose of replicate_margins
  void clear();
  void clear_margins();  // those that add_margins_to_edges reads

 private:
  PlaneView view_;
  AlignedFloats storage_;
};

// One plane for each channel of a picture [height][width][channels], and back.
std::vector<Plane> split_channels(const float* image, int height, int width, int channels);
void join_channels(const std::vector<Plane>& planes, float* image);

}  // namespace fieldpack::train
