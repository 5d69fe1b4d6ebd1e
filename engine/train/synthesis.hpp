// Synthesis of one tile: upsampled latents -> perceptron -> 3x3 layers -> error, and all gradients.
//
// A tile recomputes the halo that its 3x3 layers need, so tiles are independent and their results do
// not depend on who computes them when. The image is extended by its edge pixels for every 3x3 layer.
#pragma once

#include "perceptron.hpp"
#include "upsampling.hpp"

namespace fieldpack::train::FIELDPACK_ISA {

struct Region {
  int top, bottom, left, right;
};

// Columns on either side of a tile: room for the halo and for whole vectors, and whole cache lines, so
// that the tile's own first column, where most of the work begins, is at the begin of one.
constexpr int kTileMargin = 32;
static_assert(kTileMargin >= 2 * kMaxConvolutions + 16 && kTileMargin % 16 == 0);

// The tile's working planes: one stride, addressed with the image's own coordinates.
struct TileGeometry {
  ptrdiff_t stride, plane;
  int rows, columns, halo;

  TileGeometry(int tile_rows, int tile_columns, int convolutions)
      : rows(tile_rows), columns(tile_columns), halo(2 * convolutions) {
    stride = (columns + 15) / 16 * 16 + 2 * kTileMargin + 32;
    plane = stride * (rows + 2 * halo + 2);
  }
};

inline ptrdiff_t synthesis_workspace(const ModelShape& model, int tile_rows, int tile_columns) {
  const TileGeometry tile(tile_rows, tile_columns, model.convolutions);
  const ptrdiff_t planes =
      (model.grids - 1) + ptrdiff_t(model.channels) * (model.convolutions + 1 + 2);
  const ptrdiff_t strips = Perceptron::workspace(model.synthesis, tile.stride) +
                           (kMaxChannels + 1) * tile.stride;
  return planes * tile.plane + strips + 4 * tile.stride + 1024;
}

class TileSynthesis {
 public:
  explicit TileSynthesis(SynthesisArgs& args)
      : a_(args),
        model_(*args.model),
        channels_(args.model->channels),
        layers_(args.model->convolutions),
        geometry_(args.row_end - args.row_begin, args.column_end - args.column_begin,
                  args.model->convolutions),
        tile_{args.row_begin, args.row_end, args.column_begin, args.column_end} {
    memory_ = a_.workspace;
    for (int p = 0; p + 1 < model_.grids; ++p) inputs_[p] = take_plane();
    for (int l = 0; l <= layers_; ++l)
      for (int c = 0; c < channels(); ++c) activation_[l][c] = take_plane();
    for (int b = 0; b < 2; ++b)
      for (int c = 0; c < channels(); ++c) gradient_[b][c] = take_plane();
    memory_ = scratch_.place(memory_, kMaxChannels + 1, geometry_.stride);
    upsample_memory_ = memory_;
    memory_ += 4 * geometry_.stride + 512;
  }

  void run() {
    const ptrdiff_t offset = model_.synthesis_offset();
    Perceptron perceptron(model_.synthesis, a_.parameters.natural + offset,
                          a_.parameters.transposed + offset, memory_, geometry_.stride);
    upsample_inputs();
    forward_perceptron(perceptron);
    for (int l = 0; l < layers_; ++l) forward_convolution(l);
    measure();
    if (!a_.gradients) return;
    for (int l = layers_ - 1; l >= 0; --l) backward_convolution(l);
    backward_perceptron(perceptron);
    upsample_gradients();
  }

 private:
  PlaneView take_plane() {
    PlaneView view;
    view.stride = geometry_.stride;
    view.height = a_.height;
    view.width = a_.width;
    view.data = memory_ + kTileMargin - tile_.left -
                (tile_.top - geometry_.halo - 1) * geometry_.stride;
    memory_ += geometry_.plane;
    return view;
  }

