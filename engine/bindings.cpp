// The only file that knows Python: arrays and bytes in, arrays and bytes out.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "entropy/crc32.hpp"
#include "entropy/range_coder.hpp"
#include "entropy/weight_distribution.hpp"
#include "field/evaluate.hpp"
#include "field/program.hpp"
#include "parallel/threads.hpp"
#include "simd/kernels.hpp"

namespace nb = nanobind;
using namespace nb::literals;

void bind_codec(nb::module_& module);
void bind_filling(nb::module_& module);

namespace {

using namespace fieldpack;

template <class T>
using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class T>
using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using FloatTensor = nb::ndarray<const float, nb::c_contig, nb::device::cpu>;

template <class T>
nb::ndarray<nb::numpy, T> to_numpy(std::unique_ptr<T[]> data, std::vector<std::size_t> shape) {
    T* raw = data.release();
    nb::capsule owner(raw, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::ndarray<nb::numpy, T>(raw, shape.size(), shape.data(), owner);
}

nb::bytes to_bytes(const std::vector<std::uint8_t>& bytes) {
    return nb::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// A table of frequencies with its running sums, checked.
struct Table {
    std::vector<std::uint32_t> starts;
    std::uint32_t total = 0;

    explicit Table(const Vector<std::uint32_t>& frequencies) {
        std::uint64_t sum = 0;
        starts.reserve(frequencies.size() + 1);
        for (std::size_t i = 0; i < frequencies.size(); ++i) {
            starts.push_back(static_cast<std::uint32_t>(sum));
            sum += frequencies.data()[i];
            if (frequencies.data()[i] == 0 || sum > 0xFFFFFFFFu)
                throw std::invalid_argument("frequencies are positive and sum to less than 2^32");
        }
        if (sum == 0) throw std::invalid_argument("a frequency table has one symbol at least");
        total = static_cast<std::uint32_t>(sum);
        starts.push_back(total);
    }

    SymbolRange range(std::size_t symbol) const {
        return {starts[symbol], starts[symbol + 1] - starts[symbol], total};
    }
};

void encode(RangeEncoder& encoder, Vector<std::int32_t> symbols,
            Vector<std::uint32_t> frequencies) {
    const Table table(frequencies);
    for (std::size_t i = 0; i < symbols.size(); ++i) {
        const std::int32_t symbol = symbols.data()[i];
        if (symbol < 0 || std::size_t(symbol) >= frequencies.size())
            throw std::invalid_argument("symbol outside of the frequency table");
        encoder.encode(table.range(symbol));
    }
}

// Keeps a copy of the stream, which a RangeDecoder only points to.
struct OwningDecoder {
    std::string stream;
    RangeDecoder decoder;

    explicit OwningDecoder(nb::bytes bytes)
        : stream(bytes.c_str(), bytes.size()),
          decoder(reinterpret_cast<const std::uint8_t*>(stream.data()), stream.size()) {}
};

nb::ndarray<nb::numpy, std::int32_t> decode(OwningDecoder& self, std::size_t count,
                                            Vector<std::uint32_t> frequencies) {
    const Table table(frequencies);
    auto symbols = std::make_unique<std::int32_t[]>(count);
    for (std::size_t i = 0; i < count; ++i) {
        const std::uint32_t position = self.decoder.position(table.total);
        std::size_t low = 0;
        std::size_t high = frequencies.size();
        while (high - low > 1) {
            const std::size_t middle = (low + high) / 2;
            (table.starts[middle] <= position ? low : high) = middle;
        }
        self.decoder.consume(table.range(low));
        symbols[i] = static_cast<std::int32_t>(low);
    }
    return to_numpy(std::move(symbols), {count});
}

nb::ndarray<nb::numpy, std::uint32_t> frequencies_of_weights(int shape, int scale, int reach) {
    const auto frequencies = weight_frequencies(shape, scale, reach);
    auto data = std::make_unique<std::uint32_t[]>(frequencies.size());
    std::copy(frequencies.begin(), frequencies.end(), data.get());
    return to_numpy(std::move(data), {frequencies.size()});
}

using OperationTuple = std::tuple<int, std::vector<int>, std::vector<int>,
                                  std::vector<std::int64_t>, std::vector<double>>;

Program make_program(int axes, const std::vector<OperationTuple>& operations,
                     const std::vector<FloatTensor>& tensors) {
    std::vector<Operation> checked;
    for (const auto& [opcode, inputs, weights, integers, floats] : operations)
        checked.push_back({static_cast<Opcode>(opcode), inputs, weights, integers, floats});
    std::vector<Tensor> copies;
    for (const auto& tensor : tensors) {
        Tensor copy;
        copy.values.assign(tensor.data(), tensor.data() + tensor.size());
        for (std::size_t i = 0; i < tensor.ndim(); ++i)
            copy.shape.push_back(static_cast<std::int64_t>(tensor.shape(i)));
        copies.push_back(std::move(copy));
    }
    return Program(axes, std::move(checked), std::move(copies));
}

nb::ndarray<nb::numpy, float> points(const Program& program, Matrix<double> coordinates,
                                     int threads) {
    const std::size_t count = coordinates.shape(0);
    if (coordinates.shape(1) != std::size_t(program.axes()))
        throw std::invalid_argument("coordinates have one column for each axis of the program");
    const std::size_t channels = program.output_channels();
    const Kernels& table = kernels();
    std::unique_ptr<float[]> out(new float[count * channels]);
    {
        nb::gil_scoped_release release;
        evaluate_points(program, table, coordinates.data(), count, usable_threads(threads),
                        out.get());
    }
    return to_numpy(std::move(out), {count, channels});
}

nb::ndarray<nb::numpy, float> grid(const Program& program,
                                   const std::vector<Vector<double>>& coordinates, int threads) {
    if (coordinates.size() != std::size_t(program.axes()))
        throw std::invalid_argument("a grid has one array of coordinates for each axis");
    std::vector<std::vector<double>> axes;
    std::vector<std::size_t> shape;
    std::size_t size = program.output_channels();
    for (const auto& axis : coordinates) {
        axes.emplace_back(axis.data(), axis.data() + axis.size());
        shape.insert(shape.begin(), axis.size());
        size *= axis.size();
    }
    shape.push_back(program.output_channels());
    const Kernels& table = kernels();
    std::unique_ptr<float[]> out(new float[size]);
    if (size > 0) {
        nb::gil_scoped_release release;
        evaluate_grid(program, table, axes, usable_threads(threads), out.get());
    }
    return to_numpy(std::move(out), shape);
}

}  // namespace

NB_MODULE(_engine, m) {
    m.doc() = "The compiled engine: arrays and bytes in, arrays and bytes out.";

    m.def("crc32", [](nb::bytes bytes) {
        return crc32(reinterpret_cast<const std::uint8_t*>(bytes.c_str()), bytes.size());
    }, "bytes"_a);

    m.def("instruction_set", [] { return std::string(kernels().name); });

    m.def("weight_frequencies", frequencies_of_weights, "shape"_a, "scale"_a, "reach"_a);

    nb::class_<RangeEncoder>(m, "RangeEncoder")
        .def(nb::init<>())
        .def("encode", encode, "symbols"_a, "frequencies"_a)
        .def("finish", [](RangeEncoder& self) { return to_bytes(self.finish()); });

    nb::class_<OwningDecoder>(m, "RangeDecoder")
        .def(nb::init<nb::bytes>(), "stream"_a)
        .def("decode", decode, "count"_a, "frequencies"_a);

    nb::class_<Program>(m, "Program")
        .def("__init__",
             [](Program* self, int axes, const std::vector<OperationTuple>& operations,
                const std::vector<FloatTensor>& tensors) {
                 new (self) Program(make_program(axes, operations, tensors));
             },
             "axes"_a, "operations"_a, "tensors"_a)
        .def("points", points, "coordinates"_a, "threads"_a = 0)
        .def("grid", grid, "coordinates"_a, "threads"_a = 0);

    bind_codec(m);
    bind_filling(m);
}
