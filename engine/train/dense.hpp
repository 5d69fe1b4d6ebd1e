// Dense layers over strips of pixels: the one kernel behind 1x1 layers, 3x3 layers and contexts.
//
// A strip is a run of pixels of one row. A layer reads `inputs` rows through pointers, so a shifted
// neighbour is only another pointer: a 3x3 layer over C channels is a dense layer with 9C inputs.
// Pixels are the vector dimension; a block of outputs times a few vectors stays in registers.
#pragma once

#include "vector.hpp"

namespace fieldpack::train::FIELDPACK_ISA {

#if FIELDPACK_VECTOR_BYTES == 64
constexpr int kBlock = 8;  // outputs that share one pass over the inputs: 32 registers
#else
constexpr int kBlock = 4;  // 16 registers
#endif

template <int O, int V, class Finish>
FIELDPACK_INLINE void dense_block(const float* const* x, int inputs, const float* weights, int ldw,
                                  const float* bias, int first, ptrdiff_t p, const Finish& finish) {
  Floats sums[O][V];
#pragma GCC unroll 8
  for (int o = 0; o < O; ++o) {
    const Floats b = bias ? splat(bias[first + o]) : Floats{};
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) sums[o][v] = b;
  }
  for (int i = 0; i < inputs; ++i) {
    const float* row = x[i] + p;
    const float* w = weights + ptrdiff_t(i) * ldw + first;
    Floats in[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) in[v] = load(row + v * kLanes);
#pragma GCC unroll 8
    for (int o = 0; o < O; ++o) {
      const Floats wo = splat(w[o]);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) sums[o][v] += wo * in[v];
    }
  }
#pragma GCC unroll 8
  for (int o = 0; o < O; ++o) {
    const auto row = finish(first + o);
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) row(p + v * kLanes, sums[o][v]);
  }
}

template <int O, class Finish>
inline void dense_rows(const float* const* x, int inputs, const float* weights, int ldw,
                       const float* bias, int first, ptrdiff_t count, const Finish& finish) {
  // Enough independent sums to cover the latency of a multiply-add, few enough for the registers.
  constexpr int kWide = kBlock == 8 ? (O >= 5 ? 2 : 4) : (O >= 3 ? 3 : 4);
  ptrdiff_t p = 0, left = (count + kLanes - 1) / kLanes;
  // The last four go two by two rather than three and one, which would wait for its own sums.
  for (; left >= kWide && !(kWide == 3 && left == 4); left -= kWide, p += kWide * kLanes)
    dense_block<O, kWide>(x, inputs, weights, ldw, bias, first, p, finish);
  for (; left >= 2; left -= 2, p += 2 * kLanes)
    dense_block<O, 2>(x, inputs, weights, ldw, bias, first, p, finish);
  if (left) dense_block<O, 1>(x, inputs, weights, ldw, bias, first, p, finish);
}

// finish(o)(p, bias[o] + sum_i weights[i * outputs + o] * x[i][p]) for whole vectors covering
// [0, count); reads and finishes up to kLanes - 1 pixels beyond `count`.
template <class Finish>
inline void dense(const float* const* x, int inputs, int outputs, const float* weights,
                  const float* bias, ptrdiff_t count, const Finish& finish) {
  int o = 0;
  for (; o + kBlock <= outputs; o += kBlock)
    dense_rows<kBlock>(x, inputs, weights, outputs, bias, o, count, finish);
  switch (outputs - o) {
#if FIELDPACK_VECTOR_BYTES == 64
    case 7: dense_rows<7>(x, inputs, weights, outputs, bias, o, count, finish); break;
    case 6: dense_rows<6>(x, inputs, weights, outputs, bias, o, count, finish); break;
    case 5: dense_rows<5>(x, inputs, weights, outputs, bias, o, count, finish); break;
    case 4: dense_rows<4>(x, inputs, weights, outputs, bias, o, count, finish); break;
#endif
    case 3: dense_rows<3>(x, inputs, weights, outputs, bias, o, count, finish); break;
    case 2: dense_rows<2>(x, inputs, weights, outputs, bias, o, count, finish); break;
    case 1: dense_rows<1>(x, inputs, weights, outputs, bias, o, count, finish); break;
    default: break;
  }
}

// sums[(o * inputs + i) * kLanes ...] += s[o][i], of which the rows may have room for more.
template <int O, int I, int Room>
FIELDPACK_INLINE void add_to_sums(const Floats (&s)[O][Room], float* sums, int inputs) {
#pragma GCC unroll 8
  for (int o = 0; o < O; ++o) {
#pragma GCC unroll 8
    for (int i = 0; i < I; ++i) {
      float* target = sums + (ptrdiff_t(o) * inputs + i) * kLanes;
      store(target, load(target) + s[o][i]);
    }
  }
}

// With kBias, the biases' gradients too: they are one input more, which is always 1.
template <int O, int I, bool kBias>
FIELDPACK_INLINE void weight_gradient_block(const float* const* x, const float* const* g,
                                            ptrdiff_t count, float* sums, int inputs,
                                            float* bias_sums) {
  Floats s[O][I + 1] = {}, bias[O];
#pragma GCC unroll 8
  for (int o = 0; kBias && o < O; ++o) bias[o] = load(bias_sums + o * kLanes);
  for (ptrdiff_t p = 0; p < count; p += kLanes) {
    Floats in[I + 1];
#pragma GCC unroll 8
    for (int i = 0; i < I; ++i) in[i] = load(x[i] + p);
#pragma GCC unroll 8
    for (int o = 0; o < O; ++o) {
      const Floats go = load(g[o] + p);
#pragma GCC unroll 8
      for (int i = 0; i < I; ++i) s[o][i] += go * in[i];
      if (kBias) bias[o] += go;
    }
  }
  add_to_sums<O, I>(s, sums, inputs);
#pragma GCC unroll 8
  for (int o = 0; kBias && o < O; ++o) store(bias_sums + o * kLanes, bias[o]);
}