  Region grown(int by) const {
    Region r{tile_.top - by, tile_.bottom + by, tile_.left - by, tile_.right + by};
    if (r.top < 0) r.top = 0;
    if (r.left < 0) r.left = 0;
    if (r.bottom > a_.height) r.bottom = a_.height;
    if (r.right > a_.width) r.right = a_.width;
    return r;
  }

  void upsample_inputs() {
    const Region r = grown(2 * layers_);
    for (int p = 0; p + 1 < model_.grids; ++p)
      upsample({a_.coarse[p], inputs_[p], a_.parameters.natural + model_.taps_offset(0), r.top,
                r.bottom, r.left, r.right, upsample_memory_});
  }

  void input_rows(int y, int x, const float** rows) const {
    rows[0] = a_.finest.row(y) + x;
    for (int p = 0; p + 1 < model_.grids; ++p) rows[p + 1] = inputs_[p].row(y) + x;
  }

  void forward_perceptron(Perceptron& perceptron) {
    const Region r = grown(2 * layers_);
    const float* x[kMaxWidth];
    Rows out;
    for (int y = r.top; y < r.bottom; ++y) {
      input_rows(y, r.left, x);
      place(out, activation_[0], y, r.left);
      perceptron.forward_hidden(x, r.right - r.left);
      perceptron.forward_output(x, r.right - r.left, out);
    }
    if (layers_ > 0) replicate(activation_[0], r);
  }

  // Extends planes by one pixel beyond the image where the region touches its edge.
  void replicate(const PlaneView* planes, const Region& r) const {
    for (int c = 0; c < channels(); ++c) {
      const PlaneView& v = planes[c];
      for (int y = r.top; y < r.bottom; ++y) {
        if (r.left == 0) v.row(y)[-1] = v.row(y)[0];
        if (r.right == a_.width) v.row(y)[a_.width] = v.row(y)[a_.width - 1];
      }
      for (int x = r.left - 1; x < r.right + 1; ++x) {
        if (r.top == 0) v.row(-1)[x] = v.row(0)[x];
        if (r.bottom == a_.height) v.row(a_.height)[x] = v.row(a_.height - 1)[x];
      }
    }
  }

  // The transpose of `replicate`: gradients beyond the image move to the edge pixel and become zero.
  void fold(const PlaneView* planes, const Region& r) const {
    for (int c = 0; c < channels(); ++c) {
      const PlaneView& v = planes[c];
      const int h = a_.height, w = a_.width;
      for (int x = r.left - 1; x < r.right + 1; ++x) {
        if (r.top == 0) v.row(0)[x] += v.row(-1)[x];
        if (r.bottom == h) v.row(h - 1)[x] += v.row(h)[x];
      }
      for (int y = r.top; y < r.bottom; ++y) {
        if (r.left == 0) v.row(y)[0] += v.row(y)[-1];
        if (r.right == w) v.row(y)[w - 1] += v.row(y)[w];
      }
    }
    clear_outside(planes, r);
  }

  void clear_outside(const PlaneView* planes, const Region& r) const {
    for (int c = 0; c < channels(); ++c) {
      const PlaneView& v = planes[c];
      for (int y = r.top - 1; y < r.bottom + 1; ++y) {
        if (r.left == 0) v.row(y)[-1] = 0;
        if (r.right == a_.width)
          for (int i = 0; i < kLanes; ++i) v.row(y)[a_.width + i] = 0;
      }
      for (int x = r.left - 1; x < r.right + kLanes; ++x) {
        if (r.top == 0) v.row(-1)[x] = 0;
        if (r.bottom == a_.height) v.row(a_.height)[x] = 0;
      }
    }
  }

  void place(Rows& rows, const PlaneView* planes, int y, int x) const {
    for (int c = 0; c < channels(); ++c) rows.pointers[c] = planes[c].row(y) + x;
  }

  // The rows that a 3x3 layer reads around (y, x); `sign` -1 turns it into its transpose.
  void window(const PlaneView* planes, int y, int x, int sign, const float** rows) const {
    for (int c = 0; c < channels(); ++c)
      for (int t = 0; t < 9; ++t)
        rows[c * 9 + t] = planes[c].row(y + sign * (t / 3 - 1)) + x + sign * (t % 3 - 1);
  }

