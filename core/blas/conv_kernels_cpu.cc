// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "septet/core/blas/conv_kernels.h"

// Vectors without a size known to the compiler cannot be kept in arrays.
#ifndef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS \
  (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#endif
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/blas/conv_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// Rows of a tile (pixels, or elements of a patch), so that the tile, a row of
// weights and a broadcast fit into the registers: 32 of them, or 16.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_ARCH_ARM_A64
template <int kVectors>
constexpr size_t kMaxTile = kVectors == 1 ? 24 : 14;
#else
template <int kVectors>
constexpr size_t kMaxTile = kVectors == 1 ? 12 : 6;
#endif

// Makes the compiler forget what it knows about a variable.
#undef SEPTET_CONV_HIDE
#if HWY_COMPILER_GCC || HWY_COMPILER_CLANG
#define SEPTET_CONV_HIDE(variable) asm("" : "+r"(variable))
#else
#define SEPTET_CONV_HIDE(variable) (void)(variable)
#endif

// n rows are cut into tiles of about the same size: ceil(n / most) tiles.
HWY_INLINE size_t TileSize(size_t left, size_t most) {
  const size_t tiles = (left + most - 1) / most;
  return (left + tiles - 1) / tiles;
}

template <typename T>
HWY_INLINE void StoreRow(hn::ScalableTag<T> d, hn::Vec<hn::ScalableTag<T>> v,
                         T* HWY_RESTRICT to, size_t count) {
  if (count >= hn::Lanes(d)) {
    hn::StoreU(v, d, to);
  } else {
    HWY_ALIGN T lanes[hn::MaxLanes(d)];
    hn::Store(v, d, lanes);
    for (size_t i = 0; i < count; ++i) to[i] = lanes[i];
  }
}

template <int kVectors, typename T, size_t... I>
HWY_INLINE void ForwardTile(const ConvTilesArgs<T>& args, int64_t first,
                            std::index_sequence<I...> /*rows*/) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const int64_t* HWY_RESTRICT offsets = args.x_offsets + first;
  const T* HWY_RESTRICT const x[] = {args.x + offsets[I]...};
  const V bias0 = hn::LoadU(d, args.bias);
  V acc0[] = {((void)I, bias0)...};
  V acc1[sizeof...(I)];
  if constexpr (kVectors == 2) {
    const V bias1 = hn::LoadU(d, args.bias + lanes);
    ((acc1[I] = bias1), ...);
  }
  const T* HWY_RESTRICT w = args.w;
  const int64_t w_stride = args.w_stride;
  const int64_t length = args.run_length;
  for (int64_t r = 0; r < args.num_runs; ++r) {
    const int64_t begin = args.runs[r];
    const int64_t end = begin + length;
    for (int64_t k = begin; k < end; ++k, w += w_stride) {
      const V w0 = hn::LoadU(d, w);
      if constexpr (kVectors == 2) {
        const V w1 = hn::LoadU(d, w + lanes);
        const auto step = [&](const T* row, V& a0, V& a1) HWY_ATTR {
          const V v = hn::Set(d, row[k]);
          a0 = hn::MulAdd(v, w0, a0);
          a1 = hn::MulAdd(v, w1, a1);
        };
        (step(x[I], acc0[I], acc1[I]), ...);
      } else {
        // So many addresses fit into no registers; compilers then keep them in
        // vector registers, from where it is a long way. Read again from
        // memory they cost nothing: the table must look as if it changed.
        SEPTET_CONV_HIDE(offsets);
        const T* HWY_RESTRICT const row = args.x + k;
        ((acc0[I] = hn::MulAdd(hn::Set(d, row[offsets[I]]), w0, acc0[I])), ...);
      }
    }
  }
  const size_t columns = static_cast<size_t>(args.columns);
  T* HWY_RESTRICT const y = args.y;
  const int64_t* HWY_RESTRICT const to = args.y_offsets + first;
  if constexpr (kVectors == 2) {
    (hn::StoreU(acc0[I], d, y + to[I]), ...);
    (StoreRow(d, acc1[I], y + to[I] + lanes, columns - lanes), ...);
  } else {
    (StoreRow(d, acc0[I], y + to[I], columns), ...);
  }
}