template <int O>
inline void weight_gradient_rows(const float* const* x, int inputs, const float* const* g,
                                 ptrdiff_t count, float* sums, float* bias_sums) {
  // The more inputs in a block, the less is loaded for a multiply-add; what is left is halved.
  constexpr int kInputs = kBlock == 8 ? 6 : 3;
  const int stride = inputs;
  while (inputs >= kInputs) {
    const bool halved = kBlock == 8 && inputs < 2 * kInputs - 1;
    const int block = halved ? (inputs + 1) / 2 : kInputs;
    switch (block) {
#if FIELDPACK_VECTOR_BYTES == 64
      case 6: weight_gradient_block<O, 6, false>(x, g, count, sums, stride, nullptr); break;
      case 5: weight_gradient_block<O, 5, false>(x, g, count, sums, stride, nullptr); break;
      case 4: weight_gradient_block<O, 4, false>(x, g, count, sums, stride, nullptr); break;
#endif
      default: weight_gradient_block<O, 3, false>(x, g, count, sums, stride, nullptr); break;
    }
    x += block;
    sums += block * kLanes;
    inputs -= block;
  }
  switch (inputs) {
#if FIELDPACK_VECTOR_BYTES == 64
    case 5: weight_gradient_block<O, 5, true>(x, g, count, sums, stride, bias_sums); break;
    case 4: weight_gradient_block<O, 4, true>(x, g, count, sums, stride, bias_sums); break;
    case 3: weight_gradient_block<O, 3, true>(x, g, count, sums, stride, bias_sums); break;
#endif
    case 2: weight_gradient_block<O, 2, true>(x, g, count, sums, stride, bias_sums); break;
    case 1: weight_gradient_block<O, 1, true>(x, g, count, sums, stride, bias_sums); break;
    default: weight_gradient_block<O, 0, true>(x, g, count, sums, stride, bias_sums); break;
  }
}

// sums[(o * inputs + i) * kLanes ...] += x[i][p] * g[o][p] over whole vectors covering [0, count);
// bias_sums[o * kLanes ...] += g[o][p]. Gradients beyond `count` must be zero.
inline void weight_gradient(const float* const* x, int inputs, const float* const* g, int outputs,
                            ptrdiff_t count, float* sums, float* bias_sums) {
  constexpr int kOutputs = 4;
  int o = 0;
  for (; o + kOutputs <= outputs; o += kOutputs)
    weight_gradient_rows<kOutputs>(x, inputs, g + o, count, sums + ptrdiff_t(o) * inputs * kLanes,
                                   bias_sums + o * kLanes);
  float* rest = sums + ptrdiff_t(o) * inputs * kLanes;
  float* bias_rest = bias_sums + o * kLanes;
  switch (outputs - o) {
    case 3: weight_gradient_rows<3>(x, inputs, g + o, count, rest, bias_rest); break;
    case 2: weight_gradient_rows<2>(x, inputs, g + o, count, rest, bias_rest); break;
    case 1: weight_gradient_rows<1>(x, inputs, g + o, count, rest, bias_rest); break;
    default: break;
  }
}

template <int O, int I>
FIELDPACK_INLINE void narrow_backward_block(const float* const* x, int inputs,
                                            const float* const* g, const float* weights,
                                            ptrdiff_t count, float* sums, float* const* to) {
  Floats s[O][I] = {}, w[O][I];
#pragma GCC unroll 8
  for (int o = 0; o < O; ++o)
#pragma GCC unroll 8
    for (int i = 0; i < I; ++i) w[o][i] = splat(weights[o * inputs + i]);
  for (ptrdiff_t p = 0; p < count; p += kLanes) {
    Floats go[O];
#pragma GCC unroll 8
    for (int o = 0; o < O; ++o) go[o] = load(g[o] + p);
#pragma GCC unroll 8
    for (int i = 0; i < I; ++i) {
      const Floats in = load(x[i] + p);
      Floats v{};
#pragma GCC unroll 8
      for (int o = 0; o < O; ++o) {
        v += w[o][i] * go[o];
        s[o][i] += go[o] * in;
      }
      store(to[i] + p, select(in > 0, v, Floats{}));
    }
  }
  add_to_sums<O, I>(s, sums, inputs);
}

// The backward pass of a layer of few outputs O behind rectified inputs: what `weight_gradient` adds,
// and to[i][p] = sum_o weights[o * inputs + i] * g[o][p] where x[i][p] > 0, else 0. So few outputs
// leave either so little to compute that reading the inputs twice would take longer.
template <int O>
inline void narrow_backward(const float* const* x, int inputs, const float* const* g,
                            const float* weights, ptrdiff_t count, float* sums, float* bias_sums,
                            float* const* to) {
  constexpr int kInputs = kBlock / 2;
  int i = 0;
  for (; i + kInputs <= inputs; i += kInputs)
    narrow_backward_block<O, kInputs>(x + i, inputs, g, weights + i, count,
                                      sums + ptrdiff_t(i) * kLanes, to + i);
  for (; i < inputs; ++i)
    narrow_backward_block<O, 1>(x + i, inputs, g, weights + i, count, sums + ptrdiff_t(i) * kLanes,
                                to + i);
  weight_gradient_block<O, 0, true>(x, g, count, sums, inputs, bias_sums);
}

}  // namespace fieldpack::train::FIELDPACK_ISA
