// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/core/blas/pool_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/blas/pool_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// Calls fn(tag, c) for vectors of channels, and for single ones at the end.
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
void Max(const PoolWindow<T>& window, int64_t first_place, int64_t place_stride,
         T* y, int64_t* argmax) {
  const T* const data = window.data;
  ForChannels<T>(window.channels, [&](auto d, int64_t c) HWY_ATTR {
    using D = decltype(d);
    const hn::RebindToSigned<D> di;
    using I = hn::TFromD<decltype(di)>;
    auto best = hn::LoadU(d, data + c);
    auto place = hn::Set(di, static_cast<I>(first_place));
    for (int64_t i = 0; i < window.rows; ++i) {
      const T* pixel = data + i * window.row_stride + c;
      for (int64_t j = 0; j < window.cols; ++j, pixel += window.channels) {
        const auto v = hn::LoadU(d, pixel);
        const auto wins = hn::Or(hn::Gt(v, best), hn::IsNaN(v));
        best = hn::IfThenElse(wins, v, best);
        place = hn::IfThenElse(
            hn::RebindMask(di, wins),
            hn::Set(di, static_cast<I>(first_place + i * place_stride + j)),
            place);
      }
    }
    hn::StoreU(best, d, y + c);
    if (argmax != nullptr) {
      HWY_ALIGN I places[hn::MaxLanes(di)];
      hn::Store(place, di, places);
      for (size_t k = 0; k < hn::Lanes(di); ++k) argmax[c + k] = places[k];
    }
  });
}

// Places as integers of T's size: 0..255, exact in both directions.
template <class D, class DI = hn::RebindToUnsigned<D>>
HWY_INLINE hn::Vec<DI> LoadPlaces(D /*d*/, const uint8_t* from) {
  const DI di;
  if constexpr (sizeof(hn::TFromD<D>) == 4) {
    return hn::PromoteTo(di, hn::LoadU(hn::Rebind<uint8_t, D>(), from));
  } else {
    const hn::Rebind<uint32_t, D> narrow;
    return hn::PromoteTo(
        di, hn::PromoteTo(narrow, hn::LoadU(hn::Rebind<uint8_t, D>(), from)));
  }
}

template <typename T>
void MaxRelu(const PoolRow<T>& row, T* HWY_RESTRICT y,
             uint8_t* HWY_RESTRICT winner) {
  for (int64_t j = 0; j < row.windows; ++j) {
    const T* HWY_RESTRICT const window = row.x + j * row.cols * row.channels;
    ForChannels<T>(row.channels, [&](auto d, int64_t c) HWY_ATTR {
      using D = decltype(d);
      const hn::RebindToUnsigned<D> di;
      using I = hn::TFromD<decltype(di)>;
      auto best = hn::LoadU(d, window + c);
      auto place = hn::Zero(di);
      I next = 0;
      for (int64_t a = 0; a < row.rows; ++a) {
        const T* pixel = window + a * row.row_stride + c;
        for (int64_t b = 0; b < row.cols; ++b, ++next, pixel += row.channels) {
          const auto v = hn::LoadU(d, pixel);
          const auto wins = hn::Or(hn::Gt(v, best), hn::IsNaN(v));
          best = hn::IfThenElse(wins, v, best);
          place = hn::IfThenElse(hn::RebindMask(di, wins), hn::Set(di, next),
                                 place);
        }
      }
      // As in ReLU: a NaN is not at or below 0.
      const auto none = hn::Le(best, hn::Zero(d));
      hn::StoreU(hn::IfThenZeroElse(none, best), d, y + c);
      place = hn::IfThenElse(hn::RebindMask(di, none),
                             hn::Set(di, I{kNoPoolWinner}), place);
      const hn::Rebind<uint8_t, D> d8;
      hn::StoreU(hn::TruncateTo(d8, place), d8, winner + c);
    });
    y += row.channels;
    winner += row.channels;
  }
}

template <typename T>
void Spread(const PoolSpread<T>& args) {
  T* to = args.x;
  int64_t j = args.begin / args.cols;
  int64_t b = args.begin % args.cols;
  for (int64_t p = args.begin; p < args.end; ++p, to += args.stride) {
    if (j >= args.windows) {
      ForChannels<T>(args.channels, [&](auto d, int64_t c) HWY_ATTR {
        hn::StoreU(hn::Zero(d), d, to + c);
      });
      continue;
    }
    const T* HWY_RESTRICT const dy = args.dy + j * args.channels;
    const uint8_t* HWY_RESTRICT const winner = args.winner + j * args.channels;
    ForChannels<T>(args.channels, [&](auto d, int64_t c) HWY_ATTR {
      const hn::RebindToUnsigned<decltype(d)> di;
      using I = hn::TFromD<decltype(di)>;
      const auto here =
          hn::Eq(LoadPlaces(d, winner + c),
                 hn::Set(di, static_cast<I>(args.first_place + b)));
      hn::StoreU(
          hn::IfThenElseZero(hn::RebindMask(d, here), hn::LoadU(d, dy + c)), d,
          to + c);
    });
    if (++b == args.cols) {
      b = 0;
      ++j;
    }
  }
}

