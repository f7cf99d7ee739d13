// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/retention/wkv_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "retention/wkv_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/simd-inl.h"
#include "septet/core/ops/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

// exp(x - max(x, y)) and exp(y - max(x, y)), of the difference x - y: one of
// them is 1.
template <class V>
struct Weights {
  V x;
  V y;
};
template <class D, class V, class M>
HWY_INLINE Weights<V> WeightsOf(D d, V difference, M* first) {
  using T = hn::TFromD<D>;
  const V one = hn::Set(d, T{1});
  const V e = VecExpNonPositive(d, hn::Neg(hn::Abs(difference)));
  *first = hn::Ge(difference, hn::Zero(d));
  return {hn::IfThenElse(*first, one, e), hn::IfThenElse(*first, e, one)};
}

// What a task is about.
struct Block {
  size_t sequence;
  size_t begin;  // the first channel
  size_t count;
};
template <typename T>
HWY_INLINE Block BlockOf(const WkvProblem<T>& p, int64_t task) {
  const int64_t blocks = (p.channels + kWkvColumns - 1) / kWkvColumns;
  const int64_t begin = task % blocks * kWkvColumns;
  return {static_cast<size_t>(task / blocks), static_cast<size_t>(begin),
          static_cast<size_t>(HWY_MIN(kWkvColumns, p.channels - begin))};
}

constexpr auto kColumns = static_cast<size_t>(kWkvColumns);

// a, b, r, n of a block of channels.
template <typename T>
struct Scan {
  HWY_ALIGN T a[kColumns];
  HWY_ALIGN T b[kColumns];
  HWY_ALIGN T r[kColumns];
  HWY_ALIGN T n[kColumns];
};

// What the backward pass reads of a row, beside its inputs.
enum Kept { kA, kB, kM1, kO, kNew, kInverse, kY, kOldAfter, kNewAfter };

// One row for one vector of channels; `kept` is null in the forward pass.
template <class D, class V, typename T>
HWY_INLINE V Step(D d, V k, V v, V w, V u, size_t i, Scan<T>* scan, T* kept) {
  const V a = hn::Load(d, scan->a + i);
  const V b = hn::Load(d, scan->b + i);
  const V r = hn::Load(d, scan->r + i);
  const V n = hn::Load(d, scan->n + i);
  const V m = hn::NegMulAdd(n, w, r);
  const V now = hn::Add(u, k);
  hn::Mask<D> past_leads;
  const auto here = WeightsOf(d, hn::Sub(m, now), &past_leads);
  const V inverse = hn::Div(hn::Set(d, T{1}), hn::MulAdd(here.x, b, here.y));
  const V y = hn::Mul(hn::MulAdd(here.x, a, hn::Mul(here.y, v)), inverse);

  const V age = hn::Add(n, hn::Set(d, T{1}));
  const V decayed = hn::NegMulAdd(age, w, r);
  hn::Mask<D> old_leads;
  const auto after = WeightsOf(d, hn::Sub(decayed, k), &old_leads);
  hn::Store(hn::MulAdd(after.x, a, hn::Mul(after.y, v)), d, scan->a + i);
  hn::Store(hn::MulAdd(after.x, b, after.y), d, scan->b + i);
  hn::Store(hn::IfThenElse(old_leads, r, k), d, scan->r + i);
  hn::Store(hn::IfThenElseZero(old_leads, age), d, scan->n + i);
  if (kept != nullptr) {
    const auto keep = [d, kept, i](Kept what, V value) SEPTET_LAMBDA {
      hn::StoreU(value, d, kept + static_cast<size_t>(what) * kColumns + i);
    };
    keep(kA, a);
    keep(kB, b);
    keep(kM1, hn::IfThenElse(old_leads, decayed, k));
    keep(kO, hn::IfThenElse(past_leads, m, now));
    keep(kNew, here.y);
    keep(kInverse, inverse);
    keep(kY, y);
    keep(kOldAfter, after.x);
    keep(kNewAfter, after.y);
  }
  return y;
}

