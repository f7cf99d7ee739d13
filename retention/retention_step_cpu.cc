// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "septet/retention/decay.h"
#include "septet/retention/retention_kernels.h"
#include "septet/retention/retention_problem.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "retention/retention_step_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

// S <- gamma S + k^T v and out = q S, kRows rows of S at a time: v and out are
// read once for all of them. The first rows write out.
template <size_t kRows, typename T>
HWY_INLINE void StepRows(size_t value_dim, T gamma, const T* q, const T* k,
                         const T* v, bool first, T* state, T* out) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  const auto decay = hn::Set(d, gamma);
  for (size_t j = 0; j < value_dim; j += lanes) {
    const size_t n = std::min(lanes, value_dim - j);
    const auto value = LoadSome(d, v + j, n);
    auto sum = first ? hn::Zero(d) : LoadSome(d, out + j, n);
    for (size_t r = 0; r < kRows; ++r) {
      T* const row = state + r * value_dim + j;
      const auto s = hn::MulAdd(hn::Set(d, k[r]), value,
                                hn::Mul(decay, LoadSome(d, row, n)));
      StoreSome(d, s, row, n);
      sum = hn::MulAdd(hn::Set(d, q[r]), s, sum);
    }
    StoreSome(d, sum, out + j, n);
  }
}

template <typename T>
void StepTask(const RetentionStepProblem<T>& p, int64_t task) {
  constexpr size_t kRows = 4;
  const hn::ScalableTag<T> d;
  const int64_t sequence = task / p.heads, head = task % p.heads;
  const size_t key_dim = static_cast<size_t>(p.key_dim);
  const size_t value_dim = static_cast<size_t>(p.value_dim);
  const auto row = [&](const RetentionStepRows<T>& x) {
    return x.data + sequence * x.batch + head * x.head;
  };
  const T* const q = row(p.q);
  const T* const k = row(p.k);
  const T* const v = row(p.v);
  const double log_gamma = p.log_gamma[head];
  const T gamma = static_cast<T>(std::exp(log_gamma));
  const T scale = static_cast<T>(p.scale);
  T* const state = p.state + task * p.key_dim * p.value_dim;
  T* const out = p.out + task * p.value_dim;
  size_t i = 0;
  for (; i + kRows <= key_dim; i += kRows) {
    T scaled[kRows];
    for (size_t r = 0; r < kRows; ++r) scaled[r] = scale * k[i + r];
    StepRows<kRows>(value_dim, gamma, q + i, scaled, v, i == 0,
                    state + i * value_dim, out);
  }
  for (; i < key_dim; ++i) {
    const T scaled = scale * k[i];
    StepRows<1>(value_dim, gamma, q + i, &scaled, v, i == 0,
                state + i * value_dim, out);
  }
  if (p.norm == RetentionNorm::kNone) return;
  T factor =
      T{1} /
      std::sqrt(static_cast<T>(DecayRowSum(log_gamma, p.positions[sequence])));
  if (p.norm == RetentionNorm::kPaper) {
    T* const z = p.key_sum + task * p.key_dim;
    T sum{0};
    for (size_t c = 0; c < key_dim; ++c) {
      z[c] = gamma * z[c] + scale * k[c];
      sum += q[c] * z[c];
    }
    factor /= std::max(std::abs(sum) * factor, T{1});
  }
  const auto f = hn::Set(d, factor);
  MapLoop(d, value_dim, out, out,
          [f](auto x) SEPTET_LAMBDA { return hn::Mul(x, f); });
}

void StepF32(const RetentionStepProblem<float>& p, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) StepTask(p, task);
}
void StepF64(const RetentionStepProblem<double>& p, int64_t begin,
             int64_t end) {
  for (int64_t task = begin; task < end; ++task) StepTask(p, task);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {
namespace {
HWY_EXPORT(StepF32);
HWY_EXPORT(StepF64);
}  // namespace

void RetentionStepTasks(const RetentionStepProblem<float>& p, int64_t begin,
                        int64_t end) {
  HWY_DYNAMIC_DISPATCH(StepF32)(p, begin, end);
}
void RetentionStepTasks(const RetentionStepProblem<double>& p, int64_t begin,
                        int64_t end) {
  HWY_DYNAMIC_DISPATCH(StepF64)(p, begin, end);
}

}  // namespace septet
#endif  // HWY_ONCE
