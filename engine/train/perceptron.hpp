// Forward and backward pass of a multilayer perceptron over one strip of pixels.
#pragma once

#include "dense.hpp"
#include "model.hpp"

namespace fieldpack::train::FIELDPACK_ISA {

// Rows of one strip that share a stride, addressed through pointers as the dense kernels want them.
struct Rows {
  float* pointers[kMaxWidth] = {};

  float* place(float* memory, int count, ptrdiff_t stride) {
    for (int i = 0; i < count; ++i) pointers[i] = memory + i * stride;
    return memory + count * stride;
  }
  operator const float* const*() const { return pointers; }
  float* operator[](int i) const { return pointers[i]; }
};

class Perceptron {
 public:
  static ptrdiff_t workspace(const PerceptronShape& shape, ptrdiff_t strip) {
    ptrdiff_t rows = 0;
    for (int l = 1; l < shape.layers; ++l) rows += 2 * shape.size[l];
    return rows * strip;
  }

  // `natural` and `transposed` are this perceptron's own parameters; `strip` is the row stride.
  Perceptron(const PerceptronShape& shape, const float* natural, const float* transposed,
             float* memory, ptrdiff_t strip)
      : shape_(shape), natural_(natural), transposed_(transposed) {
    ptrdiff_t offset = 0;
    for (int l = 0; l < shape.layers; ++l) {
      offset_[l] = offset;
      offset += shape.parameters(l);
    }
    for (int l = 1; l < shape.layers; ++l) {
      memory = hidden_[l].place(memory, shape.size[l], strip);
      memory = gradient_[l].place(memory, shape.size[l], strip);
    }
  }

  FIELDPACK_INLINE void forward_hidden(const float* const* x, ptrdiff_t count) {
    for (int l = 0; l + 1 < shape_.layers; ++l) {
      const float* const* in = l == 0 ? x : hidden_[l];
      const Rows& out = hidden_[l + 1];
      if (shape_.residual(l)) {
        dense(in, shape_.size[l], shape_.size[l + 1], weights(l), biases(l), count,
              [&](int o) {
                return [to = out[o], from = in[o]](ptrdiff_t p, Floats v) {
                  store(to + p, max(v + load(from + p), Floats{}));
                };
              });
      } else {
        dense(in, shape_.size[l], shape_.size[l + 1], weights(l), biases(l), count,
              [&](int o) {
                return [to = out[o]](ptrdiff_t p, Floats v) { store(to + p, max(v, Floats{})); };
              });
      }
    }
  }

  FIELDPACK_INLINE void forward_output(const float* const* x, ptrdiff_t count, const Rows& y) {
    const int l = shape_.layers - 1;
    dense(l == 0 ? x : hidden_[l], shape_.size[l], shape_.size[l + 1], weights(l), biases(l), count,
          [&](int o) { return [to = y[o]](ptrdiff_t p, Floats v) { store(to + p, v); }; });
  }

  // From the gradient of the output (zero beyond `count`) to that of the inputs; adds weight
  // gradients to `sums` unless it is null. The hidden values of forward_hidden must still be there.
  FIELDPACK_INLINE void backward(const float* const* x, const float* const* output_gradient,
                                 ptrdiff_t count, float* sums, const Rows& input_gradient) {
    const float* const* g = output_gradient;
    for (int l = shape_.layers - 1; l >= 0; --l) {
      const int inputs = shape_.size[l], outputs = shape_.size[l + 1];
      const float* const* in = l == 0 ? x : hidden_[l];
      const float* w = natural_ + offset_[l];
      float* layer_sums = sums ? sums + offset_[l] * kLanes : nullptr;
      float* bias_sums = sums ? layer_sums + shape_.weights(l) * kLanes : nullptr;
      if (sums && l > 0 && !shape_.residual(l) && (outputs == 2 || outputs == 3)) {
        (outputs == 2 ? narrow_backward<2> : narrow_backward<3>)(
            in, inputs, g, w, count, layer_sums, bias_sums, gradient_[l].pointers);
        g = gradient_[l];
        continue;
      }
      if (sums) weight_gradient(in, inputs, g, outputs, count, layer_sums, bias_sums);
      if (l == 0) {
        dense(g, outputs, inputs, w, nullptr, count, [&](int i) {
          return [to = input_gradient[i]](ptrdiff_t p, Floats v) { store(to + p, v); };
        });
        break;
      }
      const Rows& out = gradient_[l];
      if (shape_.residual(l)) {
        dense(g, outputs, inputs, w, nullptr, count, [&](int i) {
          return [to = out[i], value = in[i], shortcut = g[i]](ptrdiff_t p, Floats v) {
            store(to + p, select(load(value + p) > 0, v + load(shortcut + p), Floats{}));
          };
        });
      } else {
        dense(g, outputs, inputs, w, nullptr, count, [&](int i) {
          return [to = out[i], value = in[i]](ptrdiff_t p, Floats v) {
            store(to + p, select(load(value + p) > 0, v, Floats{}));
          };
        });
      }
      g = out;
    }
  }

 private:
  const float* weights(int l) const { return transposed_ + offset_[l]; }
  const float* biases(int l) const { return natural_ + offset_[l] + shape_.weights(l); }

  const PerceptronShape& shape_;
  const float* natural_;
  const float* transposed_;
  ptrdiff_t offset_[kMaxLayers];
  Rows hidden_[kMaxLayers];
  Rows gradient_[kMaxLayers];
};

}  // namespace fieldpack::train::FIELDPACK_ISA
