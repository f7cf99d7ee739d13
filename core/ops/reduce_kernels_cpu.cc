// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/reduce_kernels.h"
#include "septet/core/ops/reduce_tree.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/reduce_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/reduce-inl.h"
#include "septet/core/ops/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

template <class Op, typename T>
T ReduceRow(size_t n, const T* x) {
  return TreeReduce<Op, T>(
      n, [x](auto d, size_t i, size_t count)
             SEPTET_LAMBDA { return LoadSome(d, x + i, count); });
}

// Columns that are reduced together: 4 KiB of each row, long enough for the
// hardware to prefetch, and the partial results of all levels on the stack
// (120 KiB, of which a reduction over n rows touches log2(n / 32)).
template <typename T>
constexpr size_t kColumnStrip = 4096 / sizeof(T);
constexpr size_t kColumnLevels = 30;

// total[c] = total[c] op x[r, c] for the rows in order, columns <= strip.
template <class Op, typename T>
HWY_INLINE void ReduceRowsInOrder(size_t rows, size_t columns, const T* x,
                                  size_t pitch, T* HWY_RESTRICT total) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t step = hn::Lanes(d);
  size_t r = 0;
  // Four rows a pass, so that `total` is loaded and stored once for four.
  for (; r + 4 <= rows; r += 4) {
    const T* row = x + r * pitch;
    size_t c = 0;
    for (; c + step <= columns; c += step) {
      V v = hn::Load(d, total + c);
      v = Op::Combine(d, v, hn::LoadU(d, row + c));
      v = Op::Combine(d, v, hn::LoadU(d, row + pitch + c));
      v = Op::Combine(d, v, hn::LoadU(d, row + 2 * pitch + c));
      v = Op::Combine(d, v, hn::LoadU(d, row + 3 * pitch + c));
      hn::Store(v, d, total + c);
    }
    if (c < columns) {
      const size_t count = columns - c;
      V v = hn::Load(d, total + c);
      for (size_t k = 0; k < 4; ++k) {
        v = Op::Combine(d, v, LoadPartial(d, row + k * pitch + c, count));
      }
      hn::Store(v, d, total + c);
    }
  }
  for (; r < rows; ++r) {
    const T* row = x + r * pitch;
    for (size_t c = 0; c < columns; c += step) {
      const V v = LoadSome(d, row + c, HWY_MIN(step, columns - c));
      hn::Store(Op::Combine(d, hn::Load(d, total + c), v), d, total + c);
    }
  }
}

// [n, inner] -> out[inner], of which a strip of at most kColumnStrip columns.
// kAccumulate: added to out, else stored there.
template <class Op, bool kAccumulate, typename T>
void ReduceColumnStrip(size_t n, size_t columns, const T* x, size_t pitch,
                       T* out) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const size_t step = hn::Lanes(d);
  const V identity = hn::Set(d, Op::template Identity<T>());
  HWY_ALIGN T levels[kColumnLevels][kColumnStrip<T>];
  size_t size = 0;
  uint64_t count = 0;
  const auto combine = [&](T* HWY_RESTRICT left,
                           const T* HWY_RESTRICT right) SEPTET_LAMBDA {
    for (size_t c = 0; c < columns; c += step) {
      hn::Store(Op::Combine(d, hn::Load(d, left + c), hn::Load(d, right + c)),
                d, left + c);
    }
  };
  size_t begin = 0;
  do {
    const size_t rows = HWY_MIN(kReduceColumnBlock, n - begin);
    for (size_t c = 0; c < columns; c += step) {
      hn::Store(identity, d, levels[size] + c);
    }
    ReduceRowsInOrder<Op>(rows, columns, x + begin * pitch, pitch,
                          levels[size]);
    for (uint64_t bits = count; bits % 2 == 1; bits /= 2) {
      --size;
      combine(levels[size], levels[size + 1]);
    }
    ++size;
    ++count;
    begin += rows;
  } while (begin < n);
  for (size_t k = size - 1; k > 0; --k) combine(levels[k - 1], levels[k]);
  for (size_t c = 0; c < columns; c += step) {
    const size_t wanted = HWY_MIN(step, columns - c);
    V v = hn::Load(d, levels[0] + c);
    if constexpr (kAccumulate) v = hn::Add(LoadSome(d, out + c, wanted), v);
    StoreSome(d, v, out + c, wanted);
  }
}

template <class Op, bool kAccumulate, typename T>
void ReduceColumns(size_t n, size_t inner, const T* x, T* out) {
  for (size_t c = 0; c < inner; c += kColumnStrip<T>) {
    ReduceColumnStrip<Op, kAccumulate>(n, HWY_MIN(kColumnStrip<T>, inner - c),
                                       x + c, inner, out + c);
  }
}

template <class Op, typename T>
void ReduceAxis(size_t outer, size_t n, size_t inner, const T* x, T* out) {
  if (inner == 1) {
    for (size_t o = 0; o < outer; ++o) out[o] = ReduceRow<Op>(n, x + o * n);
  } else {
    for (size_t o = 0; o < outer; ++o) {
      ReduceColumns<Op, false>(n, inner, x + o * n * inner, out + o * inner);
    }
  }
}

