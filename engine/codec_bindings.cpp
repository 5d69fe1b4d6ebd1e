// Python's view of the codec's training engine: arrays in, arrays out.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "codec/decoder.hpp"
#include "parallel/threads.hpp"
#include "train/soap.hpp"
#include "train/trainer.hpp"

namespace nb = nanobind;
using namespace fieldpack::train;

namespace {

using ImageArray = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Vector = nb::ndarray<float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using GridArray = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <class T>
using OutArrayOf = nb::ndarray<nb::numpy, T>;
using OutArray = OutArrayOf<float>;

constexpr int kMaxBlock = 1024;  // rows or columns

void require(bool condition, const char* message) {
  if (!condition) throw std::invalid_argument(message);
}

template <class T = float>
OutArrayOf<T> new_array(std::initializer_list<size_t> shape) {
  size_t count = 1;
  for (size_t n : shape) count *= n;
  auto* data = new T[count]();
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return OutArrayOf<T>(data, shape, owner);
}

PerceptronShape perceptron(const std::vector<int>& sizes, const char* message) {
  require(sizes.size() >= 2 && sizes.size() <= kMaxLayers + 1, message);
  PerceptronShape shape;
  shape.layers = int(sizes.size()) - 1;
  for (size_t i = 0; i < sizes.size(); ++i) {
    require(sizes[i] >= 1 && sizes[i] <= kMaxWidth, message);
    shape.size[i] = sizes[i];
  }
  return shape;
}

ModelShape make_shape(int channels, int grids, bool is_filtered, const std::vector<int>& synthesis, int convolutions,
                      const std::vector<std::pair<int, int>>& neighbours,
                      const std::vector<std::array<int, 3>>& ancestors,
                      const std::vector<int>& context, const std::vector<int>& context_set_of) {
  require(channels >= 1 && channels <= kMaxChannels, "channels must be 1 to 4");
  require(grids >= 1 && grids <= kMaxGrids, "grids must be 1 to 12");
  require(convolutions >= 0 && convolutions <= kMaxConvolutions, "convolutions must be 0 to 4");
  require(context_set_of.size() == size_t(grids), "context_set_of needs one entry a grid");
  ModelShape model;
  model.channels = channels;
  model.grids = grids;
  model.convolutions = convolutions;
  model.filters = is_filtered ? grids - 1 : 0;
  model.synthesis = perceptron(synthesis, "synthesis needs 2 to 5 sizes of 1 to 64");
  model.context = perceptron(context, "context needs 2 to 5 sizes of 1 to 64");
  require(synthesis.front() == grids && synthesis.back() == channels,
          "synthesis must lead from grids to channels");
  require(size_t(context.front()) == neighbours.size() + ancestors.size() && context.back() == 2,
          "context must lead from neighbours and ancestors to mean and log scale");
  model.neighbour_count = int(neighbours.size());
  model.ancestor_count = int(ancestors.size());
  for (size_t n = 0; n < neighbours.size(); ++n) {
    const auto [dy, dx] = neighbours[n];
    require(dy >= -kMarginRows && dx >= -kMarginLeft && dx <= kMarginLeft &&
                (dy < 0 || (dy == 0 && dx < 0)),
            "neighbours must be causal, at most 4 rows and 16 columns away");
    model.neighbours[n] = {dy, dx};
  }
  for (size_t n = 0; n < ancestors.size(); ++n) {
    const auto [level, dy, dx] = ancestors[n];
    require(level >= 1 && level < kMaxGrids && std::abs(dy) <= kAncestorReach &&
                std::abs(dx) <= kAncestorReach,
            "ancestors must be of coarser grids, at most one row and column away");
    model.ancestors[n] = {level, dy, dx};
  }
  for (int k = 0; k < grids; ++k) {
    require(context_set_of[k] >= 0 && context_set_of[k] < kMaxGrids, "context_set_of is out of range");
    model.context_set_of[k] = context_set_of[k];
    model.context_sets = std::max(model.context_sets, context_set_of[k] + 1);
  }
  return model;
}

StepOptions make_options(bool hard, float temperature, float noise, float lambda, uint32_t seed,
                         uint32_t step) {
  require(temperature > 0 && lambda >= 0, "temperature must be positive, lambda not negative");
  StepOptions options;
  options.quantiser = hard ? Quantiser::kHard : Quantiser::kSoft;
  options.temperature = temperature;
  options.noise = noise;
  options.lambda = lambda;
  options.seed = seed;
  options.step = step;
  return options;
}

nb::dict report(const Trainer& trainer, const StepResult& result) {
  nb::list bits;
  for (int k = 0; k < trainer.model().grids; ++k) bits.append(result.bits[k]);
  nb::dict seconds;
  for (size_t i = 0; i < kPartNames.size(); ++i) seconds[kPartNames[i]] = result.seconds[i];
  nb::dict out;
  out["distortion"] = result.distortion;
  out["bits"] = bits;
  out["seconds"] = seconds;
  return out;
}

void require_grid(const Trainer& trainer, int grid) {
  if (grid < 0 || grid >= trainer.model().grids) throw nb::index_error("no such grid");
}

OutArray copy_out(const Plane& plane) {
  const PlaneView& view = plane.view();
  OutArray out = new_array({size_t(view.height), size_t(view.width)});
  plane.write(out.data());
  return out;
}

using IntGrid = nb::ndarray<const std::int32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using ConstVector = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void require_sizes(const ModelShape& model, const ConstVector& parameters, int height, int width) {
  require(parameters.shape(0) == size_t(model.parameters()),
          "parameters must have as many entries as the model");
  require(height >= 1 && width >= 1, "the image is empty");
}

fieldpack::codec::Latents read_latents(const ModelShape& model, const std::vector<IntGrid>& grids,
                                       int height, int width) {
  const auto sizes = fieldpack::codec::grid_sizes(model, height, width);
  require(grids.size() == sizes.size(), "latents need one array a grid");
  fieldpack::codec::Latents latents;
  for (size_t k = 0; k < grids.size(); ++k) {
    require(int(grids[k].shape(0)) == sizes[k].height && int(grids[k].shape(1)) == sizes[k].width,
            "latents must have the grids' shapes");
    latents.emplace_back(grids[k].data(), grids[k].data() + grids[k].size());
    for (std::int32_t value : latents.back())
      require(value >= -(1 << 20) && value <= 1 << 20, "latents must not exceed 2^20");
  }
  return latents;
}

void bind_decoder(nb::module_& module) {
  nb::class_<ModelShape>(module, "CodecModel")
      .def(
          "__init__",
          [](ModelShape* self, int channels, int grids, bool is_filtered,
             const std::vector<int>& synthesis,
             int convolutions, const std::vector<std::pair<int, int>>& neighbours,
             const std::vector<std::array<int, 3>>& ancestors, const std::vector<int>& context,
             const std::vector<int>& context_set_of) {
            new (self) ModelShape(make_shape(channels, grids, is_filtered, synthesis, convolutions, neighbours,
                                             ancestors, context, context_set_of));
          },
          nb::kw_only(), nb::arg("channels"), nb::arg("grids"), nb::arg("is_filtered"),
          nb::arg("synthesis"),
          nb::arg("convolutions"), nb::arg("neighbours"), nb::arg("ancestors"), nb::arg("context"),
          nb::arg("context_set_of"))
      .def_prop_ro("parameters", [](const ModelShape& m) { return m.parameters(); });
  module.def(
      "encode_latents",
      [](const ModelShape& model, ConstVector parameters, int height, int width,
         const std::vector<IntGrid>& latents, const std::vector<bool>& empty) {
        require_sizes(model, parameters, height, width);
        require(empty.size() == size_t(model.grids), "empty needs one entry a grid");
        auto grids = read_latents(model, latents, height, width);
        fieldpack::codec::CodedLatents coded;
        {
          nb::gil_scoped_release release;
          coded = fieldpack::codec::encode_latents(model, parameters.data(), height, width,
                                                   std::move(grids), empty);
        }
        return std::make_pair(
            nb::bytes(reinterpret_cast<const char*>(coded.bytes.data()), coded.bytes.size()),
            coded.bits);
      },
      nb::arg("model"), nb::arg("parameters"), nb::arg("height"), nb::arg("width"),
      nb::arg("latents"), nb::arg("empty"));
  module.def(
      "decode_latents",
      [](const ModelShape& model, ConstVector parameters, int height, int width, nb::bytes stream,
         const std::vector<bool>& empty) {
        require_sizes(model, parameters, height, width);
        require(empty.size() == size_t(model.grids), "empty needs one entry a grid");
        fieldpack::codec::Latents latents;
        {
          const auto* bytes = reinterpret_cast<const std::uint8_t*>(stream.c_str());
          const size_t size = stream.size();
          nb::gil_scoped_release release;
          latents = fieldpack::codec::decode_latents(model, parameters.data(), height, width, bytes,
                                                     size, empty);
        }
        const auto sizes = fieldpack::codec::grid_sizes(model, height, width);
        nb::list out;
        for (size_t k = 0; k < latents.size(); ++k) {
          const size_t shape[] = {size_t(sizes[k].height), size_t(sizes[k].width)};
          auto* data = new std::int32_t[latents[k].size()];
          std::copy(latents[k].begin(), latents[k].end(), data);
          nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<std::int32_t*>(p); });
          out.append(nb::ndarray<nb::numpy, std::int32_t>(data, 2, shape, owner));
        }
        return out;
      },
      nb::arg("model"), nb::arg("parameters"), nb::arg("height"), nb::arg("width"),
      nb::arg("stream"), nb::arg("empty"));
  module.def(
      "synthesise",
      [](const ModelShape& model, ConstVector parameters, int height, int width,
         const std::vector<IntGrid>& latents, std::tuple<int, int, int, int> region, int threads) {
        require_sizes(model, parameters, height, width);
        const auto grids = read_latents(model, latents, height, width);
        const auto [top, bottom, left, right] = region;
        require(0 <= top && top < bottom && bottom <= height && 0 <= left && left < right &&
                    right <= width,
                "the region is not inside the picture");
        OutArray image =
            new_array({size_t(bottom - top), size_t(right - left), size_t(model.channels)});
        {
          nb::gil_scoped_release release;
          fieldpack::codec::synthesise(model, parameters.data(), height, width, grids,
                                       {top, bottom, left, right},
                                       fieldpack::usable_threads(threads), image.data());
        }
        return image;
      },
      nb::arg("model"), nb::arg("parameters"), nb::arg("height"), nb::arg("width"),
      nb::arg("latents"), nb::arg("region"), nb::arg("threads") = 0);
}