template <int kVectors, typename T, size_t... I>
HWY_INLINE void WeightTile(const ConvWeightTilesArgs<T>& args,
                           const T* HWY_RESTRICT x, T* HWY_RESTRICT dw,
                           std::index_sequence<I...> /*rows*/) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const size_t width = kVectors * lanes;
  V acc0[] = {hn::LoadU(d, dw + I * width)...};
  V acc1[sizeof...(I)];
  if constexpr (kVectors == 2) {
    ((acc1[I] = hn::LoadU(d, dw + I * width + lanes)), ...);
  }
  const T* HWY_RESTRICT dy = args.dy;
  const int64_t* HWY_RESTRICT const offsets = args.x_offsets;
  const int64_t pixels = args.pixels;
  for (int64_t p = 0; p < pixels; ++p, dy += width) {
    const T* HWY_RESTRICT const row = x + offsets[p];
    const V v0 = hn::LoadU(d, dy);
    if constexpr (kVectors == 2) {
      const V v1 = hn::LoadU(d, dy + lanes);
      const auto step = [&](T value, V& a0, V& a1) HWY_ATTR {
        const V v = hn::Set(d, value);
        a0 = hn::MulAdd(v, v0, a0);
        a1 = hn::MulAdd(v, v1, a1);
      };
      (step(row[I], acc0[I], acc1[I]), ...);
    } else {
      ((acc0[I] = hn::MulAdd(hn::Set(d, row[I]), v0, acc0[I])), ...);
    }
  }
  (hn::StoreU(acc0[I], d, dw + I * width), ...);
  if constexpr (kVectors == 2) {
    (hn::StoreU(acc1[I], d, dw + I * width + lanes), ...);
  }
}

// The same for elements of the patch that lie at taps[0], taps[1], ... from the
// pixel's place: all of a small kernel over few channels, so that dy is read
// once and not once a run.
template <int kVectors, typename T, size_t... I>
HWY_INLINE void WeightTapTile(const ConvWeightTilesArgs<T>& args,
                              const int64_t* HWY_RESTRICT taps,
                              std::index_sequence<I...> /*taps*/) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const size_t width = kVectors * lanes;
  T* HWY_RESTRICT const dw = args.dw;
  V acc0[] = {hn::LoadU(d, dw + I * width)...};
  V acc1[sizeof...(I)];
  if constexpr (kVectors == 2) {
    ((acc1[I] = hn::LoadU(d, dw + I * width + lanes)), ...);
  }
  const T* HWY_RESTRICT dy = args.dy;
  const int64_t* HWY_RESTRICT const offsets = args.x_offsets;
  const int64_t pixels = args.pixels;
  for (int64_t p = 0; p < pixels; ++p, dy += width) {
    const T* HWY_RESTRICT const row = args.x + offsets[p];
    // As in ForwardTile: so many distances fit into no registers.
    SEPTET_CONV_HIDE(taps);
    const V v0 = hn::LoadU(d, dy);
    if constexpr (kVectors == 2) {
      const V v1 = hn::LoadU(d, dy + lanes);
      const auto step = [&](T value, V& a0, V& a1) HWY_ATTR {
        const V v = hn::Set(d, value);
        a0 = hn::MulAdd(v, v0, a0);
        a1 = hn::MulAdd(v, v1, a1);
      };
      (step(row[taps[I]], acc0[I], acc1[I]), ...);
    } else {
      ((acc0[I] = hn::MulAdd(hn::Set(d, row[taps[I]]), v0, acc0[I])), ...);
    }
  }
  (hn::StoreU(acc0[I], d, dw + I * width), ...);
  if constexpr (kVectors == 2) {
    (hn::StoreU(acc1[I], d, dw + I * width + lanes), ...);
  }
}

template <int kVectors, typename T, size_t kRows>
void ForwardRows(const ConvTilesArgs<T>& args, int64_t first) {
  ForwardTile<kVectors>(args, first, std::make_index_sequence<kRows>());
}
template <int kVectors, typename T, size_t kRows>
void WeightRows(const ConvWeightTilesArgs<T>& args, const T* x, T* dw) {
  WeightTile<kVectors>(args, x, dw, std::make_index_sequence<kRows>());
}