template <typename T>
void ReduceAxisOf(ReduceKind kind, size_t outer, size_t n, size_t inner,
                  const T* x, T* out) {
  switch (kind) {
    case ReduceKind::kSum:
      return ReduceAxis<SumOp>(outer, n, inner, x, out);
    case ReduceKind::kMax:
      return ReduceAxis<MaxOp>(outer, n, inner, x, out);
    case ReduceKind::kMin:
      return ReduceAxis<MinOp>(outer, n, inner, x, out);
  }
}

template <typename T>
T DotLoop(size_t n, const T* a, const T* b) {
  return TreeReduce<SumOp, T>(
      n, [a, b](auto d, size_t i, size_t count) SEPTET_LAMBDA {
        return hn::Mul(LoadSome(d, a + i, count), LoadSome(d, b + i, count));
      });
}
template <typename T>
T SumOfSquaresLoop(size_t n, const T* x) {
  return TreeReduce<SumOp, T>(
      n, [x](auto d, size_t i, size_t count) SEPTET_LAMBDA {
        const auto v = LoadSome(d, x + i, count);
        return hn::Mul(v, v);
      });
}

void ReduceF32(ReduceKind kind, size_t outer, size_t n, size_t inner,
               const float* x, float* out) {
  ReduceAxisOf(kind, outer, n, inner, x, out);
}
void ReduceF64(ReduceKind kind, size_t outer, size_t n, size_t inner,
               const double* x, double* out) {
  ReduceAxisOf(kind, outer, n, inner, x, out);
}
float SumF32(size_t n, const float* x) { return ReduceRow<SumOp>(n, x); }
double SumF64(size_t n, const double* x) { return ReduceRow<SumOp>(n, x); }
float SumOfSquaresF32(size_t n, const float* x) {
  return SumOfSquaresLoop(n, x);
}
double SumOfSquaresF64(size_t n, const double* x) {
  return SumOfSquaresLoop(n, x);
}
float DotF32(size_t n, const float* a, const float* b) {
  return DotLoop(n, a, b);
}
double DotF64(size_t n, const double* a, const double* b) {
  return DotLoop(n, a, b);
}
void ColumnSumF32(size_t rows, size_t columns, const float* x, float* out) {
  ReduceColumns<SumOp, true>(rows, columns, x, out);
}
void ColumnSumF64(size_t rows, size_t columns, const double* x, double* out) {
  ReduceColumns<SumOp, true>(rows, columns, x, out);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(ReduceF32);
HWY_EXPORT(ReduceF64);
HWY_EXPORT(SumF32);
HWY_EXPORT(SumF64);
HWY_EXPORT(SumOfSquaresF32);
HWY_EXPORT(SumOfSquaresF64);
HWY_EXPORT(DotF32);
HWY_EXPORT(DotF64);
HWY_EXPORT(ColumnSumF32);
HWY_EXPORT(ColumnSumF64);

void ReduceKernel(ReduceKind kind, int64_t outer, int64_t n, int64_t inner,
                  const float* x, float* out) {
  HWY_DYNAMIC_DISPATCH(ReduceF32)
  (kind, static_cast<size_t>(outer), static_cast<size_t>(n),
   static_cast<size_t>(inner), x, out);
}
void ReduceKernel(ReduceKind kind, int64_t outer, int64_t n, int64_t inner,
                  const double* x, double* out) {
  HWY_DYNAMIC_DISPATCH(ReduceF64)
  (kind, static_cast<size_t>(outer), static_cast<size_t>(n),
   static_cast<size_t>(inner), x, out);
}

float SumKernel(int64_t n, const float* x) {
  return HWY_DYNAMIC_DISPATCH(SumF32)(static_cast<size_t>(n), x);
}
double SumKernel(int64_t n, const double* x) {
  return HWY_DYNAMIC_DISPATCH(SumF64)(static_cast<size_t>(n), x);
}
float SumOfSquaresKernel(int64_t n, const float* x) {
  return HWY_DYNAMIC_DISPATCH(SumOfSquaresF32)(static_cast<size_t>(n), x);
}
double SumOfSquaresKernel(int64_t n, const double* x) {
  return HWY_DYNAMIC_DISPATCH(SumOfSquaresF64)(static_cast<size_t>(n), x);
}
float DotKernel(int64_t n, const float* a, const float* b) {
  return HWY_DYNAMIC_DISPATCH(DotF32)(static_cast<size_t>(n), a, b);
}
double DotKernel(int64_t n, const double* a, const double* b) {
  return HWY_DYNAMIC_DISPATCH(DotF64)(static_cast<size_t>(n), a, b);
}

void ColumnSumKernel(int64_t rows, int64_t columns, const float* x,
                     float* out) {
  HWY_DYNAMIC_DISPATCH(ColumnSumF32)
  (static_cast<size_t>(rows), static_cast<size_t>(columns), x, out);
}
void ColumnSumKernel(int64_t rows, int64_t columns, const double* x,
                     double* out) {
  HWY_DYNAMIC_DISPATCH(ColumnSumF64)
  (static_cast<size_t>(rows), static_cast<size_t>(columns), x, out);
}

}  // namespace septet
#endif  // HWY_ONCE