template <typename T>
void Average(const PoolWindow<T>& window, T count, T* y) {
  ForChannels<T>(window.channels, [&](auto d, int64_t c) HWY_ATTR {
    auto sum = hn::Zero(d);
    for (int64_t i = 0; i < window.rows; ++i) {
      const T* pixel = window.data + i * window.row_stride + c;
      auto row = hn::LoadU(d, pixel);
      for (int64_t j = 1; j < window.cols; ++j) {
        pixel += window.channels;
        row = hn::Add(row, hn::LoadU(d, pixel));
      }
      sum = hn::Add(sum, row);
    }
    hn::StoreU(hn::Div(sum, hn::Set(d, count)), d, y + c);
  });
}

template <typename T>
void AddQuotient(int64_t channels, const T* x, T count, T* y) {
  ForChannels<T>(channels, [&](auto d, int64_t c) HWY_ATTR {
    hn::StoreU(hn::Add(hn::LoadU(d, y + c),
                       hn::Div(hn::LoadU(d, x + c), hn::Set(d, count))),
               d, y + c);
  });
}

void MaxF32(const PoolWindow<float>& window, int64_t first_place,
            int64_t place_stride, float* y, int64_t* argmax) {
  Max(window, first_place, place_stride, y, argmax);
}
void MaxF64(const PoolWindow<double>& window, int64_t first_place,
            int64_t place_stride, double* y, int64_t* argmax) {
  Max(window, first_place, place_stride, y, argmax);
}
void AverageF32(const PoolWindow<float>& window, float count, float* y) {
  Average(window, count, y);
}
void AverageF64(const PoolWindow<double>& window, double count, double* y) {
  Average(window, count, y);
}
void AddQuotientF32(int64_t channels, const float* x, float count, float* y) {
  AddQuotient(channels, x, count, y);
}
void AddQuotientF64(int64_t channels, const double* x, double count,
                    double* y) {
  AddQuotient(channels, x, count, y);
}
void MaxReluF32(const PoolRow<float>& row, float* y, uint8_t* winner) {
  MaxRelu(row, y, winner);
}
void MaxReluF64(const PoolRow<double>& row, double* y, uint8_t* winner) {
  MaxRelu(row, y, winner);
}
void SpreadF32(const PoolSpread<float>& args) { Spread(args); }
void SpreadF64(const PoolSpread<double>& args) { Spread(args); }

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(MaxF32);
HWY_EXPORT(MaxF64);
HWY_EXPORT(AverageF32);
HWY_EXPORT(AverageF64);
HWY_EXPORT(AddQuotientF32);
HWY_EXPORT(AddQuotientF64);
HWY_EXPORT(MaxReluF32);
HWY_EXPORT(MaxReluF64);
HWY_EXPORT(SpreadF32);
HWY_EXPORT(SpreadF64);

void PoolMax(const PoolWindow<float>& window, int64_t first_place,
             int64_t place_stride, float* y, int64_t* argmax) {
  HWY_DYNAMIC_DISPATCH(MaxF32)(window, first_place, place_stride, y, argmax);
}
void PoolMax(const PoolWindow<double>& window, int64_t first_place,
             int64_t place_stride, double* y, int64_t* argmax) {
  HWY_DYNAMIC_DISPATCH(MaxF64)(window, first_place, place_stride, y, argmax);
}
void PoolAverage(const PoolWindow<float>& window, float count, float* y) {
  HWY_DYNAMIC_DISPATCH(AverageF32)(window, count, y);
}
void PoolAverage(const PoolWindow<double>& window, double count, double* y) {
  HWY_DYNAMIC_DISPATCH(AverageF64)(window, count, y);
}
void PoolAddQuotient(int64_t channels, const float* x, float count, float* y) {
  HWY_DYNAMIC_DISPATCH(AddQuotientF32)(channels, x, count, y);
}
void PoolAddQuotient(int64_t channels, const double* x, double count,
                     double* y) {
  HWY_DYNAMIC_DISPATCH(AddQuotientF64)(channels, x, count, y);
}
void PoolMaxRelu(const PoolRow<float>& row, float* y, uint8_t* winner) {
  HWY_DYNAMIC_DISPATCH(MaxReluF32)(row, y, winner);
}
void PoolMaxRelu(const PoolRow<double>& row, double* y, uint8_t* winner) {
  HWY_DYNAMIC_DISPATCH(MaxReluF64)(row, y, winner);
}
void PoolSpreadRow(const PoolSpread<float>& args) {
  HWY_DYNAMIC_DISPATCH(SpreadF32)(args);
}
void PoolSpreadRow(const PoolSpread<double>& args) {
  HWY_DYNAMIC_DISPATCH(SpreadF64)(args);
}

}  // namespace septet
#endif  // HWY_ONCE