void bind_soap(nb::module_& module) {
  nb::class_<Soap>(module, "Soap")
      .def(
          "__init__",
          [](Soap* self, const std::vector<std::tuple<ptrdiff_t, int, int, ptrdiff_t>>& blocks,
             double beta1, double beta2) {
            std::vector<Soap::Block> own;
            for (const auto& [weights, outputs, inputs, biases] : blocks) {
              require(weights >= 0 && outputs >= 1 && inputs >= 1 && outputs <= kMaxBlock &&
                          inputs <= kMaxBlock && biases >= -1,
                      "a block must have 1 to 1024 outputs and inputs, and begin inside the vector");
              own.push_back({weights, outputs, inputs, biases});
            }
            require(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "betas must be in [0, 1)");
            new (self) Soap(std::move(own), beta1, beta2);
          },
          nb::arg("blocks"), nb::arg("beta1"), nb::arg("beta2"))
      .def(
          "step",
          [](Soap& soap, Vector parameters, Vector gradient, double learning_rate) {
            require(parameters.shape(0) == gradient.shape(0) &&
                        ptrdiff_t(parameters.shape(0)) >= soap.length(),
                    "parameters and gradient must have the same length and hold all blocks");
            nb::gil_scoped_release release;
            soap.step(parameters.data(), gradient.data(), learning_rate);
          },
          nb::arg("parameters"), nb::arg("gradient"), nb::arg("learning_rate"));
}

}  // namespace

