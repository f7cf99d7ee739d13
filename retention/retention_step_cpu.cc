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

// What all rows of a head share.
template <typename T>
struct StepHead {
  size_t key_dim;
  size_t value_dim;
  T gamma;
  T scale;
  RetentionNorm norm;
};

// Columns of S <- gamma S + k^T v and out = factor q S: kVectors vectors of
// them, the last of which has `count` elements, the others all. A strip of all
// rows, so that v and the sums stay in registers.
template <size_t kVectors, typename T>
HWY_INLINE void StepColumns(const StepHead<T>& h, const T* q, const T* k,
                            const T* v, size_t count, T factor, T* state,
                            T* out) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const auto elements = [=](size_t x) {
    return x + 1 < kVectors ? lanes : count;
  };
  V value[kVectors], sum[kVectors];
  for (size_t x = 0; x < kVectors; ++x) {
    value[x] = LoadSome(d, v + x * lanes, elements(x));
    sum[x] = hn::Zero(d);
  }
  const V gamma = hn::Set(d, h.gamma);
  for (size_t i = 0; i < h.key_dim; ++i, state += h.value_dim) {
    const V key = hn::Set(d, h.scale * k[i]), query = hn::Set(d, q[i]);
    for (size_t x = 0; x < kVectors; ++x) {
      T* const at = state + x * lanes;
      const V s = hn::MulAdd(key, value[x],
                             hn::Mul(gamma, LoadSome(d, at, elements(x))));
      StoreSome(d, s, at, elements(x));
      sum[x] = hn::MulAdd(query, s, sum[x]);
    }
  }
  const V f = hn::Set(d, factor);
  for (size_t x = 0; x < kVectors; ++x) {
    StoreSome(d, hn::Mul(sum[x], f), out + x * lanes, elements(x));
  }
}

// One row: state and key_sum (kPaper) in place, and out. row_sum: c_n. Returns
// the data divisor.
template <typename T>
T StepRow(const StepHead<T>& h, const T* q, const T* k, const T* v,
          double row_sum, T* state, T* key_sum, T* out) {
  T factor{1}, divisor{1};
  if (h.norm != RetentionNorm::kNone) {
    factor = T{1} / std::sqrt(static_cast<T>(row_sum));
  }
  if (h.norm == RetentionNorm::kPaper) {
    T sum{0};
    for (size_t c = 0; c < h.key_dim; ++c) {
      key_sum[c] = h.gamma * key_sum[c] + h.scale * k[c];
      sum += q[c] * key_sum[c];
    }
    divisor = std::max(std::abs(sum) * factor, T{1});
    factor /= divisor;
  }
  constexpr size_t kVectors = 4;
  const size_t lanes = hn::Lanes(hn::ScalableTag<T>());
  size_t j = 0;
  for (; j + kVectors * lanes <= h.value_dim; j += kVectors * lanes) {
    StepColumns<kVectors>(h, q, k, v + j, lanes, factor, state + j, out + j);
  }
  const size_t whole = (h.value_dim - j) / lanes;
  if (whole == 3) {
    StepColumns<3>(h, q, k, v + j, lanes, factor, state + j, out + j);
  } else if (whole == 2) {
    StepColumns<2>(h, q, k, v + j, lanes, factor, state + j, out + j);
  } else if (whole == 1) {
    StepColumns<1>(h, q, k, v + j, lanes, factor, state + j, out + j);
  }
  j += whole * lanes;
  // On their own: what a masked store has not written but covers, the loads of
  // the next row would wait for.
  if (j < h.value_dim) {
    StepColumns<1>(h, q, k, v + j, h.value_dim - j, factor, state + j, out + j);
  }
  return divisor;
}

template <typename T>
void StepTask(const RetentionStepProblem<T>& p, int64_t task) {
  const int64_t sequence = task / p.heads, head = task % p.heads;
  const double log_gamma = p.log_gamma[head];
  const StepHead<T> h = {
      static_cast<size_t>(p.key_dim), static_cast<size_t>(p.value_dim),
      static_cast<T>(std::exp(log_gamma)), static_cast<T>(p.scale), p.norm};
  const auto row = [&](const RetentionStepRows<T>& x) {
    return x.data + sequence * x.batch + head * x.head;
  };
  StepRow(
      h, row(p.q), row(p.k), row(p.v),
      p.norm == RetentionNorm::kNone
          ? 1
          : DecayRowSum(log_gamma, p.positions[sequence]),
      p.state + task * p.key_dim * p.value_dim,
      p.norm == RetentionNorm::kPaper ? p.key_sum + task * p.key_dim : nullptr,
      p.out + task * p.value_dim);
}

