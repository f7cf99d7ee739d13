// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/group_norm_kernels.h"
#include "septet/core/ops/reduce_tree.h"
#include "septet/core/ops/store_mode.h"

#ifndef SEPTET_CORE_OPS_GROUP_NORM_WIDTH_
#define SEPTET_CORE_OPS_GROUP_NORM_WIDTH_
namespace septet {
namespace {

// Elements of a row of whole positions: few channels go several positions at a
// time, so that rows are some vectors long.
constexpr int64_t kMinWidth = 128;

int64_t WidthOf(const GroupNormShape& shape) {
  const int64_t repeats =
      std::clamp<int64_t>(kMinWidth / shape.channels, 1, shape.positions);
  return repeats * shape.channels;
}

// What a channel has in the workspace, at each of its places in a row.
enum Slot { kMean, kRstd, kScale, kBias, kSums, kMoreSums, kNumSlots };

}  // namespace
}  // namespace septet
#endif  // SEPTET_CORE_OPS_GROUP_NORM_WIDTH_

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/group_norm_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/norm_rows-inl.h"
#include "septet/core/ops/reduce-inl.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

// One sample, positions x channels elements, seen as rows of `width` elements,
// the last of which may be shorter.
template <typename T>
struct Sample {
  size_t elements;
  size_t width;
  size_t channels;
  size_t groups;
  T* workspace;    // [kNumSlots, width]
  double* totals;  // [2, width]

  T* slot(Slot which) const {
    return workspace + static_cast<size_t>(which) * width;
  }
  double group_size() const {
    return static_cast<double>(elements) / static_cast<double>(groups);
  }

  // Sets what a group has, of [groups], at the places of its channels.
  void SpreadGroups(const T* per_group, Slot which) const {
    const size_t size = channels / groups;
    T* to = slot(which);
    for (size_t g = 0, c = 0; g < groups; ++g) {
      for (size_t k = 0; k < size; ++k, ++c) to[c] = per_group[g];
    }
    Repeat(to);
  }
  // The same of [channels]; `absent` where it is null.
  void SpreadChannels(const T* per_channel, T absent, Slot which) const {
    T* to = slot(which);
    for (size_t c = 0; c < channels; ++c) {
      to[c] = per_channel == nullptr ? absent : per_channel[c];
    }
    Repeat(to);
  }
  void Repeat(T* to) const {
    for (size_t c = channels; c < width; ++c) to[c] = to[c - channels];
  }

  // Calls add(i, w, count) for the vectors of the sample: `count` elements from
  // i, which stand in columns from w, to be added to the `sums` slots from
  // kSums on at w. Then total t has in its columns the sums over all rows.
  template <class Add>
  HWY_INLINE void SumColumns(size_t sums, const Add& add) const {
    const hn::ScalableTag<T> d;
    const size_t lanes = hn::Lanes(d);
    T* partial = slot(kSums);
    std::fill_n(partial, sums * width, T{0});
    std::fill_n(totals, sums * width, 0.0);
    size_t rows = 0;
    for (size_t begin = 0; begin < elements; begin += width) {
      const size_t columns = HWY_MIN(width, elements - begin);
      size_t w = 0;
      for (; w + lanes <= columns; w += lanes) add(begin + w, w, lanes);
      if (w < columns) add(begin + w, w, columns - w);
      if (++rows == kReduceColumnBlock || begin + columns == elements) {
        for (size_t k = 0; k < sums * width; ++k) {
          totals[k] += static_cast<double>(partial[k]);
          partial[k] = T{0};
        }
        rows = 0;
      }
    }
  }

  // The columns of total `t`, times what a channel has in `weight` (which may
  // be null), added up for group g.
  double GroupSum(size_t t, size_t g, const T* weight) const {
    const size_t size = channels / groups;
    const double* total = totals + t * width;
    double sum = 0;
    for (size_t begin = g * size; begin < width; begin += channels) {
      for (size_t c = begin; c < begin + size; ++c) {
        sum += weight == nullptr ? total[c]
                                 : total[c] * static_cast<double>(weight[c]);
      }
    }
    return sum;
  }
};

