// Optimiser of the few network weights: Adam in the eigenbasis of Shampoo's preconditioner.
//
// Vyas et al., "SOAP: Improving and Stabilizing Shampoo using Adam", 2024. A layer's weights and
// biases form one matrix, so that the preconditioner sees both. Unlike there, the basis takes a step
// of orthogonal iteration every time, since short fits have few steps to learn from.
#pragma once

#include <cstddef>
#include <vector>

namespace fieldpack::train {

class Soap {
 public:
  // Where a matrix [outputs][inputs] begins in the flat vector, and its biases (or -1).
  struct Block {
    ptrdiff_t weights;
    int outputs, inputs;
    ptrdiff_t biases;
  };

  Soap(std::vector<Block> blocks, double beta1, double beta2);

  // Length that the flat vectors must have at least.
  ptrdiff_t length() const { return length_; }

  // Moves the blocks' parameters by about `learning_rate` against the gradient; the first call only
  // learns the basis.
  void step(float* parameters, const float* gradient, double learning_rate);

 private:
  using Matrix = std::vector<double>;  // row-major
  struct State {
    Matrix left, right;              // running means of G G' and G' G
    Matrix left_basis, right_basis;  // a row for each direction
    Matrix mean, square;             // of the gradient, and of the rotated gradient's squares
  };

  void turn(const Matrix& covariance, Matrix& basis, int n);

  std::vector<Block> blocks_;
  std::vector<State> states_;
  ptrdiff_t length_ = 0;
  double beta1_, beta2_;
  long steps_ = 0;
  Matrix gradient_, rotated_, moved_, product_;
};

}  // namespace fieldpack::train
