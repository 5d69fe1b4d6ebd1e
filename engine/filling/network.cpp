#include "filling/network.hpp"

#include <vector>

#include "filling/kernels.hpp"
#include "parallel/threads.hpp"

namespace fieldpack::filling {

namespace {

constexpr int kPixels = 4;  // of a position at half resolution

struct Form {
  int inputs, outputs, kernel;
  bool transposed;
};

// All layers in order. A block is two layers.
std::vector<Form> forms(const Widths& widths) {
  std::vector<Form> all{{2 * kPixels, widths[0], 3, false}};
  const auto block = [&](int width) { all.insert(all.end(), 2, {width, width, 3, false}); };
  for (int level = 0; level < kLevels; ++level) {
    if (level) all.push_back({widths[level - 1], widths[level], 2, false});
    block(widths[level]);
  }
  for (int level = kLevels - 2; level >= 0; --level) {
    all.push_back({widths[level + 1], widths[level], 2, true});
    block(widths[level]);
  }
  all.push_back({widths[0], kPixels, 3, false});
  return all;
}

int padded(int channels) { return (channels + kLanes - 1) / kLanes * kLanes; }

// Values [height][width][channels] with a margin of one position of zeros on each side.
struct Plane {
  int height, width, channels;
  std::vector<float> values;

  Plane(int h, int w, int c)
      : height(h), width(w), channels(c), values(std::size_t(h + 2) * (w + 2) * c) {}
  ptrdiff_t stride() const { return ptrdiff_t(width + 2) * channels; }
  float* at(int y, int x) { return values.data() + (y + 1) * stride() + ptrdiff_t(x + 1) * channels; }
  const float* at(int y, int x) const { return const_cast<Plane*>(this)->at(y, x); }
};

}  // namespace

std::size_t Network::parameters(const Widths& widths) {
  std::size_t count = 0;
  for (const Form& form : forms(widths))
    count += std::size_t(form.outputs) * (form.inputs * form.kernel * form.kernel + 1);
  return count;
}

Network::Network(const Widths& widths, const float* parameters) : widths_(widths) {
  for (const Form& form : forms(widths)) {
    const int taps = form.kernel * form.kernel;
    Layer layer{form.inputs, form.outputs, padded(form.outputs), form.kernel, form.transposed, {}, {}};
    layer.weights.assign(std::size_t(taps) * form.inputs * layer.padded_outputs, 0.0f);
    layer.bias.assign(layer.padded_outputs, 0.0f);
    for (int o = 0; o < form.outputs; ++o)
      for (int i = 0; i < form.inputs; ++i)
        for (int t = 0; t < taps; ++t) {
          const std::size_t pair = form.transposed ? std::size_t(i) * form.outputs + o
                                                   : std::size_t(o) * form.inputs + i;
          layer.weights[(std::size_t(t) * form.inputs + i) * layer.padded_outputs + o] =
              parameters[pair * taps + t];
        }
    parameters += std::size_t(form.outputs) * form.inputs * taps;
    for (int o = 0; o < form.outputs; ++o) layer.bias[o] = parameters[o];
    parameters += form.outputs;
    layers_.push_back(std::move(layer));
  }
}

void Network::run(const float* guess, const float* mask, int height, int width, int threads,
                  float* out) const {
  const Kernels& table = kernels();
  std::size_t next = 0;

  const auto apply = [&](const Plane& in, Plane& result, const Plane* add = nullptr) {
    const Layer& layer = layers_[next++];
    const bool rectify = next < layers_.size();
    const int taps = layer.kernel * layer.kernel;
    run_parallel(threads, std::size_t(result.height), [&](int, std::size_t row) {
      const int y = int(row);
      RowArgs args{};
      args.inputs = layer.inputs;
      args.outputs = layer.padded_outputs;
      args.bias = layer.bias.data();
      args.rectify = rectify;
      args.weights = layer.weights.data();
      if (layer.transposed) {
        // Each of the two columns of a row is a convolution of one tap.
        args.taps = 1;
        args.in = in.at(y / 2, 0);
        args.in_step = in.channels;
        args.out_step = 2 * result.channels;
        for (int x = 0; x < 2; ++x) {
          args.weights = layer.weights.data() +
                         std::size_t(y % 2 * 2 + x) * layer.inputs * layer.padded_outputs;
          args.out = result.at(y, x);
          args.add = add ? add->at(y, x) : nullptr;
          args.count = result.width / 2;
          table.row(args);
        }
        return;
      }
      const int step = layer.kernel == 2 ? 2 : 1, reach = layer.kernel == 3 ? 1 : 0;
      args.taps = taps;
      for (int t = 0; t < taps; ++t)
        args.offsets[t] = t / layer.kernel * in.stride() + ptrdiff_t(t % layer.kernel) * in.channels;
      args.in = in.at(y * step - reach, -reach);
      args.in_step = ptrdiff_t(step) * in.channels;
      args.out_step = result.channels;
      args.out = result.at(y, 0);
      args.add = add ? add->at(y, 0) : nullptr;
      args.count = result.width;
      table.row(args);
    });
  };

  const int h = height / 2, w = width / 2;
  std::vector<Plane> values, between;
  for (int level = 0; level < kLevels; ++level) {
    values.emplace_back(h >> level, w >> level, widths_[level]);
    between.emplace_back(h >> level, w >> level, widths_[level]);
  }
  const auto block = [&](int level) {
    apply(values[level], between[level]);
    apply(between[level], values[level], &values[level]);
  };
  {
    // The four pixels of each position, then whether they are known.
    Plane input(h, w, 2 * kPixels);
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) {
        float* target = input.at(y / 2, x / 2) + y % 2 * 2 + x % 2;
        const ptrdiff_t pixel = ptrdiff_t(y) * width + x;
        target[0] = guess[pixel] - 0.5f;
        target[kPixels] = mask[pixel] - 0.5f;
      }
    apply(input, values[0]);
  }
  for (int level = 0; level < kLevels; ++level) {
    if (level) apply(values[level - 1], values[level]);
    block(level);
  }
  for (int level = kLevels - 2; level >= 0; --level) {
    apply(values[level + 1], values[level], &values[level]);
    block(level);
  }
  Plane change(h, w, padded(kPixels));
  apply(values[0], change);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const ptrdiff_t pixel = ptrdiff_t(y) * width + x;
      out[pixel] = guess[pixel] + change.at(y / 2, x / 2)[y % 2 * 2 + x % 2];
    }
}

}  // namespace fieldpack::filling
