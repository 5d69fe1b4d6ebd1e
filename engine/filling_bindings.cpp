// What Python sees of filling in: the first guess and the network.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <utility>

#include "filling/network.hpp"
#include "filling/relaxation.hpp"
#include "parallel/threads.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using fieldpack::filling::kCell;
using fieldpack::filling::Network;
using fieldpack::filling::Widths;
using Parameters = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Image = nb::ndarray<const float, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Plane = nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

void require(bool holds, const char* message) {
  if (!holds) throw std::invalid_argument(message);
}

nb::ndarray<nb::numpy, float> to_numpy(std::unique_ptr<float[]> data,
                                       std::initializer_list<std::size_t> shape) {
  float* raw = data.release();
  nb::capsule owner(raw, [](void* p) noexcept { delete[] static_cast<float*>(p); });
  return nb::ndarray<nb::numpy, float>(raw, shape, owner);
}

nb::ndarray<nb::numpy, float> run(const Network& network, Plane guess, Plane mask, int threads) {
  const std::size_t height = guess.shape(0), width = guess.shape(1);
  require(mask.shape(0) == height && mask.shape(1) == width, "the mask has the guess's size");
  require(height > 0 && width > 0 && height % kCell == 0 && width % kCell == 0 &&
              height <= 1 << 15 && width <= 1 << 15,
          "sides are multiples of sixteen, 32768 at most");
  std::unique_ptr<float[]> out(new float[guess.size()]);
  {
    nb::gil_scoped_release release;
    network.run(guess.data(), mask.data(), int(height), int(width),
                fieldpack::usable_threads(threads), out.get());
  }
  return to_numpy(std::move(out), {height, width});
}

nb::ndarray<nb::numpy, float> relax(
    Image values, nb::ndarray<const bool, nb::ndim<2>, nb::c_contig, nb::device::cpu> mask,
    float tension, float momentum, int iterations, int threads) {
  const std::size_t shape[] = {values.shape(0), values.shape(1), values.shape(2)};
  require(values.size() > 0 && shape[0] <= 1 << 30 && shape[1] * shape[2] <= 1 << 30,
          "the values are none, or too many");
  require(mask.shape(0) == shape[0] && mask.shape(1) == shape[1], "the mask has the values' size");
  std::unique_ptr<float[]> out(new float[values.size()]);
  std::copy_n(values.data(), values.size(), out.get());
  {
    nb::gil_scoped_release release;
    fieldpack::filling::relax(out.get(), reinterpret_cast<const unsigned char*>(mask.data()),
                              int(shape[0]), int(shape[1]), int(shape[2]), tension, momentum,
                              iterations, fieldpack::usable_threads(threads));
  }
  return to_numpy(std::move(out), {shape[0], shape[1], shape[2]});
}

}  // namespace

void bind_filling(nb::module_& module) {
  nb::class_<Network>(module, "FillingNetwork")
      .def(
          "__init__",
          [](Network* self, const Widths& widths, Parameters parameters) {
            for (const int width : widths)
              require(width > 0 && width % 8 == 0 && width <= 512,
                      "widths are multiples of eight, 512 at most");
            require(parameters.size() == Network::parameters(widths),
                    "the parameters are not as many as a network of these widths has");
            new (self) Network(widths, parameters.data());
          },
          "widths"_a, "parameters"_a)
      .def("run", run, "guess"_a, "mask"_a, "threads"_a = 1);
  module.def("relax", relax, "values"_a, "mask"_a, "tension"_a, "momentum"_a, "iterations"_a,
             "threads"_a = 1);
}
