// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "hwy/cache_control.h"
#include "septet/core/ops/attention_kernels.h"
#include "septet/core/ops/attention_problem.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/attention_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/blas/micro_gemm-inl.h"
#include "septet/core/ops/attention-inl.h"
#include "septet/core/ops/reduce-inl.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

constexpr size_t kDecodeKeys = static_cast<size_t>(kAttentionDecodeKeys);

// Rows are fetched a step ahead: the hardware's own prefetching stops at every
// page and turn from k to v.
template <typename T>
HWY_INLINE void PrefetchRow(const T* row, size_t n) {
  for (size_t c = 0; c < n; c += 64 / sizeof(T)) hwy::Prefetch(row + c);
}

// scores[j] = scale q k_j. Four keys at a time: as many chains as hide the
// latency, and one load of q for all. Meanwhile v, and the next keys if there
// are any, are on their way.
template <typename T>
void Scores(size_t keys, size_t next_keys, size_t width, size_t value_width,
            const T* q, const T* k, size_t k_row, const T* v, size_t v_row,
            T scale, T* scores) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  const auto sum = [d](auto x)
                       HWY_ATTR { return hn::GetLane(hn::SumOfLanes(d, x)); };
  const T* next = k + keys * k_row;
  size_t j = 0;
  for (; j + 4 <= keys; j += 4, k += 4 * k_row) {
    for (size_t r = j; r < j + 4; ++r) {
      PrefetchRow(v + r * v_row, value_width);
      if (r < next_keys) PrefetchRow(next + r * k_row, width);
    }
    auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
    for (size_t c = 0; c < width; c += lanes) {
      const size_t n = std::min(lanes, width - c);
      const auto x = LoadSome(d, q + c, n);
      s0 = hn::MulAdd(x, LoadSome(d, k + c, n), s0);
      s1 = hn::MulAdd(x, LoadSome(d, k + k_row + c, n), s1);
      s2 = hn::MulAdd(x, LoadSome(d, k + 2 * k_row + c, n), s2);
      s3 = hn::MulAdd(x, LoadSome(d, k + 3 * k_row + c, n), s3);
    }
    scores[j] = scale * sum(s0);
    scores[j + 1] = scale * sum(s1);
    scores[j + 2] = scale * sum(s2);
    scores[j + 3] = scale * sum(s3);
  }
  for (; j < keys; ++j, k += k_row) {
    auto s0 = hn::Zero(d);
    for (size_t c = 0; c < width; c += lanes) {
      const size_t n = std::min(lanes, width - c);
      s0 = hn::MulAdd(LoadSome(d, q + c, n), LoadSome(d, k + c, n), s0);
    }
    scores[j] = scale * sum(s0);
  }
}

template <typename T>
void DecodeTask(const AttentionProblem<T>& p, const AttentionResult<T>& result,
                int64_t task, T* workspace) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  const int64_t batch = task / p.kv_heads;
  const int64_t kv_head = task % p.kv_heads;
  const size_t heads = static_cast<size_t>(p.group());
  const size_t width = static_cast<size_t>(p.head_dim);
  const size_t value_width = static_cast<size_t>(p.value_dim);
  T* scores = workspace;
  T* out = scores + heads * kDecodeKeys;
  T* m = out + heads * value_width;
  T* l = m + heads;
  std::fill_n(m, heads, kAttentionHidden<T>);
  std::fill_n(l, heads, T{0});
  std::fill_n(out, heads * value_width, T{0});
  const int64_t length =
      p.key_lengths == nullptr ? p.keys : p.key_lengths[batch];
  const int64_t limit = p.keep_self ? p.keys : length;
  const bool* mask =
      p.key_mask == nullptr ? nullptr : p.key_mask + batch * p.keys;
  for (int64_t begin = 0; begin < limit; begin += kAttentionDecodeKeys) {
    const size_t keys =
        static_cast<size_t>(std::min(kAttentionDecodeKeys, limit - begin));
    const size_t next_keys = static_cast<size_t>(std::min(
        kAttentionDecodeKeys, limit - begin - static_cast<int64_t>(keys)));
    const T* v = p.v.At(batch, kv_head, begin);
    for (size_t g = 0; g < heads; ++g) {
      T* row = scores + g * kDecodeKeys;
      Scores(keys, g == 0 ? next_keys : size_t{0}, width,
             g == 0 ? value_width : size_t{0},
             p.q.At(batch, kv_head * p.group() + static_cast<int64_t>(g), 0),
             p.k.At(batch, kv_head, begin), static_cast<size_t>(p.k.time), v,
             static_cast<size_t>(p.v.time), static_cast<T>(p.scale), row);
      for (size_t j = 0; j < keys; ++j) {
        const int64_t key = begin + static_cast<int64_t>(j);
        const bool seen = (key < length && (mask == nullptr || mask[key])) ||
                          (p.keep_self && key == p.keys - 1);
        if (!seen) row[j] = kAttentionHidden<T>;
      }
      auto maximum = hn::Set(d, m[g]);
      for (size_t j = 0; j < keys; j += lanes) {
        const size_t n = std::min(lanes, keys - j);
        // Beyond the end, what is there already.
        maximum = hn::Max(
            maximum,
            hn::IfThenElse(hn::FirstN(d, n), LoadSome(d, row + j, n), maximum));
      }
      const T shift_to = hn::GetLane(hn::MaxOfLanes(d, maximum));
      const T shift = shift_to == kAttentionHidden<T> ? T{0} : shift_to;
      const auto vshift = hn::Set(d, shift);
      auto sum = hn::Zero(d);
      for (size_t j = 0; j < keys; j += lanes) {
        const size_t n = std::min(lanes, keys - j);
        const auto weight = hn::IfThenElseZero(
            hn::FirstN(d, n),
            AttentionExp(d, hn::Sub(LoadSome(d, row + j, n), vshift)));
        StoreSome(d, weight, row + j, n);
        sum = hn::Add(sum, weight);
      }
      const T factor = hn::GetLane(AttentionExp(d, hn::Set(d, m[g] - shift)));
      l[g] = l[g] * factor + hn::GetLane(hn::SumOfLanes(d, sum));
      m[g] = shift_to;
      ScaleRows(size_t{1}, value_width, &factor, out + g * value_width,
                value_width);
    }
    MicroGemm(heads, value_width, keys, scores, kDecodeKeys, size_t{1}, v,
              static_cast<size_t>(p.v.time), out, value_width, true);
  }
  for (size_t g = 0; g < heads; ++g) {
    const int64_t head = kv_head * p.group() + static_cast<int64_t>(g);
    const auto factor = hn::Set(d, l[g] == 0 ? T{0} : T{1} / l[g]);
    MapLoop(d, value_width, out + g * value_width,
            result.out.At(batch, head, 0),
            [factor](auto v) HWY_ATTR { return hn::Mul(v, factor); });
    result.log_sum_exp[batch * p.heads + head] = m[g] + std::log(l[g]);
  }
}

