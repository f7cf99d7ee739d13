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

// What a part of the keys comes to, for the query heads of a key head.
template <typename T>
struct DecodeState {
  T* out;  // [heads, Dv], sums of weights times v
  T* m;    // [heads], maxima of the logits
  T* l;    // [heads], sums of the weights

  DecodeState(const AttentionProblem<T>& p, T* state)
      : out(state), m(out + p.group() * p.value_dim), l(m + p.group()) {}
};

// Keys [0, that) of a batch element may be seen.
template <typename T>
int64_t DecodeLimit(const AttentionProblem<T>& p, int64_t batch) {
  return p.key_lengths == nullptr || p.keep_self ? p.keys
                                                 : p.key_lengths[batch];
}

// Adds keys [begin, begin + keys) to a state; next_keys keys are added next.
template <typename T>
void DecodeStep(const AttentionProblem<T>& p, int64_t batch, int64_t kv_head,
                int64_t begin, size_t keys, size_t next_keys, T* scores,
                const DecodeState<T>& state) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  const size_t heads = static_cast<size_t>(p.group());
  const size_t width = static_cast<size_t>(p.head_dim);
  const size_t value_width = static_cast<size_t>(p.value_dim);
  const int64_t length =
      p.key_lengths == nullptr ? p.keys : p.key_lengths[batch];
  const bool* mask =
      p.key_mask == nullptr ? nullptr : p.key_mask + batch * p.keys;
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
    auto maximum = hn::Set(d, state.m[g]);
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
    const T factor =
        hn::GetLane(AttentionExp(d, hn::Set(d, state.m[g] - shift)));
    state.l[g] = state.l[g] * factor + hn::GetLane(hn::SumOfLanes(d, sum));
    state.m[g] = shift_to;
    ScaleRows(size_t{1}, value_width, &factor, state.out + g * value_width,
              value_width);
  }
  MicroGemm(heads, value_width, keys, scores, kDecodeKeys, size_t{1}, v,
            static_cast<size_t>(p.v.time), state.out, value_width, true);
}

// The output of the query heads of key head `kv`, from the states of its parts
// in order.
template <typename T>
void FinishDecode(const AttentionProblem<T>& p,
                  const AttentionResult<T>& result, int64_t kv, T* states) {
  const hn::ScalableTag<T> d;
  const int64_t batch = kv / p.kv_heads;
  const int64_t kv_head = kv % p.kv_heads;
  const size_t value_width = static_cast<size_t>(p.value_dim);
  const int64_t parts = AttentionDecodeParts(p);
  for (int64_t g = 0; g < p.group(); ++g) {
    const int64_t head = kv_head * p.group() + g;
    const auto part = [&](int64_t n) {
      return DecodeState<T>(p, states + n * AttentionDecodeState(p));
    };
    T maximum = kAttentionHidden<T>;
    for (int64_t n = 0; n < parts; ++n) {
      maximum = std::max(maximum, part(n).m[g]);
    }
    const T shift = maximum == kAttentionHidden<T> ? T{0} : maximum;
    T* out = result.out.At(batch, head, 0);
    std::fill_n(out, value_width, T{0});
    T l{0};
    for (int64_t n = 0; n < parts; ++n) {
      const DecodeState<T> state = part(n);
      const T factor =
          hn::GetLane(AttentionExp(d, hn::Set(d, state.m[g] - shift)));
      const auto vfactor = hn::Set(d, factor);
      l += state.l[g] * factor;
      MapLoop2(d, value_width, out, state.out + g * p.value_dim, out,
               [vfactor](auto sum, auto x)
                   HWY_ATTR { return hn::MulAdd(vfactor, x, sum); });
    }
    const T factor = l == 0 ? T{0} : T{1} / l;
    ScaleRows(size_t{1}, value_width, &factor, out, value_width);
    result.log_sum_exp[batch * p.heads + head] = maximum + std::log(l);
  }
}

template <typename T>
void DecodeTask(const AttentionProblem<T>& p, const AttentionResult<T>& result,
                int64_t task, T* workspace) {
  const int64_t parts = AttentionDecodeParts(p);
  const int64_t kv = task / parts;
  const int64_t batch = kv / p.kv_heads;
  const int64_t kv_head = kv % p.kv_heads;
  T* scores = workspace;
  T* memory = parts == 1 ? scores + p.group() * kAttentionDecodeKeys
                         : result.partials + task * AttentionDecodeState(p);
  const DecodeState<T> state(p, memory);
  std::fill_n(state.out, p.group() * p.value_dim, T{0});
  std::fill_n(state.m, p.group(), kAttentionHidden<T>);
  std::fill_n(state.l, p.group(), T{0});
  const int64_t first = task % parts * kAttentionDecodePart;
  const int64_t end =
      std::min(DecodeLimit(p, batch), first + kAttentionDecodePart);
  for (int64_t begin = first; begin < end; begin += kAttentionDecodeKeys) {
    const int64_t keys = std::min(kAttentionDecodeKeys, end - begin);
    const int64_t next = std::min(kAttentionDecodeKeys, end - begin - keys);
    DecodeStep(p, batch, kv_head, begin, static_cast<size_t>(keys),
               static_cast<size_t>(next), scores, state);
  }
  if (parts == 1) FinishDecode(p, result, kv, memory);
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
void FinishForwardF32(const AttentionProblem<float>& p,
                      const AttentionResult<float>& result, int64_t kv) {
  FinishDecode(
      p, result, kv,
      result.partials + kv * AttentionDecodeParts(p) * AttentionDecodeState(p));
}
void FinishForwardF64(const AttentionProblem<double>& p,
                      const AttentionResult<double>& result, int64_t kv) {
  FinishDecode(
      p, result, kv,
      result.partials + kv * AttentionDecodeParts(p) * AttentionDecodeState(p));
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
HWY_EXPORT(FinishForwardF32);
HWY_EXPORT(FinishForwardF64);
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
                     const AttentionResult<float>& result, int64_t kv) {
  if (AttentionForwardPartials(p) == 0) return;
  HWY_DYNAMIC_DISPATCH(FinishForwardF32)(p, result, kv);
}
void AttentionFinish(const AttentionProblem<double>& p,
                     const AttentionResult<double>& result, int64_t kv) {
  if (AttentionForwardPartials(p) == 0) return;
  HWY_DYNAMIC_DISPATCH(FinishForwardF64)(p, result, kv);
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