template <typename T>
void RecurrentTask(const RetentionProblem<T>& p,
                   const RetentionResult<T>& result, int64_t task,
                   T* workspace) {
  const int64_t sequence = task / p.heads, head = task % p.heads;
  const int64_t matrix = p.key_dim * p.value_dim;
  // Where the results lie, else in the workspace.
  const auto start = [task](const T* from, T* to, int64_t n, T* spare) {
    if (to == nullptr) {
      to = spare;
    } else {
      to += task * n;
    }
    if (from != nullptr) {
      std::copy_n(from + task * n, n, to);
    } else {
      std::fill_n(to, n, T{0});
    }
    return to;
  };
  T* const state = start(p.state, result.state, matrix, workspace);
  T* const key_sum =
      p.norm == RetentionNorm::kPaper
          ? start(p.key_sum, result.key_sum, p.key_dim, workspace + matrix)
          : nullptr;
  T* const divisors =
      p.norm == RetentionNorm::kPaper
          ? result.divisors + head * p.TotalRows() + p.FlatRow(sequence)
          : nullptr;
  const double log_gamma = p.log_gamma[head];
  const double gamma = std::exp(log_gamma);
  const StepHead<T> h = {
      static_cast<size_t>(p.key_dim), static_cast<size_t>(p.value_dim),
      static_cast<T>(gamma), static_cast<T>(p.scale), p.norm};
  double row_sum = DecayRowSum(log_gamma, p.Position(sequence));
  const int64_t rows = p.Length(sequence);
  for (int64_t t = 0; t < rows; ++t) {
    const T divisor =
        StepRow(h, p.At(p.q, sequence, head, t), p.At(p.k, sequence, head, t),
                p.At(p.v, sequence, head, t), row_sum, state, key_sum,
                p.At(result.out, sequence, head, t));
    if (divisors != nullptr) divisors[t] = divisor;
    row_sum = gamma * row_sum + 1;
  }
}

void StepF32(const RetentionStepProblem<float>& p, int64_t begin, int64_t end) {
  for (int64_t task = begin; task < end; ++task) StepTask(p, task);
}
void StepF64(const RetentionStepProblem<double>& p, int64_t begin,
             int64_t end) {
  for (int64_t task = begin; task < end; ++task) StepTask(p, task);
}
void RecurrentF32(const RetentionProblem<float>& p,
                  const RetentionResult<float>& result, int64_t task,
                  float* workspace) {
  RecurrentTask(p, result, task, workspace);
}
void RecurrentF64(const RetentionProblem<double>& p,
                  const RetentionResult<double>& result, int64_t task,
                  double* workspace) {
  RecurrentTask(p, result, task, workspace);
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
HWY_EXPORT(RecurrentF32);
HWY_EXPORT(RecurrentF64);
}  // namespace

void RetentionStepTasks(const RetentionStepProblem<float>& p, int64_t begin,
                        int64_t end) {
  HWY_DYNAMIC_DISPATCH(StepF32)(p, begin, end);
}
void RetentionStepTasks(const RetentionStepProblem<double>& p, int64_t begin,
                        int64_t end) {
  HWY_DYNAMIC_DISPATCH(StepF64)(p, begin, end);
}
void RetentionRecurrent(const RetentionProblem<float>& p,
                        const RetentionResult<float>& result, int64_t task,
                        float* workspace) {
  HWY_DYNAMIC_DISPATCH(RecurrentF32)(p, result, task, workspace);
}
void RetentionRecurrent(const RetentionProblem<double>& p,
                        const RetentionResult<double>& result, int64_t task,
                        double* workspace) {
  HWY_DYNAMIC_DISPATCH(RecurrentF64)(p, result, task, workspace);
}

}  // namespace septet
#endif  // HWY_ONCE