  void forward_convolution(int l) {
    const Region r = grown(2 * layers_ - l - 1);
    const float* weights = a_.parameters.transposed + model_.convolution_offset(l);
    const float* biases =
        a_.parameters.natural + model_.convolution_offset(l) + model_.convolution_weights();
    const float leak = l + 1 < layers_ ? kLeak : 1.0f;
    const float* x[kMaxWidth];
    Rows in, out;
    for (int y = r.top; y < r.bottom; ++y) {
      window(activation_[l], y, r.left, 1, x);
      place(in, activation_[l], y, r.left);
      place(out, activation_[l + 1], y, r.left);
      dense(x, 9 * channels_, channels_, weights, biases, r.right - r.left,
            [&](int o) {
              return [to = out[o], from = in[o], leak](ptrdiff_t p, Floats v) {
                v += load(from + p);
                store(to + p, max(v, v * leak));
              };
            });
    }
    if (l + 1 < layers_) replicate(activation_[l + 1], r);
  }

  // Distortion over the tile, its gradient on the tile and the halo of the layers behind.
  void measure() {
    const Region r = grown(layers_);
    const Ints lanes = lane_indices();
    double total = 0;
    for (int c = 0; c < channels(); ++c) {
      for (int y = r.top; y < r.bottom; ++y) {
        const bool inside_rows = y >= tile_.top && y < tile_.bottom;
        const float* value = activation_[layers_][c].row(y);
        const float* target = a_.image[c].row(y);
        const float* weight = a_.weights ? a_.weights[c].row(y) : nullptr;
        float* gradient = gradient_[layers_ % 2][c].row(y);
        Floats squares{};
        for (int x = r.left; x < r.right; x += kLanes) {
          const Ints column = lanes + x;
          Floats error = load(value + x) - load(target + x);
          error = select(column < r.right, error, Floats{});
          const Floats weighted = (weight ? load(weight + x) * error : error) * a_.scale;
          store(gradient + x, a_.losses ? weighted * error : 2.0f * weighted);
          if (inside_rows)
            squares += select((column >= tile_.left) & (column < tile_.right), weighted * error,
                              Floats{});
        }
        total += double(sum(squares));
        if (a_.losses && inside_rows) {
          double* losses = a_.losses + y / kLossBlock * a_.losses_stride;
          for (int x = tile_.left; x < tile_.right; ++x) losses[x / kLossBlock] += gradient[x];
        }
        if (a_.reconstruction && inside_rows) {
          float* out = a_.reconstruction[c].row(y);
          for (int x = tile_.left; x < tile_.right; ++x) out[x] = value[x];
        }
      }
    }
    a_.distortion = total;
    if (!a_.gradients) return;
    clear_outside(gradient_[layers_ % 2], r);
  }

  void backward_convolution(int l) {
    const PlaneView* g = gradient_[(l + 1) % 2];
    const PlaneView* out = gradient_[l % 2];
    const ptrdiff_t offset = model_.convolution_offset(l);
    const float* x[kMaxWidth];
    Rows from, to;
    for (int y = tile_.top; a_.sums && y < tile_.bottom; ++y) {
      float* sums = a_.sums + offset * kLanes;
      window(activation_[l], y, tile_.left, 1, x);
      place(from, g, y, tile_.left);
      weight_gradient(x, 9 * channels_, from, channels_, tile_.right - tile_.left, sums,
                      sums + model_.convolution_weights() * kLanes);
    }
    // One pixel beyond the image too: what the replicated edge received.
    const Region r = grown(l);
    const int top = r.top == 0 ? -1 : r.top, bottom = r.bottom == a_.height ? r.bottom + 1 : r.bottom;
    const int left = r.left == 0 ? -1 : r.left, right = r.right == a_.width ? r.right + 1 : r.right;
    zero_frame(g, r);
    for (int y = top; y < bottom; ++y) {
      window(g, y, left, -1, x);
      place(from, g, y, left);
      place(to, out, y, left);
      dense(x, 9 * channels_, channels_, a_.parameters.flipped + offset, nullptr, right - left,
            [&](int o) {
              return [target = to[o], source = from[o]](ptrdiff_t p, Floats v) {
                store(target + p, v + load(source + p));
              };
            });
    }
    fold(out, r);
    if (l == 0) return;
    for (int c = 0; c < channels(); ++c)
      for (int y = r.top; y < r.bottom; ++y) {
        float* v = out[c].row(y);
        const float* activation = activation_[l][c].row(y);
        for (int i = r.left; i < r.right; i += kLanes)
          store(v + i, select(load(activation + i) > 0, load(v + i), load(v + i) * kLeak));
      }
    clear_outside(out, r);
  }

