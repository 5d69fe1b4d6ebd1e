#include "soap.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace fieldpack::train {

namespace {

// A basis that has just turned may point where no gradient was seen before, and the mean square
// there is next to nothing.
constexpr double kLargestStep = 3.0;
constexpr double kEpsilon = 1e-15;
// Of the mean eigenvalue: keeps directions without any gradient where they are.
constexpr double kRidge = 1e-12;
constexpr int kFirstTurns = 30;

// out[n][p] = a[n][m] b[m][p]
void multiply(const double* a, const double* b, double* out, int n, int m, int p) {
  std::fill(out, out + ptrdiff_t(n) * p, 0.0);
  for (int i = 0; i < n; ++i) {
    const double* factors = a + ptrdiff_t(i) * m;
    double* target = out + ptrdiff_t(i) * p;
    int k = 0;
    // Four rows for each time that the sums are read and written.
    for (; k + 4 <= m; k += 4) {
      const double *row = b + ptrdiff_t(k) * p, *second = row + p, *third = second + p,
                   *fourth = third + p;
      for (int j = 0; j < p; ++j)
        target[j] += (factors[k] * row[j] + factors[k + 1] * second[j]) +
                     (factors[k + 2] * third[j] + factors[k + 3] * fourth[j]);
    }
    for (; k < m; ++k) {
      const double* row = b + ptrdiff_t(k) * p;
      for (int j = 0; j < p; ++j) target[j] += factors[k] * row[j];
    }
  }
}

void transpose(const double* a, double* out, int n, int m) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < m; ++j) out[ptrdiff_t(j) * n + i] = a[ptrdiff_t(i) * m + j];
}

// Eight sums side by side: one alone would wait for every addition before the next.
double dot(const double* a, const double* b, int n) {
  constexpr int kSums = 8;
  double sums[kSums] = {};
  int i = 0;
  for (; i + kSums <= n; i += kSums)
    for (int s = 0; s < kSums; ++s) sums[s] += a[i + s] * b[i + s];
  double total = 0;
  for (; i < n; ++i) total += a[i] * b[i];
  for (const double s : sums) total += s;
  return total;
}

// Moves `mean` towards a a' of the n rows of a[n][m].
void accumulate(const double* a, double* mean, int n, int m, double share) {
  for (int i = 0; i < n; ++i)
    for (int j = 0; j <= i; ++j) {
      const double v = dot(a + ptrdiff_t(i) * m, a + ptrdiff_t(j) * m, m);
      double& target = mean[ptrdiff_t(i) * n + j];
      target += share * (v - target);
      mean[ptrdiff_t(j) * n + i] = target;
    }
}

void identity(std::vector<double>& a, int n) {
  a.assign(size_t(n) * n, 0.0);
  for (int i = 0; i < n; ++i) a[size_t(i) * n + i] = 1;
}

}  // namespace

Soap::Soap(std::vector<Block> blocks, double beta1, double beta2)
    : blocks_(std::move(blocks)), beta1_(beta1), beta2_(beta2) {
  for (const Block& block : blocks_) {
    const int n = block.outputs, m = block.inputs + (block.biases >= 0);
    State state;
    state.left.assign(size_t(n) * n, 0.0);
    state.right.assign(size_t(m) * m, 0.0);
    identity(state.left_basis, n);
    identity(state.right_basis, m);
    state.mean.assign(size_t(n) * m, 0.0);
    state.square.assign(size_t(n) * m, 0.0);
    states_.push_back(std::move(state));
    length_ = std::max({length_, block.weights + ptrdiff_t(n) * block.inputs, block.biases + n});
    const size_t largest = size_t(std::max(n, m));
    for (Matrix* scratch : {&gradient_, &rotated_, &moved_, &product_})
      scratch->resize(std::max(scratch->size(), largest * largest));
  }
}

