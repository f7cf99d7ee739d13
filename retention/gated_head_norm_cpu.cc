// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "septet/retention/gated_head_norm_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "retention/gated_head_norm_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/activation-inl.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

// Sum of op(i, count) over the vectors of n elements, whose lanes from `count`
// on are 0.
template <typename T, class Op>
HWY_INLINE T SumVectors(size_t n, const Op& op) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  auto sum = hn::Zero(d);
  for (size_t i = 0; i < n; i += lanes) {
    sum = hn::Add(sum, op(i, std::min(lanes, n - i)));
  }
  return hn::GetLane(hn::SumOfLanes(d, sum));
}

// u = (o - mean) rstd.
template <typename T>
struct RowMoments {
  T mean;
  T rstd;
};
template <typename T>
HWY_INLINE RowMoments<T> MomentsOf(const GatedHeadNormProblem<T>& p,
                                   const T* o) {
  const hn::ScalableTag<T> d;
  const size_t n = static_cast<size_t>(p.width);
  const T size = static_cast<T>(p.width);
  RowMoments<T> m{T{0}, T{1}};
  if (p.norm == HeadNorm::kNone) return m;
  if (p.norm == HeadNorm::kLayer) {
    m.mean = SumVectors<T>(
                 n, [&](size_t i, size_t count)
                        SEPTET_LAMBDA { return LoadSome(d, o + i, count); }) /
             size;
  }
  const auto mean = hn::Set(d, m.mean);
  const T square = SumVectors<T>(n, [&](size_t i, size_t count) SEPTET_LAMBDA {
    auto v = hn::Sub(LoadSome(d, o + i, count), mean);
    if (count < hn::Lanes(d)) v = hn::IfThenElseZero(hn::FirstN(d, count), v);
    return hn::Mul(v, v);
  });
  m.rstd = T{1} / std::sqrt(square / size + p.eps);
  return m;
}

template <typename T>
void ForwardRows(const GatedHeadNormProblem<T>& p, int64_t begin, int64_t end,
                 T* y) {
  const hn::ScalableTag<T> d;
  const size_t n = static_cast<size_t>(p.width);
  const size_t lanes = hn::Lanes(d);
  for (int64_t r = begin; r < end; ++r) {
    const T* const o = p.o + r * p.width;
    const T* const gate = p.gate == nullptr ? nullptr : p.gate + r * p.width;
    T* const to = y + r * p.width;
    const RowMoments<T> m = MomentsOf(p, o);
    const auto mean = hn::Set(d, m.mean);
    const auto rstd = hn::Set(d, m.rstd);
    for (size_t i = 0; i < n; i += lanes) {
      const size_t count = std::min(lanes, n - i);
      auto v = hn::Mul(hn::Sub(LoadSome(d, o + i, count), mean), rstd);
      if (p.weight != nullptr) {
        v = hn::Mul(v, LoadSome(d, p.weight + i, count));
      }
      if (gate != nullptr) {
        const auto g = LoadSome(d, gate + i, count);
        v = hn::Mul(v, ActivationValue<ActivationKind::kSwish>(d, g));
      }
      StoreSome(d, v, to + i, count);
    }
  }
}