template <int kVectors, typename T, size_t kTaps>
void WeightTaps(const ConvWeightTilesArgs<T>& args, const int64_t* taps) {
  WeightTapTile<kVectors>(args, taps, std::make_index_sequence<kTaps>());
}

// All tiles, by tables of those of 1, 2, ... rows.
template <int kVectors, typename T, size_t... N>
void ForwardTiles(const ConvTilesArgs<T>& args,
                  std::index_sequence<N...> /*sizes*/) {
  using Rows = void (*)(const ConvTilesArgs<T>&, int64_t);
  static constexpr Rows kRows[] = {&ForwardRows<kVectors, T, N + 1>...};
  for (int64_t first = 0; first < args.pixels;) {
    const size_t rows =
        TileSize(static_cast<size_t>(args.pixels - first), sizeof...(N));
    kRows[rows - 1](args, first);
    first += static_cast<int64_t>(rows);
  }
}

template <int kVectors, typename T, size_t... N>
void WeightTiles(const ConvWeightTilesArgs<T>& args,
                 std::index_sequence<N...> /*sizes*/) {
  using Rows = void (*)(const ConvWeightTilesArgs<T>&, const T*, T*);
  static constexpr Rows kRows[] = {&WeightRows<kVectors, T, N + 1>...};
  constexpr int64_t kMost = sizeof...(N);
  if (args.num_runs > 1 && args.run_length <= kMost / args.num_runs) {
    using Taps = void (*)(const ConvWeightTilesArgs<T>&, const int64_t*);
    static constexpr Taps kTaps[] = {&WeightTaps<kVectors, T, N + 1>...};
    int64_t taps[kMost];
    int64_t count = 0;
    for (int64_t r = 0; r < args.num_runs; ++r) {
      for (int64_t k = 0; k < args.run_length; ++k) {
        taps[count++] = args.runs[r] + k;
      }
    }
    if (count > 0) kTaps[count - 1](args, taps);
    return;
  }
  const size_t width = kVectors * hn::Lanes(hn::ScalableTag<T>());
  T* dw = args.dw;
  for (int64_t r = 0; r < args.num_runs; ++r) {
    for (int64_t k = 0; k < args.run_length;) {
      const size_t rows =
          TileSize(static_cast<size_t>(args.run_length - k), sizeof...(N));
      kRows[rows - 1](args, args.x + args.runs[r] + k, dw);
      k += static_cast<int64_t>(rows);
      dw += rows * width;
    }
  }
}

template <typename T>
void Forward(const ConvTilesArgs<T>& args) {
  if (args.vectors == 2) {
    ForwardTiles<2>(args, std::make_index_sequence<kMaxTile<2>>());
  } else {
    ForwardTiles<1>(args, std::make_index_sequence<kMaxTile<1>>());
  }
}

template <typename T>
void Weights(const ConvWeightTilesArgs<T>& args) {
  if (args.vectors == 2) {
    WeightTiles<2>(args, std::make_index_sequence<kMaxTile<2>>());
  } else {
    WeightTiles<1>(args, std::make_index_sequence<kMaxTile<1>>());
  }
}

// Calls fn(tag, c) for vectors of channels, narrower ones at the end.
template <typename T, class Fn>
HWY_INLINE void ForChannels(int64_t channels, const Fn& fn) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) fn(d, c);
  const hn::CappedTag<T, 1> one;
  for (; c < channels; ++c) fn(one, c);
}

template <typename T>
void Depthwise(const DepthwiseArgs<T>& args) {
  for (int64_t p = 0; p < args.pixels; ++p) {
    const T* HWY_RESTRICT const x = args.x + args.x_offsets[p];
    T* HWY_RESTRICT const y = args.y + args.y_offsets[p];
    ForChannels<T>(args.channels, [&](auto d, int64_t c) HWY_ATTR {
      auto sum =
          args.bias == nullptr ? hn::Zero(d) : hn::LoadU(d, args.bias + c);
      for (int64_t t = 0; t < args.num_taps; ++t) {
        sum = hn::MulAdd(hn::LoadU(d, x + args.taps[t] + c),
                         hn::LoadU(d, args.w + t * args.channels + c), sum);
      }
      hn::StoreU(sum, d, y + c);
    });
  }
}