// One step of orthogonal iteration: the basis times the covariance, made orthonormal again.
void Soap::turn(const Matrix& covariance, Matrix& basis, int n) {
  double trace = 0;
  for (int i = 0; i < n; ++i) trace += covariance[size_t(i) * n + i];
  if (!(trace > 0)) return;
  multiply(basis.data(), covariance.data(), product_.data(), n, n, n);
  const double ridge = kRidge * trace / n;
  for (int i = 0; i < n * n; ++i) product_[i] += ridge * basis[i];
  for (int i = 0; i < n; ++i) {
    double* row = product_.data() + ptrdiff_t(i) * n;
    // Twice, or rows of very different length would not come out orthogonal.
    for (int round = 0; round < 2; ++round) {
      for (int j = 0; j < i; ++j) {
        const double* other = product_.data() + ptrdiff_t(j) * n;
        const double share = dot(row, other, n);
        for (int k = 0; k < n; ++k) row[k] -= share * other[k];
      }
      const double norm = std::sqrt(dot(row, row, n));
      if (!(norm > 0)) return;  // Keeps the basis, which is orthonormal.
      for (int k = 0; k < n; ++k) row[k] /= norm;
    }
  }
  std::copy_n(product_.begin(), size_t(n) * n, basis.begin());
}

void Soap::step(float* parameters, const float* gradient, double learning_rate) {
  ++steps_;
  const double correction =
      std::sqrt(1 - std::pow(beta2_, double(steps_))) / (1 - std::pow(beta1_, double(steps_)));
  for (size_t b = 0; b < blocks_.size(); ++b) {
    const Block& block = blocks_[b];
    State& s = states_[b];
    const int n = block.outputs, inputs = block.inputs, m = inputs + (block.biases >= 0);
    double* g = gradient_.data();
    for (int o = 0; o < n; ++o) {
      const float* row = gradient + block.weights + ptrdiff_t(o) * inputs;
      std::copy_n(row, inputs, g + ptrdiff_t(o) * m);
      if (block.biases >= 0) g[ptrdiff_t(o) * m + inputs] = gradient[block.biases + o];
    }
    accumulate(g, s.left.data(), n, m, 1 - beta2_);
    transpose(g, moved_.data(), n, m);
    accumulate(moved_.data(), s.right.data(), m, n, 1 - beta2_);
    for (int i = 0; i < (steps_ == 1 ? kFirstTurns : 1); ++i) {
      turn(s.left, s.left_basis, n);
      turn(s.right, s.right_basis, m);
    }
    // To the eigenbasis: left_basis x right_basis'.
    const auto rotate = [&](const double* x, double* out) {
      multiply(s.left_basis.data(), x, product_.data(), n, n, m);
      transpose(s.right_basis.data(), moved_.data(), m, m);
      multiply(product_.data(), moved_.data(), out, n, m, m);
    };
    for (int i = 0; i < n * m; ++i) s.mean[i] += (1 - beta1_) * (g[i] - s.mean[i]);
    rotate(g, rotated_.data());
    for (int i = 0; i < n * m; ++i)
      s.square[i] += (1 - beta2_) * (rotated_[i] * rotated_[i] - s.square[i]);
    // In its own eigenbasis, the first gradient is nothing but noise beside the diagonal.
    if (steps_ == 1) continue;
    rotate(s.mean.data(), rotated_.data());
    for (int i = 0; i < n * m; ++i)
      rotated_[i] = std::clamp(correction * rotated_[i] / (std::sqrt(s.square[i]) + kEpsilon),
                               -kLargestStep, kLargestStep);
    // And back: left_basis' x right_basis.
    transpose(s.left_basis.data(), moved_.data(), n, n);
    multiply(moved_.data(), rotated_.data(), product_.data(), n, n, m);
    multiply(product_.data(), s.right_basis.data(), g, n, m, m);
    for (int o = 0; o < n; ++o) {
      for (int i = 0; i < inputs; ++i)
        parameters[block.weights + ptrdiff_t(o) * inputs + i] -=
            float(learning_rate * g[ptrdiff_t(o) * m + i]);
      if (block.biases >= 0)
        parameters[block.biases + o] -= float(learning_rate * g[ptrdiff_t(o) * m + inputs]);
    }
  }
}

}  // namespace fieldpack::train
