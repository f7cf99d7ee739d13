// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/retention/linear_attention_kernels.h"
#include "septet/retention/retention_problem.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "retention/linear_attention_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/simd-inl.h"
#include "septet/core/ops/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

// Rows whose keys are added up before they go into the sum of all: both sums
// then have about the same number of terms at 4096 rows.
constexpr int64_t kSumRows = 64;

// elu(x) + 1: x + 1 where x > 0, else exp(x).
template <class D, class V>
HWY_INLINE V Feature(D d, V x) {
  using T = hn::TFromD<D>;
  const V zero = hn::Zero(d);
  const auto positive = hn::Gt(x, zero);  // not where x is NaN
  const V e = VecExpNonPositive(d, hn::IfThenElse(positive, zero, x));
  return hn::IfThenElse(positive, hn::Add(x, hn::Set(d, T{1})), e);
}
// Its derivative at x, given its value: 1 where x > 0, else exp(x).
template <class D, class V>
HWY_INLINE V FeatureSlope(D d, V x, V value) {
  using T = hn::TFromD<D>;
  return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), hn::Set(d, T{1}), value);
}

// v, with 0 behind the first `count` lanes.
template <class D, class V>
HWY_INLINE V OnlyFirst(D d, V v, size_t count) {
  return count == hn::Lanes(d) ? v
                               : hn::IfThenElseZero(hn::FirstN(d, count), v);
}

template <typename T>
const T* Row(const RetentionOperand<const T>& x, int64_t sequence, int64_t head,
             int64_t t) {
  return x.data + sequence * x.batch + t * x.time + head * x.head;
}

// z before the first row in workspace[0, dim), 0 behind it.
template <typename T>
void StartSums(const LinearFeaturesProblem<T>& p, int64_t task, T* workspace) {
  for (int64_t i = 0; i < p.dim; ++i) {
    workspace[i] = p.z == nullptr ? T{0} : p.z[task * p.dim + i];
    workspace[p.dim + i] = T{0};
  }
}
// Adds the second sum to the first.
template <typename T>
void JoinSums(int64_t dim, T* workspace) {
  for (int64_t i = 0; i < dim; ++i) {
    workspace[i] += workspace[dim + i];
    workspace[dim + i] = T{0};
  }
}

template <typename T>
void Forward(const LinearFeaturesProblem<T>& p,
             const LinearFeaturesResult<T>& result, int64_t task,
             T* workspace) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const auto dim = static_cast<size_t>(p.dim);
  const int64_t sequence = task / p.heads;
  const int64_t head = task % p.heads;
  T* const before = workspace;
  T* const recent = workspace + dim;
  StartSums(p, task, workspace);
  for (int64_t t = 0; t < p.rows; ++t) {
    const T* const q = Row(p.q, sequence, head, t);
    const T* const k = Row(p.k, sequence, head, t);
    const int64_t row = (sequence * p.rows + t) * p.heads + head;
    T* const u = result.u + row * p.dim;
    T* const f = result.f + row * p.dim;
    V sum = hn::Zero(d);
    for (size_t i = 0; i < dim; i += lanes) {
      const size_t count = HWY_MIN(lanes, dim - i);
      const V vf = Feature(d, LoadSome(d, k + i, count));
      const V vr = hn::Add(LoadSome(d, recent + i, count), vf);
      const V z = hn::Add(LoadSome(d, before + i, count), vr);
      const V vq = Feature(d, LoadSome(d, q + i, count));
      StoreSome(d, vf, f + i, count);
      StoreSome(d, vr, recent + i, count);
      StoreSome(d, vq, u + i, count);
      sum = hn::Add(sum, OnlyFirst(d, hn::Mul(vq, z), count));
    }
    const T divisor = hn::GetLane(hn::SumOfLanes(d, sum)) + p.eps;
    result.d[row] = divisor;
    const V inverse = hn::Set(d, T{1} / divisor);
    MapLoop(d, dim, u, u,
            [inverse](V v) SEPTET_LAMBDA { return hn::Mul(v, inverse); });
    if ((t + 1) % kSumRows == 0) JoinSums(p.dim, workspace);
  }
  if (result.z == nullptr) return;
  for (size_t i = 0; i < dim; ++i) {
    result.z[task * p.dim + static_cast<int64_t>(i)] = before[i] + recent[i];
  }
}