template <typename T>
Sample<T> SampleOf(const GroupNormShape& shape, T* workspace, double* totals) {
  return {static_cast<size_t>(shape.positions * shape.channels),
          static_cast<size_t>(WidthOf(shape)),
          static_cast<size_t>(shape.channels),
          static_cast<size_t>(shape.groups),
          workspace,
          totals};
}

template <typename T>
HWY_INLINE void AddTo(T* HWY_RESTRICT sums, hn::Vec<hn::ScalableTag<T>> v,
                      size_t count) {
  const hn::ScalableTag<T> d;
  StoreSome(d, hn::Add(LoadSome(d, sums, count), v), sums, count);
}

template <typename T>
void ForwardSample(const Sample<T>& sample, const T* x, const T* scale,
                   const T* bias, T eps, T* y, T* mean, T* rstd,
                   StoreMode mode) {
  const hn::ScalableTag<T> d;
  const double size = sample.group_size();
  T* sums = sample.slot(kSums);
  sample.SumColumns(1, [=](size_t i, size_t w, size_t count) SEPTET_LAMBDA {
    AddTo(sums + w, LoadSome(d, x + i, count), count);
  });
  for (size_t g = 0; g < sample.groups; ++g) {
    mean[g] = static_cast<T>(sample.GroupSum(0, g, nullptr) / size);
  }
  sample.SpreadGroups(mean, kMean);
  const T* means = sample.slot(kMean);
  sample.SumColumns(1, [=](size_t i, size_t w, size_t count) SEPTET_LAMBDA {
    const auto v =
        hn::Sub(LoadSome(d, x + i, count), LoadSome(d, means + w, count));
    AddTo(sums + w, hn::Mul(v, v), count);
  });
  for (size_t g = 0; g < sample.groups; ++g) {
    const T variance = static_cast<T>(sample.GroupSum(0, g, nullptr) / size);
    rstd[g] = T{1} / std::sqrt(variance + eps);
  }
  sample.SpreadGroups(rstd, kRstd);
  const T* rstds = sample.slot(kRstd);
  const T* scales = sample.slot(kScale);
  const T* biases = sample.slot(kBias);
  for (size_t begin = 0; begin < sample.elements; begin += sample.width) {
    const T* row = x + begin;
    StoreLoop(d, HWY_MIN(sample.width, sample.elements - begin), y + begin,
              mode, [=](size_t w, size_t count) SEPTET_LAMBDA {
                auto v = hn::Mul(hn::Sub(LoadSome(d, row + w, count),
                                         LoadSome(d, means + w, count)),
                                 LoadSome(d, rstds + w, count));
                if (scale != nullptr)
                  v = hn::Mul(v, LoadSome(d, scales + w, count));
                if (bias != nullptr)
                  v = hn::Add(v, LoadSome(d, biases + w, count));
                return v;
              });
  }
}

template <typename T>
void Forward(const GroupNormShape& shape, const T* x, const T* scale,
             const T* bias, T eps, T* y, T* mean, T* rstd, T* workspace,
             double* totals, StoreMode mode) {
  const auto groups = static_cast<size_t>(shape.groups);
  if (shape.positions == 1) {
    NormForward<true>(static_cast<size_t>(shape.samples) * groups, groups,
                      static_cast<size_t>(shape.channels) / groups, x, scale,
                      bias, eps, y, mean, rstd, mode);
    return;
  }
  const Sample<T> sample = SampleOf(shape, workspace, totals);
  sample.SpreadChannels(scale, T{1}, kScale);
  sample.SpreadChannels(bias, T{0}, kBias);
  for (int64_t s = 0; s < shape.samples; ++s) {
    ForwardSample(sample, x, scale, bias, eps, y, mean, rstd, mode);
    x += sample.elements;
    y += sample.elements;
    mean += groups;
    rstd += groups;
  }
  EndStores(mode);
}

