// Compiled once for each instruction set, with FIELDPACK_ISA naming the namespace; therefore nothing
// from the standard library but integer types.
#include "filling/kernels.hpp"

namespace fieldpack::filling::FIELDPACK_ISA {

namespace {

typedef float Eight __attribute__((vector_size(32), may_alias));
typedef float UnalignedEight __attribute__((vector_size(32), may_alias, aligned(4)));

inline Eight load(const float* p) { return *reinterpret_cast<const UnalignedEight*>(p); }
inline void store(float* p, Eight v) { *reinterpret_cast<UnalignedEight*>(p) = v; }

// `kCount` outputs, `kVectors` times eight channels of each. Every sum runs over taps, then inputs,
// whatever the block, so that it does not matter in which block an output falls.
template <int kCount, int kVectors>
inline __attribute__((always_inline)) void block(const RowArgs& args, int first, int channel) {
  Eight sums[kCount][kVectors];
  for (int p = 0; p < kCount; ++p)
    for (int v = 0; v < kVectors; ++v) sums[p][v] = load(args.bias + channel + kLanes * v);
  const float* weights = args.weights + channel;
  for (int t = 0; t < args.taps; ++t) {
    const float* in = args.in + first * args.in_step + args.offsets[t];
    for (int i = 0; i < args.inputs; ++i) {
      Eight w[kVectors];
      for (int v = 0; v < kVectors; ++v) w[v] = load(weights + kLanes * v);
      for (int p = 0; p < kCount; ++p) {
        const Eight x = in[p * args.in_step + i] - Eight{};
        for (int v = 0; v < kVectors; ++v) sums[p][v] += x * w[v];
      }
      weights += args.outputs;
    }
  }
  for (int p = 0; p < kCount; ++p)
    for (int v = 0; v < kVectors; ++v) {
      const ptrdiff_t at = (first + p) * args.out_step + channel + kLanes * v;
      Eight value = sums[p][v];
      if (args.add) value += load(args.add + at);
      if (args.rectify) value = value > 0 ? value : value * kLeak;
      store(args.out + at, value);
    }
}

template <int kCount>
inline __attribute__((always_inline)) void all_channels(const RowArgs& args, int first) {
  int channel = 0;
  for (; channel + 2 * kLanes <= args.outputs; channel += 2 * kLanes)
    block<kCount, 2>(args, first, channel);
  if (channel < args.outputs) block<kCount, 1>(args, first, channel);
}

void row(const RowArgs& args) {
  constexpr int kBlock = 6;
  int first = 0;
  for (; first + kBlock <= args.count; first += kBlock) all_channels<kBlock>(args, first);
  for (; first < args.count; ++first) all_channels<1>(args, first);
}

}  // namespace

extern const Kernels table;
const Kernels table = {row};

}  // namespace fieldpack::filling::FIELDPACK_ISA