template <typename T>
void Forward(const WkvProblem<T>& p, const WkvResult<T>& result, int64_t task) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const Block block = BlockOf(p, task);
  const auto channels = static_cast<size_t>(p.channels);
  const auto rows = static_cast<size_t>(p.rows);
  const T* const w = p.w + block.begin;
  const T* const u = p.u + block.begin;
  Scan<T> scan;
  const T* const from =
      p.state == nullptr
          ? nullptr
          : p.state + block.sequence * 3 * channels + block.begin;
  for (size_t i = 0; i < kColumns; ++i) {
    const bool given = from != nullptr && i < block.count;
    scan.a[i] = given ? from[i] : T{0};
    scan.b[i] = given ? from[channels + i] : T{0};
    scan.r[i] = given ? from[2 * channels + i] : T{kWkvNoExponent};
    scan.n[i] = T{0};
  }
  T* checkpoint =
      result.checkpoints +
      block.sequence * static_cast<size_t>(WkvCheckpoints(p)) * 4 * channels +
      block.begin;
  for (size_t t = 0; t < rows; ++t) {
    if (t % static_cast<size_t>(kWkvRows) == 0) {
      for (size_t i = 0; i < block.count; ++i) {
        checkpoint[i] = scan.a[i];
        checkpoint[channels + i] = scan.b[i];
        checkpoint[2 * channels + i] = scan.r[i];
        checkpoint[3 * channels + i] = scan.n[i];
      }
      checkpoint += 4 * channels;
    }
    const size_t row = (block.sequence * rows + t) * channels + block.begin;
    for (size_t i = 0; i < block.count; i += lanes) {
      const size_t count = HWY_MIN(lanes, block.count - i);
      const V y =
          Step(d, LoadSome(d, p.k + row + i, count),
               LoadSome(d, p.v + row + i, count), LoadSome(d, w + i, count),
               LoadSome(d, u + i, count), i, &scan, static_cast<T*>(nullptr));
      StoreSome(d, y, result.y + row + i, count);
    }
  }
  if (result.state == nullptr) return;
  T* const to = result.state + block.sequence * 3 * channels + block.begin;
  for (size_t i = 0; i < block.count; ++i) {
    to[i] = scan.a[i];
    to[channels + i] = scan.b[i];
    to[2 * channels + i] = scan.r[i] - scan.n[i] * w[i];
  }
}

// dL/dN = gn exp(q) and dL/dD = gd exp(q) behind a row, q = r - n w, and the
// sums of the parameters' gradients.
template <typename T>
struct ReverseScan {
  HWY_ALIGN T gn[kColumns];
  HWY_ALIGN T gd[kColumns];
  HWY_ALIGN T r[kColumns];
  HWY_ALIGN T n[kColumns];
  HWY_ALIGN T dw[kColumns];
  HWY_ALIGN T du[kColumns];
};

// One row, upwards, for one vector of channels.
template <class D, class V, typename T>
HWY_INLINE void StepBack(D d, V v, V w, V dy, size_t i, const T* kept,
                         ReverseScan<T>* scan, V* dk, V* dv) {
  const auto get = [d, kept, i](Kept what) SEPTET_LAMBDA {
    return hn::LoadU(d, kept + static_cast<size_t>(what) * kColumns + i);
  };
  const V gn = hn::Load(d, scan->gn + i);
  const V gd = hn::Load(d, scan->gd + i);
  const V r = hn::Load(d, scan->r + i);
  const V n = hn::Load(d, scan->n + i);
  const V y = get(kY);
  const V o = get(kO);
  // exp(m + q) behind the row. A little above 0 by rounding at most.
  const V joint =
      VecExpNonPositive(d, hn::Add(get(kM1), hn::NegMulAdd(n, w, r)));
  const V later = hn::Mul(joint, get(kNewAfter));   // exp(k + q)
  const V before = hn::Mul(joint, get(kOldAfter));  // exp(m before - w + q)
  const V g = hn::Mul(dy, get(kInverse));
  const V g_here = hn::Mul(get(kNew), g);
  const V dk_here = hn::Mul(g_here, hn::Sub(v, y));
  *dv = hn::MulAdd(later, gn, g_here);
  *dk = hn::MulAdd(later, hn::MulAdd(gn, v, gd), dk_here);
  const V decay = hn::MulAdd(gn, get(kA), hn::Mul(gd, get(kB)));
  hn::Store(hn::NegMulAdd(before, decay, hn::Load(d, scan->dw + i)), d,
            scan->dw + i);
  hn::Store(hn::Add(hn::Load(d, scan->du + i), dk_here), d, scan->du + i);

  const V age = hn::Add(n, hn::Set(d, T{1}));
  hn::Mask<D> later_leads;
  const auto weights =
      WeightsOf(d, hn::Add(hn::NegMulAdd(age, w, r), o), &later_leads);
  const V g_now = hn::Mul(weights.y, g);
  hn::Store(hn::MulAdd(weights.x, gn, g_now), d, scan->gn + i);
  hn::Store(hn::NegMulAdd(g_now, y, hn::Mul(weights.x, gd)), d, scan->gd + i);
  hn::Store(hn::IfThenElse(later_leads, r, hn::Neg(o)), d, scan->r + i);
  hn::Store(hn::IfThenElseZero(later_leads, age), d, scan->n + i);
}