template <typename T>
void BackwardSample(const Sample<T>& sample, const T* x, const T* mean,
                    const T* rstd, const T* dy, T* dx, double* dparameters,
                    StoreMode mode) {
  const hn::ScalableTag<T> d;
  sample.SpreadGroups(mean, kMean);
  sample.SpreadGroups(rstd, kRstd);
  const T* means = sample.slot(kMean);
  const T* rstds = sample.slot(kRstd);
  const T* scales = sample.slot(kScale);
  T* sums = sample.slot(kSums);
  T* more_sums = sample.slot(kMoreSums);
  sample.SumColumns(2, [=](size_t i, size_t w, size_t count) SEPTET_LAMBDA {
    const auto u = hn::Mul(
        hn::Sub(LoadSome(d, x + i, count), LoadSome(d, means + w, count)),
        LoadSome(d, rstds + w, count));
    const auto v = LoadSome(d, dy + i, count);
    AddTo(sums + w, hn::Mul(v, u), count);
    AddTo(more_sums + w, v, count);
  });
  if (dparameters != nullptr) {
    for (size_t t = 0; t < 2; ++t) {
      double* to = dparameters + t * sample.channels;
      for (size_t begin = 0; begin < sample.width; begin += sample.channels) {
        for (size_t c = 0; c < sample.channels; ++c) {
          to[c] += sample.totals[t * sample.width + begin + c];
        }
      }
    }
  }
  if (dx == nullptr) return;
  // The sums have been taken: their slots hold mean(g u) and mean(g).
  const double size = sample.group_size();
  const size_t per_group = sample.channels / sample.groups;
  for (size_t g = 0; g < sample.groups; ++g) {
    const T mean_gu = static_cast<T>(sample.GroupSum(0, g, scales) / size);
    const T mean_g = static_cast<T>(sample.GroupSum(1, g, scales) / size);
    std::fill_n(sums + g * per_group, per_group, mean_gu);
    std::fill_n(more_sums + g * per_group, per_group, mean_g);
  }
  sample.Repeat(sums);
  sample.Repeat(more_sums);
  for (size_t begin = 0; begin < sample.elements; begin += sample.width) {
    const T* row_x = x + begin;
    const T* row_dy = dy + begin;
    StoreLoop(d, HWY_MIN(sample.width, sample.elements - begin), dx + begin,
              mode, [=](size_t w, size_t count) SEPTET_LAMBDA {
                const auto r = LoadSome(d, rstds + w, count);
                const auto u = hn::Mul(hn::Sub(LoadSome(d, row_x + w, count),
                                               LoadSome(d, means + w, count)),
                                       r);
                const auto g = hn::Mul(LoadSome(d, row_dy + w, count),
                                       LoadSome(d, scales + w, count));
                const auto v =
                    hn::Sub(hn::Sub(g, LoadSome(d, more_sums + w, count)),
                            hn::Mul(u, LoadSome(d, sums + w, count)));
                return hn::Mul(v, r);
              });
  }
}

template <typename T>
void Backward(const GroupNormShape& shape, const T* x, const T* scale,
              const T* mean, const T* rstd, const T* dy, T* dx,
              double* dparameters, T* workspace, double* totals,
              StoreMode mode) {
  const auto groups = static_cast<size_t>(shape.groups);
  const auto channels = static_cast<size_t>(shape.channels);
  if (shape.positions == 1) {
    T* dscale = nullptr;
    T* dbias = nullptr;
    if (dparameters != nullptr) {
      dscale = workspace;
      dbias = workspace + channels;
      std::fill_n(workspace, 2 * channels, T{0});
    }
    NormBackward<true>(static_cast<size_t>(shape.samples) * groups, groups,
                       channels / groups, x, scale, mean, rstd, dy, dx, dscale,
                       dbias, workspace + 2 * channels, mode);
    if (dparameters != nullptr) {
      for (size_t c = 0; c < 2 * channels; ++c) {
        dparameters[c] += static_cast<double>(workspace[c]);
      }
    }
    return;
  }
  const Sample<T> sample = SampleOf(shape, workspace, totals);
  sample.SpreadChannels(scale, T{1}, kScale);
  for (int64_t s = 0; s < shape.samples; ++s) {
    BackwardSample(sample, x, mean, rstd, dy, dx, dparameters, mode);
    x += sample.elements;
    dy += sample.elements;
    if (dx != nullptr) dx += sample.elements;
    mean += groups;
    rstd += groups;
  }
  EndStores(mode);
}