// With e_t = dL/dd_t = -(du_t phi(q_t)) / d_t^2:
//   dq_t = (du_t / d_t + e_t z_t) phi'(q_t),
//   dk_t = (df_t + dz + sum_{s >= t} e_s phi(q_s)) phi'(k_t),
// one walk down the rows, with z, and one up, with the sum.
template <typename T>
void Backward(const LinearFeaturesProblem<T>& p,
              const LinearFeaturesGradient<T>& g, int64_t task, T* workspace) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const auto dim = static_cast<size_t>(p.dim);
  const int64_t sequence = task / p.heads;
  const int64_t head = task % p.heads;
  T* const before = workspace;
  T* const recent = workspace + dim;
  T* const slopes = workspace + 2 * dim;  // e
  const auto row_of = [&p, sequence, head](int64_t t) {
    return (sequence * p.rows + t) * p.heads + head;
  };
  if (g.du == nullptr) {
    for (int64_t t = 0; t < p.rows; ++t) {
      slopes[t] = T{0};
      T* const dq = g.dq + row_of(t) * p.dim;
      for (size_t i = 0; i < dim; ++i) dq[i] = T{0};
    }
  } else {
    StartSums(p, task, workspace);
    for (int64_t t = 0; t < p.rows; ++t) {
      const T* const q = Row(p.q, sequence, head, t);
      const T* const k = Row(p.k, sequence, head, t);
      const int64_t row = row_of(t);
      const T* const du = g.du + row * p.dim;
      T* const dq = g.dq + row * p.dim;
      // dq holds phi(q) until its factor is known.
      V sum = hn::Zero(d);
      for (size_t i = 0; i < dim; i += lanes) {
        const size_t count = HWY_MIN(lanes, dim - i);
        const V vf = Feature(d, LoadSome(d, k + i, count));
        const V vr = hn::Add(LoadSome(d, recent + i, count), vf);
        const V vq = Feature(d, LoadSome(d, q + i, count));
        const V vdu = LoadSome(d, du + i, count);
        StoreSome(d, vr, recent + i, count);
        StoreSome(d, vq, dq + i, count);
        sum = hn::Add(sum, OnlyFirst(d, hn::Mul(vdu, vq), count));
      }
      const T inverse = T{1} / g.d[row];
      const T slope = -hn::GetLane(hn::SumOfLanes(d, sum)) * inverse * inverse;
      slopes[t] = slope;
      const V vinverse = hn::Set(d, inverse);
      const V vslope = hn::Set(d, slope);
      for (size_t i = 0; i < dim; i += lanes) {
        const size_t count = HWY_MIN(lanes, dim - i);
        const V z = hn::Add(LoadSome(d, before + i, count),
                            LoadSome(d, recent + i, count));
        const V vdu = LoadSome(d, du + i, count);
        const V along = hn::Add(hn::Mul(vdu, vinverse), hn::Mul(vslope, z));
        const V slope_q = FeatureSlope(d, LoadSome(d, q + i, count),
                                       LoadSome(d, dq + i, count));
        StoreSome(d, hn::Mul(along, slope_q), dq + i, count);
      }
      if ((t + 1) % kSumRows == 0) JoinSums(p.dim, workspace);
    }
  }
  for (size_t i = 0; i < dim; ++i) {
    before[i] =
        g.dz == nullptr ? T{0} : g.dz[task * p.dim + static_cast<int64_t>(i)];
    recent[i] = T{0};
  }
  for (int64_t t = p.rows - 1; t >= 0; --t) {
    const T* const q = Row(p.q, sequence, head, t);
    const T* const k = Row(p.k, sequence, head, t);
    const int64_t row = row_of(t);
    const T* const df = g.df == nullptr ? nullptr : g.df + row * p.dim;
    T* const dk = g.dk + row * p.dim;
    const V slope = hn::Set(d, slopes[t]);
    for (size_t i = 0; i < dim; i += lanes) {
      const size_t count = HWY_MIN(lanes, dim - i);
      const V vq = Feature(d, LoadSome(d, q + i, count));
      const V vr = hn::Add(LoadSome(d, recent + i, count), hn::Mul(slope, vq));
      V along = hn::Add(LoadSome(d, before + i, count), vr);
      if (df != nullptr) along = hn::Add(along, LoadSome(d, df + i, count));
      const V vk = LoadSome(d, k + i, count);
      StoreSome(d, vr, recent + i, count);
      StoreSome(d, hn::Mul(along, FeatureSlope(d, vk, Feature(d, vk))), dk + i,
                count);
    }
    if (t % kSumRows == 0) JoinSums(p.dim, workspace);
  }
  if (g.dinitial == nullptr) return;
  for (size_t i = 0; i < dim; ++i) {
    g.dinitial[task * p.dim + static_cast<int64_t>(i)] = before[i] + recent[i];
  }
}

void ForwardF32(const LinearFeaturesProblem<float>& p,
                const LinearFeaturesResult<float>& result, int64_t task,
                float* workspace) {
  Forward(p, result, task, workspace);
}
void ForwardF64(const LinearFeaturesProblem<double>& p,
                const LinearFeaturesResult<double>& result, int64_t task,
                double* workspace) {
  Forward(p, result, task, workspace);
}
void BackwardF32(const LinearFeaturesProblem<float>& p,
                 const LinearFeaturesGradient<float>& gradient, int64_t task,
                 float* workspace) {
  Backward(p, gradient, task, workspace);
}
void BackwardF64(const LinearFeaturesProblem<double>& p,
                 const LinearFeaturesGradient<double>& gradient, int64_t task,
                 double* workspace) {
  Backward(p, gradient, task, workspace);
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

void LinearFeaturesForward(const LinearFeaturesProblem<float>& p,
                           const LinearFeaturesResult<float>& result,
                           int64_t task, float* workspace) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)(p, result, task, workspace);
}
void LinearFeaturesForward(const LinearFeaturesProblem<double>& p,
                           const LinearFeaturesResult<double>& result,
                           int64_t task, double* workspace) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)(p, result, task, workspace);
}
void LinearFeaturesBackward(const LinearFeaturesProblem<float>& p,
                            const LinearFeaturesGradient<float>& gradient,
                            int64_t task, float* workspace) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)(p, gradient, task, workspace);
}
void LinearFeaturesBackward(const LinearFeaturesProblem<double>& p,
                            const LinearFeaturesGradient<double>& gradient,
                            int64_t task, double* workspace) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)(p, gradient, task, workspace);
}

}  // namespace septet
#endif  // HWY_ONCE