template <typename T>
void Backward(const WkvProblem<T>& p, const WkvGradient<T>& gradient,
              int64_t task, T* workspace) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t lanes = hn::Lanes(d);
  const Block block = BlockOf(p, task);
  const auto channels = static_cast<size_t>(p.channels);
  const auto rows = static_cast<size_t>(p.rows);
  const auto segment_rows = static_cast<size_t>(kWkvRows);
  const auto segments = static_cast<size_t>(WkvCheckpoints(p));
  const T* const w = p.w + block.begin;
  const T* const u = p.u + block.begin;
  Scan<T> scan;
  ReverseScan<T> back;
  // Sums over the segments that are done, beside those of one segment: the
  // error of a sum of T terms grows with T / 16 + 16.
  HWY_ALIGN T dw[kColumns];
  HWY_ALIGN T du[kColumns];
  for (size_t i = 0; i < kColumns; ++i) {
    back.gn[i] = back.gd[i] = back.n[i] = T{0};
    back.r[i] = T{kWkvNoExponent};
    dw[i] = du[i] = T{0};
    scan.a[i] = scan.b[i] = scan.r[i] = scan.n[i] = T{0};
  }
  for (size_t s = segments; s-- > 0;) {
    const size_t begin = s * segment_rows;
    const size_t end = HWY_MIN(rows, begin + segment_rows);
    const T* const checkpoint = gradient.checkpoints +
                                (block.sequence * segments + s) * 4 * channels +
                                block.begin;
    for (size_t i = 0; i < block.count; ++i) {
      scan.a[i] = checkpoint[i];
      scan.b[i] = checkpoint[channels + i];
      scan.r[i] = checkpoint[2 * channels + i];
      scan.n[i] = checkpoint[3 * channels + i];
    }
    for (size_t t = begin; t < end; ++t) {
      const size_t row = (block.sequence * rows + t) * channels + block.begin;
      for (size_t i = 0; i < block.count; i += lanes) {
        const size_t count = HWY_MIN(lanes, block.count - i);
        Step(d, LoadSome(d, p.k + row + i, count),
             LoadSome(d, p.v + row + i, count), LoadSome(d, w + i, count),
             LoadSome(d, u + i, count), i, &scan,
             workspace + (t - begin) * 9 * kColumns);
      }
    }
    for (size_t i = 0; i < kColumns; ++i) back.dw[i] = back.du[i] = T{0};
    for (size_t t = end; t-- > begin;) {
      const size_t row = (block.sequence * rows + t) * channels + block.begin;
      for (size_t i = 0; i < block.count; i += lanes) {
        const size_t count = HWY_MIN(lanes, block.count - i);
        V dk, dv;
        StepBack(d, LoadSome(d, p.v + row + i, count),
                 LoadSome(d, w + i, count),
                 LoadSome(d, gradient.dy + row + i, count), i,
                 workspace + (t - begin) * 9 * kColumns, &back, &dk, &dv);
        StoreSome(d, dk, gradient.dk + row + i, count);
        StoreSome(d, dv, gradient.dv + row + i, count);
      }
    }
    for (size_t i = 0; i < kColumns; ++i) {
      dw[i] += back.dw[i];
      du[i] += back.du[i];
    }
  }
  const size_t to = block.sequence * channels + block.begin;
  for (size_t i = 0; i < block.count; ++i) {
    gradient.dw[to + i] = dw[i];
    gradient.du[to + i] = du[i];
  }
}

void ForwardF32(const WkvProblem<float>& p, const WkvResult<float>& result,
                int64_t task) {
  Forward(p, result, task);
}
void ForwardF64(const WkvProblem<double>& p, const WkvResult<double>& result,
                int64_t task) {
  Forward(p, result, task);
}
void BackwardF32(const WkvProblem<float>& p, const WkvGradient<float>& gradient,
                 int64_t task, float* workspace) {
  Backward(p, gradient, task, workspace);
}
void BackwardF64(const WkvProblem<double>& p,
                 const WkvGradient<double>& gradient, int64_t task,
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

void WkvForward(const WkvProblem<float>& p, const WkvResult<float>& result,
                int64_t task) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)(p, result, task);
}
void WkvForward(const WkvProblem<double>& p, const WkvResult<double>& result,
                int64_t task) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)(p, result, task);
}
void WkvBackward(const WkvProblem<float>& p, const WkvGradient<float>& gradient,
                 int64_t task, float* workspace) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)(p, gradient, task, workspace);
}
void WkvBackward(const WkvProblem<double>& p,
                 const WkvGradient<double>& gradient, int64_t task,
                 double* workspace) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)(p, gradient, task, workspace);
}

}  // namespace septet
#endif  // HWY_ONCE