void ForwardF32(const GroupNormShape& shape, const float* x, const float* scale,
                const float* bias, float eps, float* y, float* mean,
                float* rstd, float* workspace, double* totals, StoreMode mode) {
  Forward(shape, x, scale, bias, eps, y, mean, rstd, workspace, totals, mode);
}
void ForwardF64(const GroupNormShape& shape, const double* x,
                const double* scale, const double* bias, double eps, double* y,
                double* mean, double* rstd, double* workspace, double* totals,
                StoreMode mode) {
  Forward(shape, x, scale, bias, eps, y, mean, rstd, workspace, totals, mode);
}
void BackwardF32(const GroupNormShape& shape, const float* x,
                 const float* scale, const float* mean, const float* rstd,
                 const float* dy, float* dx, double* dparameters,
                 float* workspace, double* totals, StoreMode mode) {
  Backward(shape, x, scale, mean, rstd, dy, dx, dparameters, workspace, totals,
           mode);
}
void BackwardF64(const GroupNormShape& shape, const double* x,
                 const double* scale, const double* mean, const double* rstd,
                 const double* dy, double* dx, double* dparameters,
                 double* workspace, double* totals, StoreMode mode) {
  Backward(shape, x, scale, mean, rstd, dy, dx, dparameters, workspace, totals,
           mode);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(ForwardF32);
HWY_EXPORT(ForwardF64);
HWY_EXPORT(BackwardF32);
HWY_EXPORT(BackwardF64);

int64_t GroupNormWorkspace(const GroupNormShape& shape) {
  if (shape.positions > 1) return kNumSlots * WidthOf(shape);
  const int64_t block = static_cast<int64_t>(kReduceColumnBlock);
  int64_t blocks = (shape.samples + block - 1) / block;
  int64_t levels = 2;  // one in work beside each that waits
  for (; blocks > 1; blocks /= 2) ++levels;
  // And dscale and dbias before they are added.
  return (levels + 1) * 2 * shape.channels;
}

int64_t GroupNormTotals(const GroupNormShape& shape) {
  return shape.positions > 1 ? 2 * WidthOf(shape) : 0;
}

void GroupNormForward(const GroupNormShape& shape, const float* x,
                      const float* scale, const float* bias, float eps,
                      float* y, float* mean, float* rstd, float* workspace,
                      double* totals, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)
  (shape, x, scale, bias, eps, y, mean, rstd, workspace, totals, mode);
}
void GroupNormForward(const GroupNormShape& shape, const double* x,
                      const double* scale, const double* bias, double eps,
                      double* y, double* mean, double* rstd, double* workspace,
                      double* totals, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)
  (shape, x, scale, bias, eps, y, mean, rstd, workspace, totals, mode);
}

void GroupNormBackward(const GroupNormShape& shape, const float* x,
                       const float* scale, const float* mean, const float* rstd,
                       const float* dy, float* dx, double* dparameters,
                       float* workspace, double* totals, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)
  (shape, x, scale, mean, rstd, dy, dx, dparameters, workspace, totals, mode);
}
void GroupNormBackward(const GroupNormShape& shape, const double* x,
                       const double* scale, const double* mean,
                       const double* rstd, const double* dy, double* dx,
                       double* dparameters, double* workspace, double* totals,
                       StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)
  (shape, x, scale, mean, rstd, dy, dx, dparameters, workspace, totals, mode);
}

}  // namespace septet
#endif  // HWY_ONCE