void bind_codec(nb::module_& module) {
  bind_decoder(module);
  bind_soap(module);
  module.def(
      "structure_weights",
      [](ImageArray image, float falling, int threads) {
        const int height = int(image.shape(0)), width = int(image.shape(1));
        const int channels = int(image.shape(2));
        require(std::min(height, width) >= fieldpack::train::kWindow,
                "the picture is smaller than a window");
        require(threads >= 1 && threads <= 256, "threads must be 1 to 256");
        OutArray out = new_array({image.shape(0), image.shape(1), image.shape(2)});
        {
          nb::gil_scoped_release release;
          using namespace fieldpack::train;
          ThreadPool pool(threads);
          const MsSsim ms_ssim(split_channels(image.data(), height, width, channels), kernels(), pool);
          join_channels(ms_ssim.error_weights(falling), out.data());
        }
        return out;
      },
      nb::arg("image"), nb::arg("falling"), nb::arg("threads"));
  nb::class_<Trainer>(module, "Trainer")
      .def(
          "__init__",
          [](Trainer* self, ImageArray image, std::optional<ImageArray> weights,
             const ModelShape& model, int threads, int finest) {
            require(image.shape(2) == size_t(model.channels),
                    "the image and the model differ in their number of channels");
            require(image.shape(0) >= 1 && image.shape(1) >= 1, "the image is empty");
            require(threads >= 1 && threads <= 256, "threads must be 1 to 256");
            require(finest >= 0 && finest < model.grids, "finest must be one of the grids");
            if (weights)
              for (int i = 0; i < 3; ++i)
                require(weights->shape(i) == image.shape(i), "weights must have the image's shape");
            new (self) Trainer(model, image.data(), weights ? weights->data() : nullptr,
                               int(image.shape(0)), int(image.shape(1)), threads, finest);
          },
          nb::arg("image"), nb::arg("weights").none(), nb::arg("model"), nb::arg("threads"),
          nb::arg("finest") = 0)
      .def_prop_ro("parameters", [](const Trainer& t) { return t.model().parameters(); })
      .def_prop_ro("threads", &Trainer::threads)
      .def_prop_ro("finest", &Trainer::finest)
      .def_prop_ro("compares_structure", &Trainer::compares_structure)
      .def(
          "step",
          [](Trainer& trainer, Vector parameters, std::optional<Vector> gradient, bool hard,
             float temperature, float noise, float lambda, uint32_t seed, uint32_t step, bool update,
             bool context_gradient, const std::vector<float>& learning_rate, float beta1,
             float beta2, float epsilon, float sharing) {
            const size_t count = size_t(trainer.model().parameters());
            require(parameters.shape(0) == count && (!gradient || gradient->shape(0) == count),
                    "parameters and gradient must have Trainer.parameters entries");
            StepOptions options = make_options(hard, temperature, noise, lambda, seed, step);
            options.update = update;
            options.context_gradient = context_gradient;
            require(!update || learning_rate.size() == size_t(trainer.model().grids),
                    "learning_rate needs one entry a grid");
            std::copy_n(learning_rate.begin(), std::min(learning_rate.size(), size_t(kMaxGrids)),
                        options.learning_rate.begin());
            options.beta1 = beta1;
            options.beta2 = beta2;
            options.epsilon = epsilon;
            require(sharing >= 0 && sharing <= 1, "sharing must be 0 to 1");
            options.sharing = sharing;
            StepResult result;
            {
              nb::gil_scoped_release release;
              result = trainer.step(parameters.data(), options, gradient ? gradient->data() : nullptr);
            }
            return report(trainer, result);
          },
          nb::arg("parameters"), nb::arg("gradient").none(), nb::kw_only(), nb::arg("hard") = false,
          nb::arg("temperature") = 0.3f, nb::arg("noise") = 0.25f, nb::arg("lambda_"),
          nb::arg("seed") = 0, nb::arg("step") = 0, nb::arg("update") = true,
          nb::arg("context_gradient") = true,
          nb::arg("learning_rate") = std::vector<float>{}, nb::arg("beta1") = 0.6f, nb::arg("beta2") = 0.95f,
          nb::arg("epsilon") = 1e-12f, nb::arg("sharing") = 0.85f)
      .def(
          "evaluate",
          [](Trainer& trainer, Vector parameters, bool hard, float temperature, float noise,
             float lambda, uint32_t seed, uint32_t step, bool draw) {
            require(parameters.shape(0) == size_t(trainer.model().parameters()),
                    "parameters must have Trainer.parameters entries");
            const StepOptions options = make_options(hard, temperature, noise, lambda, seed, step);
            OutArray image;
            if (draw)
              image = new_array({size_t(trainer.height()), size_t(trainer.width()),
                                 size_t(trainer.model().channels)});
            StepResult result;
            {
              nb::gil_scoped_release release;
              result = trainer.evaluate(parameters.data(), options, draw ? image.data() : nullptr);
            }
            nb::dict out = report(trainer, result);
            if (draw) out["image"] = image;
            return out;
          },
          nb::arg("parameters"), nb::kw_only(), nb::arg("hard") = true,
          nb::arg("temperature") = 0.3f, nb::arg("noise") = 0.0f, nb::arg("lambda_") = 0.0f,
          nb::arg("seed") = 0, nb::arg("step") = 0, nb::arg("draw") = true)
      .def(
          "distortion",
          [](Trainer& trainer, Vector parameters) {
            require(parameters.shape(0) == size_t(trainer.model().parameters()),
                    "parameters must have Trainer.parameters entries");
            nb::gil_scoped_release release;
            return trainer.distortion(parameters.data());
          },
          nb::arg("parameters"))
      .def(
          "loss_by_block",
          [](Trainer& trainer, Vector parameters, float lambda) {
            require(parameters.shape(0) == size_t(trainer.model().parameters()),
                    "parameters must have Trainer.parameters entries");
            require(!trainer.compares_structure(), "structure has no place: linearise first");
            using fieldpack::train::loss_blocks;
            OutArrayOf<double> out = new_array<double>(
                {2, size_t(loss_blocks(trainer.height())), size_t(loss_blocks(trainer.width()))});
            {
              nb::gil_scoped_release release;
              trainer.loss_by_block(parameters.data(), lambda, out.data(),
                                    out.data() + out.size() / 2);
            }
            return out;
          },
          nb::arg("parameters"), nb::arg("lambda_"))
      .def(
          "compare_structure",
          [](Trainer& trainer, double factor, float fidelity) {
            require(std::min(trainer.height(), trainer.width()) >= fieldpack::train::kWindow,
                    "the picture is smaller than a window");
            require(factor > 0 && fidelity >= 0, "factors must be positive");
            nb::gil_scoped_release release;
            trainer.compare_structure(factor, fidelity);
          },
          nb::arg("factor"), nb::arg("fidelity"))
      .def(
          "linearise",
          [](Trainer& trainer, Vector parameters) {
            require(parameters.shape(0) == size_t(trainer.model().parameters()),
                    "parameters must have Trainer.parameters entries");
            require(trainer.compares_structure(), "the trainer does not compare structure");
            nb::gil_scoped_release release;
            trainer.linearise(parameters.data());
          },
          nb::arg("parameters"))
      .def(
          "bits",
          [](Trainer& trainer, Vector parameters, std::optional<int> context_set) {
            require(parameters.shape(0) == size_t(trainer.model().parameters()),
                    "parameters must have Trainer.parameters entries");
            require(!context_set || (*context_set >= 0 &&
                                     *context_set < trainer.model().context_sets),
                    "there is no such context set");
            std::array<double, fieldpack::train::kMaxGrids> bits;
            {
              nb::gil_scoped_release release;
              bits = trainer.bits(parameters.data(), context_set.value_or(-1));
            }
            return std::vector<double>(bits.begin(), bits.begin() + trainer.model().grids);
          },
          nb::arg("parameters"), nb::arg("context_set").none() = nb::none())
      .def("latents",
           [](Trainer& t, int grid) {
             require_grid(t, grid);
             return copy_out(t.latents(grid));
           })
      .def("set_latents",
           [](Trainer& t, int grid, GridArray values) {
             require_grid(t, grid);
             const PlaneView& view = t.latents(grid).view();
             require(int(values.shape(0)) == view.height && int(values.shape(1)) == view.width,
                     "values must have the grid's shape");
             t.latents(grid).read(values.data(), view.width, 1);
           })
      .def("quantised",
           [](Trainer& t, int grid) {
             require_grid(t, grid);
             return copy_out(t.quantised(grid));
           })
      .def("quantised_gradient",
           [](Trainer& t, int grid) {
             require_grid(t, grid);
             return copy_out(t.latent_gradient(grid));
           })
      .def("slope",
           [](Trainer& t, int grid) {
             require_grid(t, grid);
             return copy_out(t.slope(grid));
           })
      .def("reset_moments", &Trainer::reset_moments);
}