template <typename T>
void DepthwiseWeights(const DepthwiseWeightArgs<T>& args) {
  for (int64_t t = 0; t < args.num_taps; ++t) {
    const T* HWY_RESTRICT const x = args.x + args.taps[t];
    ForChannels<T>(args.channels, [&](auto d, int64_t c) HWY_ATTR {
      T* const dw = args.dw + t * args.channels + c;
      auto even = hn::LoadU(d, dw);
      auto odd = hn::Zero(d);
      const T* dy = args.dy + c;
      int64_t p = 0;
      for (; p + 2 <= args.pixels; p += 2, dy += 2 * args.channels) {
        even = hn::MulAdd(hn::LoadU(d, x + args.x_offsets[p] + c),
                          hn::LoadU(d, dy), even);
        odd = hn::MulAdd(hn::LoadU(d, x + args.x_offsets[p + 1] + c),
                         hn::LoadU(d, dy + args.channels), odd);
      }
      if (p < args.pixels) {
        even = hn::MulAdd(hn::LoadU(d, x + args.x_offsets[p] + c),
                          hn::LoadU(d, dy), even);
      }
      hn::StoreU(hn::Add(even, odd), d, dw);
    });
  }
}

int64_t LanesF32() {
  return static_cast<int64_t>(hn::Lanes(hn::ScalableTag<float>()));
}
int64_t LanesF64() {
  return static_cast<int64_t>(hn::Lanes(hn::ScalableTag<double>()));
}
void ForwardF32(const ConvTilesArgs<float>& args) { Forward(args); }
void ForwardF64(const ConvTilesArgs<double>& args) { Forward(args); }
void WeightsF32(const ConvWeightTilesArgs<float>& args) { Weights(args); }
void WeightsF64(const ConvWeightTilesArgs<double>& args) { Weights(args); }
void DepthwiseF32(const DepthwiseArgs<float>& args) { Depthwise(args); }
void DepthwiseF64(const DepthwiseArgs<double>& args) { Depthwise(args); }
void DepthwiseWeightsF32(const DepthwiseWeightArgs<float>& args) {
  DepthwiseWeights(args);
}
void DepthwiseWeightsF64(const DepthwiseWeightArgs<double>& args) {
  DepthwiseWeights(args);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(LanesF32);
HWY_EXPORT(LanesF64);
HWY_EXPORT(ForwardF32);
HWY_EXPORT(ForwardF64);
HWY_EXPORT(WeightsF32);
HWY_EXPORT(WeightsF64);
HWY_EXPORT(DepthwiseF32);
HWY_EXPORT(DepthwiseF64);
HWY_EXPORT(DepthwiseWeightsF32);
HWY_EXPORT(DepthwiseWeightsF64);

template <>
int64_t ConvLanes<float>() {
  return HWY_DYNAMIC_DISPATCH(LanesF32)();
}
template <>
int64_t ConvLanes<double>() {
  return HWY_DYNAMIC_DISPATCH(LanesF64)();
}
void ConvTiles(const ConvTilesArgs<float>& args) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)(args);
}
void ConvTiles(const ConvTilesArgs<double>& args) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)(args);
}
void ConvWeightTiles(const ConvWeightTilesArgs<float>& args) {
  HWY_DYNAMIC_DISPATCH(WeightsF32)(args);
}
void ConvWeightTiles(const ConvWeightTilesArgs<double>& args) {
  HWY_DYNAMIC_DISPATCH(WeightsF64)(args);
}
void DepthwiseTiles(const DepthwiseArgs<float>& args) {
  HWY_DYNAMIC_DISPATCH(DepthwiseF32)(args);
}
void DepthwiseTiles(const DepthwiseArgs<double>& args) {
  HWY_DYNAMIC_DISPATCH(DepthwiseF64)(args);
}
void DepthwiseWeightTiles(const DepthwiseWeightArgs<float>& args) {
  HWY_DYNAMIC_DISPATCH(DepthwiseWeightsF32)(args);
}
void DepthwiseWeightTiles(const DepthwiseWeightArgs<double>& args) {
  HWY_DYNAMIC_DISPATCH(DepthwiseWeightsF64)(args);
}

}  // namespace septet
#endif  // HWY_ONCE