// With s = swish(gate), h = dy s weight, u the normalised row:
//   dgate = dy u weight swish'(gate),  dweight = sum dy s u,
//   do = rstd (h - u mean(h u) - mean(h)), the last for kLayer alone.
template <typename T>
void BackwardRows(const GatedHeadNormProblem<T>& p,
                  const GatedHeadNormGradient<T>& gradient, int64_t begin,
                  int64_t end) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t n = static_cast<size_t>(p.width);
  const size_t lanes = hn::Lanes(d);
  const T size = static_cast<T>(p.width);
  if (gradient.dweight != nullptr) std::fill_n(gradient.dweight, n, T{0});
  for (int64_t r = begin; r < end; ++r) {
    const size_t at = static_cast<size_t>(r) * n;
    const T* const o = p.o + at;
    const T* const dy = gradient.dy + at;
    const RowMoments<T> m = MomentsOf(p, o);
    const V mean = hn::Set(d, m.mean), rstd = hn::Set(d, m.rstd);
    V product = hn::Zero(d), plain = hn::Zero(d);
    for (size_t i = 0; i < n; i += lanes) {
      const size_t count = std::min(lanes, n - i);
      const V cotangent = LoadSome(d, dy + i, count);
      V u = hn::Mul(hn::Sub(LoadSome(d, o + i, count), mean), rstd);
      V h = cotangent;
      if (p.gate != nullptr) {
        const V g = LoadSome(d, p.gate + at + i, count);
        V sigmoid, complement;
        SigmoidPair(d, g, &sigmoid, &complement);
        h = hn::Mul(h, hn::Mul(g, sigmoid));
        if (gradient.dgate != nullptr) {
          V scaled = hn::Mul(cotangent, u);
          if (p.weight != nullptr) {
            scaled = hn::Mul(scaled, LoadSome(d, p.weight + i, count));
          }
          // As in ActivationSlope: 0 times infinity far out is 0.
          const V limit = hn::Set(d, T{sizeof(T) == 4 ? 110 : 800});
          const V bounded =
              hn::IfThenElse(hn::Gt(hn::Abs(g), limit), hn::Zero(d), g);
          const V slope = hn::Mul(
              sigmoid, hn::MulAdd(bounded, complement, hn::Set(d, T{1})));
          StoreSome(d, hn::Mul(scaled, slope), gradient.dgate + at + i, count);
        }
      }
      if (gradient.dweight != nullptr) {
        StoreSome(d, hn::MulAdd(h, u, LoadSome(d, gradient.dweight + i, count)),
                  gradient.dweight + i, count);
      }
      if (p.weight != nullptr) {
        h = hn::Mul(h, LoadSome(d, p.weight + i, count));
      }
      if (gradient.d_o != nullptr) {
        StoreSome(d, h, gradient.d_o + at + i, count);
      }
      if (count < lanes) {
        h = hn::IfThenElseZero(hn::FirstN(d, count), h);
        u = hn::IfThenElseZero(hn::FirstN(d, count), u);
      }
      product = hn::MulAdd(h, u, product);
      plain = hn::Add(plain, h);
    }
    if (gradient.d_o == nullptr || p.norm == HeadNorm::kNone) continue;
    const V of_u = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, product)) / size);
    const V of_one =
        p.norm == HeadNorm::kLayer
            ? hn::Set(d, hn::GetLane(hn::SumOfLanes(d, plain)) / size)
            : hn::Zero(d);
    T* const to = gradient.d_o + at;
    for (size_t i = 0; i < n; i += lanes) {
      const size_t count = std::min(lanes, n - i);
      const V u = hn::Mul(hn::Sub(LoadSome(d, o + i, count), mean), rstd);
      const V h = hn::Sub(LoadSome(d, to + i, count), of_one);
      StoreSome(d, hn::Mul(rstd, hn::NegMulAdd(u, of_u, h)), to + i, count);
    }
  }
}

void ForwardF32(const GatedHeadNormProblem<float>& p, int64_t begin,
                int64_t end, float* y) {
  ForwardRows(p, begin, end, y);
}
void ForwardF64(const GatedHeadNormProblem<double>& p, int64_t begin,
                int64_t end, double* y) {
  ForwardRows(p, begin, end, y);
}
void BackwardF32(const GatedHeadNormProblem<float>& p,
                 const GatedHeadNormGradient<float>& gradient, int64_t begin,
                 int64_t end) {
  BackwardRows(p, gradient, begin, end);
}
void BackwardF64(const GatedHeadNormProblem<double>& p,
                 const GatedHeadNormGradient<double>& gradient, int64_t begin,
                 int64_t end) {
  BackwardRows(p, gradient, begin, end);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {
namespace {
HWY_EXPORT(ForwardF32);
HWY_EXPORT(ForwardF64);
HWY_EXPORT(BackwardF32);
HWY_EXPORT(BackwardF64);
}  // namespace

void GatedHeadNormForward(const GatedHeadNormProblem<float>& p, int64_t begin,
                          int64_t end, float* y) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)(p, begin, end, y);
}
void GatedHeadNormForward(const GatedHeadNormProblem<double>& p, int64_t begin,
                          int64_t end, double* y) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)(p, begin, end, y);
}
void GatedHeadNormBackward(const GatedHeadNormProblem<float>& p,
                           const GatedHeadNormGradient<float>& gradient,
                           int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)(p, gradient, begin, end);
}
void GatedHeadNormBackward(const GatedHeadNormProblem<double>& p,
                           const GatedHeadNormGradient<double>& gradient,
                           int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)(p, gradient, begin, end);
}

}  // namespace septet
#endif  // HWY_ONCE