  // The transposed layer evaluated one pixel beyond the image reads two pixels beyond it.
  void zero_frame(const PlaneView* planes, const Region& r) const {
    for (int c = 0; c < channels(); ++c) {
      const PlaneView& v = planes[c];
      for (int y = r.top - 2; y < r.bottom + 2; ++y) {
        if (r.left == 0) v.row(y)[-2] = v.row(y)[-1] = 0;
        if (r.right == a_.width) v.row(y)[a_.width] = v.row(y)[a_.width + 1] = 0;
      }
      for (int x = r.left - 2; x < r.right + 2; ++x) {
        if (r.top == 0) v.row(-2)[x] = v.row(-1)[x] = 0;
        if (r.bottom == a_.height) v.row(a_.height)[x] = v.row(a_.height + 1)[x] = 0;
      }
    }
  }

  void backward_perceptron(Perceptron& perceptron) {
    const int count = tile_.right - tile_.left;
    const float* x[kMaxWidth];
    Rows g, out;
    for (int y = tile_.top; y < tile_.bottom; ++y) {
      input_rows(y, tile_.left, x);
      place(g, gradient_[0], y, tile_.left);
      // The hidden values are computed again: cheaper than keeping them for the whole tile.
      perceptron.forward_hidden(x, count);
      out.pointers[0] = scratch_[0];
      for (int p = 0; p + 1 < model_.grids; ++p)
        out.pointers[p + 1] = inputs_[p].row(y) + tile_.left;
      perceptron.backward(
          x, g, count, a_.sums ? a_.sums + model_.synthesis_offset() * kLanes : nullptr, out);
      if (!a_.finest_gradient.data) continue;
      float* finest = a_.finest_gradient.row(y) + tile_.left;
      for (int i = 0; i < count; i += kLanes)
        store(finest + i, load(finest + i) + load(scratch_[0] + i));
    }
  }

  void upsample_gradients() {
    for (int p = 0; p + 1 < model_.grids; ++p)
      upsample_gradient({a_.coarse[p], inputs_[p], a_.coarse_gradient[p],
                         a_.parameters.natural + model_.taps_offset(0), tile_.top, tile_.bottom,
                         tile_.left, tile_.right,
                         a_.sums ? a_.sums + model_.taps_offset(0) * kLanes : nullptr,
                         upsample_memory_});
  }

  // The compiler cannot know the limit that the bindings enforce.
  int channels() const { return channels_ < kMaxChannels ? channels_ : kMaxChannels; }

  SynthesisArgs& a_;
  const ModelShape& model_;
  int channels_, layers_;
  TileGeometry geometry_;
  Region tile_;
  float* memory_;
  float* upsample_memory_;
  PlaneView inputs_[kMaxGrids];
  PlaneView activation_[kMaxConvolutions + 1][kMaxChannels];
  PlaneView gradient_[2][kMaxChannels];
  Rows scratch_;
};

inline void synthesis(SynthesisArgs& a) { TileSynthesis(a).run(); }

}  // namespace fieldpack::train::FIELDPACK_ISA