template <typename T>
void ForwardTask(const AttentionProblem<T>& p, const AttentionResult<T>& result,
                 int64_t task, T* workspace) {
  if (AttentionDecodes(p)) {
    DecodeTask(p, result, task, workspace);
    return;
  }
  PlainScores plain;
  AttentionForwardTask(p, result, task, workspace, plain);
}

void ForwardF32(const AttentionProblem<float>& p,
                const AttentionResult<float>& result, int64_t task,
                float* workspace) {
  ForwardTask(p, result, task, workspace);
}
void ForwardF64(const AttentionProblem<double>& p,
                const AttentionResult<double>& result, int64_t task,
                double* workspace) {
  ForwardTask(p, result, task, workspace);
}
void BackwardF32(const AttentionProblem<float>& p,
                 const AttentionGradient<float>& gradient, int64_t task,
                 float* workspace) {
  PlainScores plain;
  AttentionBackwardTask(p, gradient, task, workspace, plain);
}
void BackwardF64(const AttentionProblem<double>& p,
                 const AttentionGradient<double>& gradient, int64_t task,
                 double* workspace) {
  PlainScores plain;
  AttentionBackwardTask(p, gradient, task, workspace, plain);
}
void FinishF32(const AttentionProblem<float>& p,
               const AttentionGradient<float>& gradient, int64_t kv,
               int64_t begin, int64_t end) {
  AttentionAddPartials(p, gradient, kv, begin, end);
}
void FinishF64(const AttentionProblem<double>& p,
               const AttentionGradient<double>& gradient, int64_t kv,
               int64_t begin, int64_t end) {
  AttentionAddPartials(p, gradient, kv, begin, end);
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
HWY_EXPORT(FinishF32);
HWY_EXPORT(FinishF64);

void AttentionForward(const AttentionProblem<float>& p,
                      const AttentionResult<float>& result, int64_t task,
                      float* workspace) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)(p, result, task, workspace);
}
void AttentionForward(const AttentionProblem<double>& p,
                      const AttentionResult<double>& result, int64_t task,
                      double* workspace) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)(p, result, task, workspace);
}
void AttentionBackward(const AttentionProblem<float>& p,
                       const AttentionGradient<float>& gradient, int64_t task,
                       float* workspace) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)(p, gradient, task, workspace);
}
void AttentionBackward(const AttentionProblem<double>& p,
                       const AttentionGradient<double>& gradient, int64_t task,
                       double* workspace) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)(p, gradient, task, workspace);
}
void AttentionFinish(const AttentionProblem<float>& p,
                     const AttentionGradient<float>& gradient, int64_t kv,
                     int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(FinishF32)(p, gradient, kv, begin, end);
}
void AttentionFinish(const AttentionProblem<double>& p,
                     const AttentionGradient<double>& gradient, int64_t kv,
                     int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(FinishF64)(p, gradient, kv, begin, end);
}

}  // namespace septet
#endif  // HWY_ONCE
