// A field's program, checked: src/fieldpack/program/graph.py builds it, evaluate.cpp runs it.
#pragma once

#include <cstdint>
#include <vector>

namespace fieldpack {

enum class Opcode : int {
    sinusoid = 1,
    one_hot = 2,
    binary = 3,
    linear = 4,
    add = 5,
    multiply = 6,
    shift = 7,
    scale = 8,
    tanh = 9,
    gelu = 10,
    sigmoid = 11,
    coordinate = 12,
    sine = 13,
    cosine = 14,
    relu = 15,
    absolute = 16,
    gaussian = 17,
    complex_linear = 18,
    gabor = 19,
    hash_grid = 20,
};

struct Operation {
    Opcode opcode{};
    std::vector<int> inputs;           // earlier operations
    std::vector<int> tensors;          // weights
    std::vector<std::int64_t> integers;
    std::vector<double> floats;
};

struct Tensor {
    std::vector<float> values;
    std::vector<std::int64_t> shape;
};

class Program {
public:
    // Throws std::invalid_argument where an operation reads what does not exist or sizes disagree.
    Program(int axes, std::vector<Operation> operations, std::vector<Tensor> tensors);

    int axes() const { return axes_; }
    int output_channels() const { return channels_.back(); }
    const std::vector<Operation>& operations() const { return operations_; }
    const std::vector<Tensor>& tensors() const { return tensors_; }
    int channels(int operation) const { return channels_[operation]; }
    // Bit a is set where the operation's result depends on coordinate a.
    unsigned dependence(int operation) const { return dependence_[operation]; }
    // Of a linear or complex linear operation: the real matrix that it multiplies by.
    const float* matrix(int operation) const {
        return operations_[operation].opcode == Opcode::complex_linear
                   ? complex_matrices_[operation].data()
                   : tensors_[operations_[operation].tensors[0]].values.data();
    }

private:
    void check(int index);

    int axes_;
    std::vector<Operation> operations_;
    std::vector<Tensor> tensors_;
    std::vector<int> channels_;
    std::vector<unsigned> dependence_;
    std::vector<std::vector<float>> complex_matrices_;    // by operation, empty for others
    std::int64_t total_channels_ = 0;    // bounds the working memory
};

}  // namespace fieldpack
