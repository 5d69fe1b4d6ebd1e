// The context model: rate of one grid's rows and its gradients.
#pragma once

#include "kernels.hpp"
#include "laplace.hpp"
#include "perceptron.hpp"

namespace fieldpack::train::FIELDPACK_ISA {

// In wide vectors a strip of 128 pixels would be eight: too few for what each strip begins and ends with.
constexpr int kContextStrip = kLanes == 16 ? 256 : 128;
constexpr ptrdiff_t kContextStride = kContextStrip + 16;

inline ptrdiff_t context_workspace(const ModelShape& model) {
  return Perceptron::workspace(model.context, kContextStride) +
         (model.context.size[0] + model.ancestor_count + 4) * kContextStride;
}

// target[p] = source[p >> level] for whole vectors covering [0, count).
inline void spread(const float* source, int level, int count, float* target) {
  const int end = (count + kLanes - 1) / kLanes * kLanes;
  if (level == 1) {
    for (int q = 0; q < end / 2; ++q) target[2 * q] = target[2 * q + 1] = source[q];
    return;
  }
  const int side = 1 << level;
  for (int p = 0; p < end; p += side) {
    const float value = source[p >> level];
    for (int i = p; i < p + side && i < end; ++i) target[i] = value;
  }
}

// target[p >> level] += source[p] for p in [0, count): the transpose of `spread`.
inline void gather(const float* source, int level, int count, float* target) {
  if (level == 1) {
    for (int q = 0; q < count / 2; ++q) target[q] += source[2 * q] + source[2 * q + 1];
    if (count % 2) target[count / 2] += source[count - 1];
    return;
  }
  const int side = 1 << level;
  for (int p = 0; p < count; p += side) {
    const int end = p + side < count ? p + side : count;
    float total = 0;
    for (int i = p; i < end; ++i) total += source[i];
    target[p >> level] += total;
  }
}

inline void context(ContextArgs& a) {
  const ModelShape& model = *a.model;
  const PerceptronShape& shape = model.context;
  const int neighbours = model.neighbour_count, ancestors = model.ancestor_count;
  const ptrdiff_t offset = model.context_offset(a.set);
  Rows input_gradient, spread_rows, output, output_gradient;
  float* memory = a.workspace;
  memory = input_gradient.place(memory, neighbours + ancestors, kContextStride);
  memory = spread_rows.place(memory, ancestors, kContextStride);
  memory = output.place(memory, 2, kContextStride);
  memory = output_gradient.place(memory, 2, kContextStride);
  Perceptron perceptron(shape, a.parameters.natural + offset, a.parameters.transposed + offset,
                        memory, kContextStride);
  const Ints lanes = lane_indices();
  const int width = a.quantised.width;
  double nats = 0;

  for (int y = a.row_begin; a.gradients && y < a.row_end; ++y)
    for (ptrdiff_t x = -kMarginLeft; x < width + kMarginRight - kLanes; x += kLanes)
      store(a.gradient.row(y) + x, Floats{});

  for (int y = a.row_begin; y < a.row_end; ++y) {
    for (int x = 0; x < width; x += kContextStrip) {
      const int count = width - x < kContextStrip ? width - x : kContextStrip;
      const float* inputs[kMaxWidth];
      for (int n = 0; n < neighbours; ++n)
        inputs[n] = a.quantised.row(y + model.neighbours[n].dy) + x + model.neighbours[n].dx;
      for (int n = 0; n < ancestors; ++n) {
        const auto [level, dy, dx] = model.ancestors[n];
        inputs[neighbours + n] = spread_rows[n];
        if (a.coarser[level].data)
          spread(a.coarser[level].row((y >> level) + dy) + (x >> level) + dx, level, count,
                 spread_rows[n]);
        else
          for (int p = 0; p < count; p += kLanes) store(spread_rows[n] + p, Floats{});
      }
      perceptron.forward_hidden(inputs, count);
      perceptron.forward_output(inputs, count, output);

      const float* value = a.quantised.row(y) + x;
      float* gradient = a.gradient.row(y) + x;
      Floats strip_nats{};
      for (int p = 0; p < count; p += kLanes) {
        const Ints valid = lanes + p < count;
        const LaplaceRate r =
            laplace_rate(load(value + p), load(output[0] + p), load(output[1] + p));
        const Floats nats_here = select(valid, r.nats, Floats{});
        strip_nats += nats_here;
        if (a.nats.data) store(a.nats.row(y) + x + p, nats_here);
        if (!a.gradients) continue;
        store(output_gradient[0] + p, select(valid, r.d_mean * a.weight, Floats{}));
        store(output_gradient[1] + p, select(valid, r.d_log_scale * a.weight, Floats{}));
        store(gradient + p, load(gradient + p) + select(valid, r.d_value * a.weight, Floats{}));
      }
      nats += double(sum(strip_nats));
      if (!a.gradients) continue;

      perceptron.backward(inputs, output_gradient, count, a.sums, input_gradient);
      for (int n = 0; n < neighbours; ++n) {
        const int row = y + model.neighbours[n].dy;
        float* target = (row >= a.row_begin ? a.gradient.row(row) : a.spill.row(row - a.row_begin)) +
                        x + model.neighbours[n].dx;
        for (int p = 0; p < count; p += kLanes)
          store(target + p, load(target + p) + load(input_gradient[n] + p));
      }
      for (int n = 0; n < ancestors; ++n) {
        const auto [level, dy, dx] = model.ancestors[n];
        if (a.coarser[level].data)
          gather(input_gradient[neighbours + n], level, count,
                 a.coarser_gradient[level].row((y >> level) + dy) + (x >> level) + dx);
      }
    }
  }
  a.bits = nats * 1.4426950408889634;
}

}  // namespace fieldpack::train::FIELDPACK_ISA
