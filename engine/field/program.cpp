#include "field/program.hpp"

#include <array>
#include <stdexcept>
#include <string>
#include <utility>

namespace fieldpack {
namespace {

struct Arity {
    std::size_t inputs, tensors, integers, floats;
};

// By opcode, from 1; the same table as in graph.py.
constexpr std::array<Arity, 21> arities = {{{0, 0, 0, 0},
                                            {0, 0, 3, 2},
                                            {0, 0, 2, 0},
                                            {0, 0, 3, 0},
                                            {1, 1, 0, 0},
                                            {2, 0, 0, 0},
                                            {2, 0, 0, 0},
                                            {1, 1, 0, 0},
                                            {1, 1, 0, 0},
                                            {1, 0, 0, 0},
                                            {1, 0, 0, 0},
                                            {1, 0, 0, 0},
                                            {0, 0, 1, 0},
                                            {1, 0, 0, 1},
                                            {1, 0, 0, 1},
                                            {1, 0, 0, 0},
                                            {1, 0, 0, 0},
                                            {1, 0, 0, 0},
                                            {1, 1, 0, 0},
                                            {1, 0, 0, 2},
                                            {0, 1, 2, 0}}};

void require(bool condition, int index, const char* what) {
    if (!condition)
        throw std::invalid_argument("operation " + std::to_string(index) + ": " + what);
}

// Rows (real, imaginary) of complex weights as the real matrix that maps the real parts above the
// imaginary parts of a vector to those of the product: [[re, -im], [im, re]].
std::vector<float> complex_matrix(const Tensor& tensor) {
    const auto rows = static_cast<std::size_t>(tensor.shape[0]);
    const auto columns = static_cast<std::size_t>(tensor.shape[1]);
    const std::size_t half = columns / 2;
    std::vector<float> matrix(2 * rows * columns);
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < half; ++c) {
            const float real = tensor.values[r * columns + c];
            const float imaginary = tensor.values[r * columns + half + c];
            matrix[r * columns + c] = real;
            matrix[r * columns + half + c] = -imaginary;
            matrix[(rows + r) * columns + c] = imaginary;
            matrix[(rows + r) * columns + half + c] = real;
        }
    return matrix;
}

}  // namespace

Program::Program(int axes, std::vector<Operation> operations, std::vector<Tensor> tensors)
    : axes_(axes), operations_(std::move(operations)), tensors_(std::move(tensors)) {
    if (axes_ < 1 || axes_ > 8) throw std::invalid_argument("a program has 1 to 8 coordinates");
    if (operations_.empty()) throw std::invalid_argument("a program has an operation at least");
    complex_matrices_.resize(operations_.size());
    for (std::size_t i = 0; i < operations_.size(); ++i) check(static_cast<int>(i));
}

void Program::check(int index) {
    const Operation& op = operations_[index];
    const auto code = static_cast<std::size_t>(op.opcode);
    require(code >= 1 && code < arities.size(), index, "unknown opcode");
    const Arity& arity = arities[code];
    require(op.inputs.size() == arity.inputs && op.tensors.size() == arity.tensors &&
                op.integers.size() == arity.integers && op.floats.size() == arity.floats,
            index, "wrong number of arguments");
    unsigned dependence = 0;
    for (int input : op.inputs) {
        require(input >= 0 && input < index, index, "input is not an earlier operation");
        dependence |= dependence_[input];
    }
    for (int tensor : op.tensors)
        require(tensor >= 0 && std::size_t(tensor) < tensors_.size(), index, "no such tensor");
    std::int64_t channels = op.inputs.empty() ? 0 : channels_[op.inputs[0]];
    switch (op.opcode) {
        case Opcode::sinusoid:
        case Opcode::one_hot:
        case Opcode::binary:
            require(op.integers[0] >= 0 && op.integers[0] < axes_, index, "no such coordinate");
            require(op.integers[1] >= 1 && op.integers[1] < (std::int64_t{1} << 31), index,
                    "number of positions out of range");
            channels = op.opcode == Opcode::one_hot ? op.integers[1] : op.integers[2];
            dependence = 1u << op.integers[0];
            break;
        case Opcode::linear: {
            const auto& shape = tensors_[op.tensors[0]].shape;
            require(shape.size() == 2 && shape[1] == channels, index, "matrix and input disagree");
            channels = shape[0];
            break;
        }
        case Opcode::complex_linear: {
            const Tensor& tensor = tensors_[op.tensors[0]];
            require(channels % 2 == 0, index, "a complex value has an even number of channels");
            require(tensor.shape.size() == 2 && tensor.shape[1] == channels, index,
                    "matrix and input disagree");
            channels = 2 * tensor.shape[0];
            require(channels >= 2 && channels <= 65536, index, "number of channels out of range");
            complex_matrices_[index] = complex_matrix(tensor);
            break;
        }
        case Opcode::gabor:
            require(channels % 2 == 0, index, "a complex value has an even number of channels");
            break;
        case Opcode::coordinate:
            require(op.integers[0] >= 0 && op.integers[0] < axes_, index, "no such coordinate");
            channels = 1;
            dependence = 1u << op.integers[0];
            break;
        case Opcode::hash_grid: {
            const auto& shape = tensors_[op.tensors[0]].shape;
            require(op.integers[0] >= 1 && op.integers[0] < (std::int64_t{1} << 31), index,
                    "number of cells out of range");
            require(shape.size() == 2 && shape[0] >= 1 && shape[1] == op.integers[1], index,
                    "table and channels disagree");
            channels = shape[1];
            dependence = (1u << axes_) - 1;
            break;
        }
        case Opcode::add:
        case Opcode::multiply:
            require(channels_[op.inputs[1]] == channels, index, "inputs differ in channels");
            break;
        case Opcode::shift:
        case Opcode::scale: {
            const auto& shape = tensors_[op.tensors[0]].shape;
            require(shape.size() == 1 && (shape[0] == channels || shape[0] == 1), index,
                    "weights and input disagree");
            break;
        }
        default:
            break;
    }
    require(channels >= 1 && channels <= 65536, index, "number of channels out of range");
    total_channels_ += channels;
    require(total_channels_ <= 131072, index, "too many channels in all");
    channels_.push_back(static_cast<int>(channels));
    dependence_.push_back(dependence);
}

}  // namespace fieldpack
