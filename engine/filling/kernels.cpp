// Compiled once for each instruction set, with FIELDPACK_ISA naming the namespace; therefore nothing
// from the standard library but integer types.
#include "filling/kernels.hpp"

namespace fieldpack::filling::FIELDPACK_ISA {

namespace {

template <int kWidth>
struct Vector {
  typedef float Type __attribute__((vector_size(4 * kWidth), may_alias));
  typedef float Unaligned __attribute__((vector_size(4 * kWidth), may_alias, aligned(4)));
  static Type load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
  static void store(float* p, Type v) { *reinterpret_cast<Unaligned*>(p) = v; }
};
// Floats and vectors at once, and outputs a block: as many sums as the machine has registers for.
#if defined(__AVX512F__)
constexpr int kWidest = 16, kMostVectors = 3, kBlock = 8;
#elif defined(__AVX2__)
constexpr int kWidest = 8, kMostVectors = 2, kBlock = 6;
#else
constexpr int kWidest = 4, kMostVectors = 2, kBlock = 6;
#endif

// `kCount` outputs, `kVectors` times `kWidth` channels of each. Every sum runs over taps, then
// inputs, whatever the block, so that it does not matter in which block an output falls.
template <int kCount, int kWidth, int kVectors>
inline __attribute__((always_inline)) void block(const RowArgs& args, int first, int channel) {
  using V = Vector<kWidth>;
  using Type = typename V::Type;
  Type sums[kCount][kVectors];
  for (int p = 0; p < kCount; ++p)
    for (int v = 0; v < kVectors; ++v) sums[p][v] = V::load(args.bias + channel + kWidth * v);
  const float* weights = args.weights + channel;
  for (int t = 0; t < args.taps; ++t) {
    const float* in = args.in + first * args.in_step + args.offsets[t];
    for (int i = 0; i < args.inputs; ++i) {
      Type w[kVectors];
      for (int v = 0; v < kVectors; ++v) w[v] = V::load(weights + kWidth * v);
      for (int p = 0; p < kCount; ++p) {
        const Type x = in[p * args.in_step + i] - Type{};
        for (int v = 0; v < kVectors; ++v) sums[p][v] += x * w[v];
      }
      weights += args.outputs;
    }
  }
  for (int p = 0; p < kCount; ++p)
    for (int v = 0; v < kVectors; ++v) {
      const ptrdiff_t at = (first + p) * args.out_step + channel + kWidth * v;
      Type value = sums[p][v];
      if (args.add) value += V::load(args.add + at);
      if (args.rectify) value = value > 0 ? value : value * kLeak;
      V::store(args.out + at, value);
    }
}

template <int kCount>
inline __attribute__((always_inline)) void all_channels(const RowArgs& args, int first) {
  int channel = 0;
  const auto left = [&] { return args.outputs - channel; };
  for (; left() >= kMostVectors * kWidest; channel += kMostVectors * kWidest)
    block<kCount, kWidest, kMostVectors>(args, first, channel);
  for (; left() >= 2 * kWidest; channel += 2 * kWidest)
    block<kCount, kWidest, 2>(args, first, channel);
  for (; left() >= kWidest; channel += kWidest) block<kCount, kWidest, 1>(args, first, channel);
  if (left() > 0) block<kCount, kLanes, 1>(args, first, channel);
}

void row(const RowArgs& args) {
  int first = 0;
  for (; first + kBlock <= args.count; first += kBlock) all_channels<kBlock>(args, first);
  for (; first < args.count; ++first) all_channels<1>(args, first);
}

}  // namespace

extern const Kernels table;
const Kernels table = {row};

}  // namespace fieldpack::filling::FIELDPACK_ISA
