// Doubling of a plane's resolution by a separable symmetric kernel of 8 taps, and its gradients.
//
// A fine pixel 2i lies a quarter of a coarse pixel left of coarse pixel i, 2i + 1 a quarter right of
// it. Each reads the four nearest coarse pixels; the taps are ordered by distance (1/4, 3/4, 5/4,
// 7/4), so the odd phase is the mirror image of the even one.
#pragma once

#include "kernels.hpp"
#include "vector.hpp"

namespace fieldpack::train::FIELDPACK_ISA {

FIELDPACK_INLINE void interleave(Floats even, Floats odd, float* out) {
  Ints low{}, high{};
  for (int i = 0; i < kLanes; ++i) {
    low[i] = i / 2 + (i % 2) * kLanes;
    high[i] = kLanes / 2 + i / 2 + (i % 2) * kLanes;
  }
  store(out, __builtin_shuffle(even, odd, low));
  store(out + kLanes, __builtin_shuffle(even, odd, high));
}

FIELDPACK_INLINE void deinterleave(const float* in, Floats& even, Floats& odd) {
  Ints low{}, high{};
  for (int i = 0; i < kLanes; ++i) {
    low[i] = 2 * i;
    high[i] = 2 * i + 1;
  }
  const Floats a = load(in), b = load(in + kLanes);
  even = __builtin_shuffle(a, b, low);
  odd = __builtin_shuffle(a, b, high);
}

// Coarse rows (or columns) that fine row y reads, nearest first.
struct Sources {
  int at[kTaps];
  explicit Sources(int y) {
    const int i = y >> 1, away = (y & 1) ? 1 : -1;
    at[0] = i;
    at[1] = i + away;
    at[2] = i - away;
    at[3] = i + 2 * away;
  }
};

inline void upsample(const UpsampleArgs& a) {
  const int first = (a.column_begin >> 1) - 2, last = ((a.column_end + 1) >> 1) + 2;
  float* line = a.workspace + kLanes - first;  // line[i]: the row at full height, half width
  Floats taps[kTaps];
  for (int t = 0; t < kTaps; ++t) taps[t] = splat(a.taps[t]);
  for (int y = a.row_begin; y < a.row_end; ++y) {
    const Sources rows(y);
    const float* in[kTaps];
    for (int t = 0; t < kTaps; ++t) in[t] = a.coarse.row(rows.at[t]);
    for (int i = first; i < last; i += kLanes) {
      Floats v = taps[0] * load(in[0] + i);
      for (int t = 1; t < kTaps; ++t) v += taps[t] * load(in[t] + i);
      store(line + i, v);
    }
    float* out = a.fine.row(y);
    for (int i = a.column_begin >> 1; 2 * i < a.column_end; i += kLanes) {
      const Floats v = load(line + i), left = load(line + i - 1), right = load(line + i + 1);
      const Floats even = taps[0] * v + taps[1] * left + taps[2] * right +
                          taps[3] * load(line + i - 2);
      const Floats odd = taps[0] * v + taps[1] * right + taps[2] * left +
                         taps[3] * load(line + i + 2);
      interleave(even, odd, out + 2 * i);
    }
  }
}

inline void upsample_gradient(const UpsampleGradientArgs& a) {
  const int first = a.column_begin >> 1, last = (a.column_end + 1) >> 1;
  // Even and odd columns of one gradient row, with zeros for the shifted reads around them.
  const ptrdiff_t length = last - first + 4 * kLanes + 8;
  float* even = a.workspace + 2 * kLanes - first;
  float* odd = even + length;
  for (ptrdiff_t i = 0; i < 2 * length; ++i) a.workspace[i] = 0;
  Floats taps[kTaps], sums[kTaps];
  for (int t = 0; t < kTaps; ++t) {
    taps[t] = splat(a.taps[t]);
    sums[t] = a.sums ? load(a.sums + t * kLanes) : Floats{};
  }
  const Ints lanes = lane_indices();
  for (int y = a.row_begin; y < a.row_end; ++y) {
    const float* g = a.fine_gradient.row(y);
    for (int i = first; i < last; i += kLanes) {
      Floats e, o;
      deinterleave(g + 2 * i, e, o);
      const Ints column = 2 * (lanes + i);
      store(even + i, select(column < a.column_end, e, Floats{}));
      store(odd + i, select(column + 1 < a.column_end, o, Floats{}));
    }
    const Sources rows(y);
    const float* in[kTaps];
    float* out[kTaps];
    for (int t = 0; t < kTaps; ++t) {
      in[t] = a.coarse.row(rows.at[t]);
      out[t] = a.coarse_gradient.row(rows.at[t]);
    }
    for (int i = first - 2; i < last + 2; i += kLanes) {
      const Floats parts[kTaps] = {
          load(even + i) + load(odd + i), load(even + i + 1) + load(odd + i - 1),
          load(even + i - 1) + load(odd + i + 1), load(even + i + 2) + load(odd + i - 2)};
      Floats line{}, line_gradient{};
      Floats value[kTaps];
      for (int t = 0; t < kTaps; ++t) {
        value[t] = load(in[t] + i);
        line += taps[t] * value[t];
        line_gradient += taps[t] * parts[t];
      }
      for (int t = 0; t < kTaps; ++t) {
        sums[t] += line * parts[t] + line_gradient * value[t];
        store(out[t] + i, load(out[t] + i) + taps[t] * line_gradient);
      }
    }
  }
  for (int t = 0; a.sums && t < kTaps; ++t) store(a.sums + t * kLanes, sums[t]);
}

}  // namespace fieldpack::train::FIELDPACK_ISA
