// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "absl/types/span.h"
#include "septet/core/base/check.h"
#include "septet/core/ops/elementwise_kernels.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/ops/strided_loop.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/elementwise_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/simd-inl.h"
#include "septet/core/ops/vector_math-inl.h"

#ifndef SEPTET_CORE_OPS_ELEMENTWISE_KERNELS_CPU_ONCE_
#define SEPTET_CORE_OPS_ELEMENTWISE_KERNELS_CPU_ONCE_
namespace septet {
namespace {

// Which operand is one value for the whole row; kStreamed as kVectors, with the
// output written past the caches.
enum class RowMode { kVectors, kScalarA, kScalarB, kStreamed };

template <typename T>
using BinaryRow = void (*)(size_t n, const T* a, const T* b, T* out);
template <typename T>
using CompareRow = void (*)(size_t n, const T* a, const T* b, uint8_t* out);
template <typename T>
using WhereRow = void (*)(size_t n, const uint8_t* condition, const T* a,
                          const T* b, T* out);
template <typename T>
using UnaryRow = void (*)(size_t n, const T* x, T* y, StoreMode mode);

}  // namespace
}  // namespace septet
#endif  // SEPTET_CORE_OPS_ELEMENTWISE_KERNELS_CPU_ONCE_

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

// ------------------------------------------------------------------- binary

template <BinaryKind kKind, class D, class V>
HWY_INLINE V BinaryVector(D /*d*/, V a, V b) {
  if constexpr (kKind == BinaryKind::kAdd) {
    return hn::Add(a, b);
  } else if constexpr (kKind == BinaryKind::kSub) {
    return hn::Sub(a, b);
  } else if constexpr (kKind == BinaryKind::kMul) {
    return hn::Mul(a, b);
  } else if constexpr (kKind == BinaryKind::kDiv) {
    return hn::Div(a, b);
  } else if constexpr (kKind == BinaryKind::kMaximum) {
    return hn::IfThenElse(hn::Or(hn::Ge(a, b), hn::IsNaN(a)), a, b);
  } else {
    return hn::IfThenElse(hn::Or(hn::Le(a, b), hn::IsNaN(a)), a, b);
  }
}

template <BinaryKind kKind, typename T>
HWY_INLINE T BinaryInteger(T a, T b) {
  using U = std::make_unsigned_t<T>;
  const U ua = static_cast<U>(a);
  const U ub = static_cast<U>(b);
  if constexpr (kKind == BinaryKind::kAdd) {
    return static_cast<T>(ua + ub);
  } else if constexpr (kKind == BinaryKind::kSub) {
    return static_cast<T>(ua - ub);
  } else if constexpr (kKind == BinaryKind::kMul) {
    return static_cast<T>(ua * ub);
  } else if constexpr (kKind == BinaryKind::kMaximum) {
    return a >= b ? a : b;
  } else {
    return a <= b ? a : b;
  }
}

template <BinaryKind kKind, RowMode kMode, typename T>
void BinaryRowLoop(size_t n, const T* a, const T* b, T* out) {
  if constexpr (std::is_floating_point<T>::value) {
    const hn::ScalableTag<T> d;
    using V = hn::Vec<decltype(d)>;
    if constexpr (kMode == RowMode::kStreamed) {
      MapLoop2(
          d, n, a, b, out,
          [d](V x, V y) SEPTET_LAMBDA { return BinaryVector<kKind>(d, x, y); },
          StoreMode::kStreaming);
      EndStores(StoreMode::kStreaming);
    } else if constexpr (kMode == RowMode::kVectors) {
      MapLoop2(d, n, a, b, out, [d](V x, V y) SEPTET_LAMBDA {
        return BinaryVector<kKind>(d, x, y);
      });
    } else if constexpr (kMode == RowMode::kScalarA) {
      const V va = hn::Set(d, *a);
      MapLoop(d, n, b, out, [d, va](V y) SEPTET_LAMBDA {
        return BinaryVector<kKind>(d, va, y);
      });
    } else {
      const V vb = hn::Set(d, *b);
      MapLoop(d, n, a, out, [d, vb](V x) SEPTET_LAMBDA {
        return BinaryVector<kKind>(d, x, vb);
      });
    }
  } else {
    // The compiler vectorises integers well; wrapping is defined by unsigned.
    if constexpr (kMode == RowMode::kVectors || kMode == RowMode::kStreamed) {
      for (size_t i = 0; i < n; ++i) out[i] = BinaryInteger<kKind>(a[i], b[i]);
    } else if constexpr (kMode == RowMode::kScalarA) {
      const T s = *a;
      for (size_t i = 0; i < n; ++i) out[i] = BinaryInteger<kKind>(s, b[i]);
    } else {
      const T s = *b;
      for (size_t i = 0; i < n; ++i) out[i] = BinaryInteger<kKind>(a[i], s);
    }
  }
}

template <typename T, BinaryKind kKind>
BinaryRow<T> PickBinaryMode(RowMode mode) {
  switch (mode) {
    case RowMode::kVectors:
      return &BinaryRowLoop<kKind, RowMode::kVectors, T>;
    case RowMode::kScalarA:
      return &BinaryRowLoop<kKind, RowMode::kScalarA, T>;
    case RowMode::kScalarB:
      return &BinaryRowLoop<kKind, RowMode::kScalarB, T>;
    case RowMode::kStreamed:
      return &BinaryRowLoop<kKind, RowMode::kStreamed, T>;
  }
  return nullptr;
}

template <typename T>
BinaryRow<T> PickBinary(BinaryKind kind, RowMode mode) {
  switch (kind) {
    case BinaryKind::kAdd:
      return PickBinaryMode<T, BinaryKind::kAdd>(mode);
    case BinaryKind::kSub:
      return PickBinaryMode<T, BinaryKind::kSub>(mode);
    case BinaryKind::kMul:
      return PickBinaryMode<T, BinaryKind::kMul>(mode);
    case BinaryKind::kDiv:
      if constexpr (std::is_floating_point<T>::value) {
        return PickBinaryMode<T, BinaryKind::kDiv>(mode);
      }
      return nullptr;
    case BinaryKind::kMaximum:
      return PickBinaryMode<T, BinaryKind::kMaximum>(mode);
    case BinaryKind::kMinimum:
      return PickBinaryMode<T, BinaryKind::kMinimum>(mode);
  }
  return nullptr;
}

// The contiguous functions enter here, with one call less.
void BinaryF32(BinaryKind kind, RowMode mode, size_t n, const float* a,
               const float* b, float* out) {
  PickBinary<float>(kind, mode)(n, a, b, out);
}
void BinaryF64(BinaryKind kind, RowMode mode, size_t n, const double* a,
               const double* b, double* out) {
  PickBinary<double>(kind, mode)(n, a, b, out);
}

BinaryRow<float> PickBinaryF32(BinaryKind kind, RowMode mode) {
  return PickBinary<float>(kind, mode);
}
BinaryRow<double> PickBinaryF64(BinaryKind kind, RowMode mode) {
  return PickBinary<double>(kind, mode);
}
BinaryRow<int32_t> PickBinaryI32(BinaryKind kind, RowMode mode) {
  return PickBinary<int32_t>(kind, mode);
}
BinaryRow<int64_t> PickBinaryI64(BinaryKind kind, RowMode mode) {
  return PickBinary<int64_t>(kind, mode);
}

// --------------------------------------------------------- compare and where

template <CompareKind kKind, typename T>
HWY_INLINE bool CompareScalar(T a, T b) {
  if constexpr (kKind == CompareKind::kEqual) {
    return a == b;
  } else if constexpr (kKind == CompareKind::kNotEqual) {
    return a != b;
  } else if constexpr (kKind == CompareKind::kLess) {
    return a < b;
  } else if constexpr (kKind == CompareKind::kLessEqual) {
    return a <= b;
  } else if constexpr (kKind == CompareKind::kGreater) {
    return a > b;
  } else {
    return a >= b;
  }
}

template <CompareKind kKind, RowMode kMode, typename T>
void CompareRowLoop(size_t n, const T* HWY_RESTRICT a, const T* HWY_RESTRICT b,
                    uint8_t* HWY_RESTRICT out) {
  if constexpr (kMode == RowMode::kVectors) {
    for (size_t i = 0; i < n; ++i) out[i] = CompareScalar<kKind>(a[i], b[i]);
  } else if constexpr (kMode == RowMode::kScalarA) {
    const T s = *a;
    for (size_t i = 0; i < n; ++i) out[i] = CompareScalar<kKind>(s, b[i]);
  } else {
    const T s = *b;
    for (size_t i = 0; i < n; ++i) out[i] = CompareScalar<kKind>(a[i], s);
  }
}

template <typename T, CompareKind kKind>
CompareRow<T> PickCompareMode(RowMode mode) {
  switch (mode) {
    case RowMode::kVectors:
      return &CompareRowLoop<kKind, RowMode::kVectors, T>;
    case RowMode::kScalarA:
      return &CompareRowLoop<kKind, RowMode::kScalarA, T>;
    case RowMode::kScalarB:
      return &CompareRowLoop<kKind, RowMode::kScalarB, T>;
    case RowMode::kStreamed:
      break;
  }
  return nullptr;
}

template <typename T>
CompareRow<T> PickCompare(CompareKind kind, RowMode mode) {
  switch (kind) {
    case CompareKind::kEqual:
      return PickCompareMode<T, CompareKind::kEqual>(mode);
    case CompareKind::kNotEqual:
      return PickCompareMode<T, CompareKind::kNotEqual>(mode);
    case CompareKind::kLess:
      return PickCompareMode<T, CompareKind::kLess>(mode);
    case CompareKind::kLessEqual:
      return PickCompareMode<T, CompareKind::kLessEqual>(mode);
    case CompareKind::kGreater:
      return PickCompareMode<T, CompareKind::kGreater>(mode);
    case CompareKind::kGreaterEqual:
      return PickCompareMode<T, CompareKind::kGreaterEqual>(mode);
  }
  return nullptr;
}

CompareRow<float> PickCompareF32(CompareKind kind, RowMode mode) {
  return PickCompare<float>(kind, mode);
}
CompareRow<double> PickCompareF64(CompareKind kind, RowMode mode) {
  return PickCompare<double>(kind, mode);
}
CompareRow<int32_t> PickCompareI32(CompareKind kind, RowMode mode) {
  return PickCompare<int32_t>(kind, mode);
}
CompareRow<int64_t> PickCompareI64(CompareKind kind, RowMode mode) {
  return PickCompare<int64_t>(kind, mode);
}

// Selection moves bits, so two widths serve all types.
template <typename T>
void WhereRowLoop(size_t n, const uint8_t* condition, const T* a, const T* b,
                  T* out) {
  for (size_t i = 0; i < n; ++i) {
    const T va = a[i];
    const T vb = b[i];
    out[i] = condition[i] != 0 ? va : vb;
  }
}
void WhereRow4(size_t n, const uint8_t* condition, const int32_t* a,
               const int32_t* b, int32_t* out) {
  WhereRowLoop(n, condition, a, b, out);
}
void WhereRow8(size_t n, const uint8_t* condition, const int64_t* a,
               const int64_t* b, int64_t* out) {
  WhereRowLoop(n, condition, a, b, out);
}
void WhereRowF32(size_t n, const uint8_t* condition, const float* a,
                 const float* b, float* out) {
  WhereRowLoop(n, condition, a, b, out);
}
void WhereRowF64(size_t n, const uint8_t* condition, const double* a,
                 const double* b, double* out) {
  WhereRowLoop(n, condition, a, b, out);
}

// -------------------------------------------------------------------- unary

template <UnaryKind kKind, class D, class V>
HWY_INLINE V UnaryVector(D d, V x) {
  using T = hn::TFromD<D>;
  if constexpr (kKind == UnaryKind::kNeg) {
    return hn::Neg(x);
  } else if constexpr (kKind == UnaryKind::kAbs) {
    return hn::Abs(x);
  } else if constexpr (kKind == UnaryKind::kSquare) {
    return hn::Mul(x, x);
  } else if constexpr (kKind == UnaryKind::kSqrt) {
    return hn::Sqrt(x);
  } else if constexpr (kKind == UnaryKind::kRsqrt) {
    return hn::Div(hn::Set(d, T{1}), hn::Sqrt(x));
  } else if constexpr (kKind == UnaryKind::kReciprocal) {
    return hn::Div(hn::Set(d, T{1}), x);
  } else if constexpr (kKind == UnaryKind::kExp) {
    return VecExp(d, x);
  } else if constexpr (kKind == UnaryKind::kLog) {
    return VecLog(d, x);
  } else if constexpr (kKind == UnaryKind::kLog1p) {
    return VecLog1p(d, x);
  } else if constexpr (kKind == UnaryKind::kExpm1) {
    return VecExpm1(d, x);
  } else if constexpr (kKind == UnaryKind::kSin) {
    return VecSin(d, x);
  } else if constexpr (kKind == UnaryKind::kCos) {
    return VecCos(d, x);
  } else if constexpr (kKind == UnaryKind::kTanh) {
    return VecTanh(d, x);
  } else if constexpr (kKind == UnaryKind::kErf) {
    return VecErf(d, x);
  } else if constexpr (kKind == UnaryKind::kErfc) {
    return VecErfc(d, x);
  } else {
    static_assert(kKind == UnaryKind::kSign, "");
    const V zero = hn::Zero(d);
    const V one = hn::CopySign(hn::Set(d, T{1}), x);
    // Zeros and NaN as they are.
    return hn::IfThenElse(hn::Gt(hn::Abs(x), zero), one, x);
  }
}

template <UnaryKind kKind, typename T>
void UnaryRowLoop(size_t n, const T* x, T* y, StoreMode mode) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  MapLoop(
      d, n, x, y, [d](V v) SEPTET_LAMBDA { return UnaryVector<kKind>(d, v); },
      mode);
  EndStores(mode);
}

template <typename T>
UnaryRow<T> PickUnary(UnaryKind kind) {
  switch (kind) {
    case UnaryKind::kNeg:
      return &UnaryRowLoop<UnaryKind::kNeg, T>;
    case UnaryKind::kAbs:
      return &UnaryRowLoop<UnaryKind::kAbs, T>;
    case UnaryKind::kSquare:
      return &UnaryRowLoop<UnaryKind::kSquare, T>;
    case UnaryKind::kSqrt:
      return &UnaryRowLoop<UnaryKind::kSqrt, T>;
    case UnaryKind::kRsqrt:
      return &UnaryRowLoop<UnaryKind::kRsqrt, T>;
    case UnaryKind::kReciprocal:
      return &UnaryRowLoop<UnaryKind::kReciprocal, T>;
    case UnaryKind::kExp:
      return &UnaryRowLoop<UnaryKind::kExp, T>;
    case UnaryKind::kLog:
      return &UnaryRowLoop<UnaryKind::kLog, T>;
    case UnaryKind::kLog1p:
      return &UnaryRowLoop<UnaryKind::kLog1p, T>;
    case UnaryKind::kExpm1:
      return &UnaryRowLoop<UnaryKind::kExpm1, T>;
    case UnaryKind::kSin:
      return &UnaryRowLoop<UnaryKind::kSin, T>;
    case UnaryKind::kCos:
      return &UnaryRowLoop<UnaryKind::kCos, T>;
    case UnaryKind::kTanh:
      return &UnaryRowLoop<UnaryKind::kTanh, T>;
    case UnaryKind::kErf:
      return &UnaryRowLoop<UnaryKind::kErf, T>;
    case UnaryKind::kErfc:
      return &UnaryRowLoop<UnaryKind::kErfc, T>;
    case UnaryKind::kSign:
      return &UnaryRowLoop<UnaryKind::kSign, T>;
  }
  return nullptr;
}

UnaryRow<float> PickUnaryF32(UnaryKind kind) { return PickUnary<float>(kind); }
UnaryRow<double> PickUnaryF64(UnaryKind kind) {
  return PickUnary<double>(kind);
}

// --------------------------------------------------------------------- axpy

template <typename T>
void AxpyLoop(size_t n, T a, const T* x, T* y) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  const V va = hn::Set(d, a);
  MapLoop2(d, n, x, y, y, [va](V vx, V vy) SEPTET_LAMBDA {
    return hn::Add(vy, hn::Mul(va, vx));
  });
}
void AxpyF32(size_t n, float a, const float* x, float* y) {
  AxpyLoop(n, a, x, y);
}
void AxpyF64(size_t n, double a, const double* x, double* y) {
  AxpyLoop(n, a, x, y);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {
namespace {

HWY_EXPORT(BinaryF32);
HWY_EXPORT(BinaryF64);
HWY_EXPORT(PickBinaryF32);
HWY_EXPORT(PickBinaryF64);
HWY_EXPORT(PickBinaryI32);
HWY_EXPORT(PickBinaryI64);
HWY_EXPORT(PickCompareF32);
HWY_EXPORT(PickCompareF64);
HWY_EXPORT(PickCompareI32);
HWY_EXPORT(PickCompareI64);
HWY_EXPORT(WhereRow4);
HWY_EXPORT(WhereRow8);
HWY_EXPORT(WhereRowF32);
HWY_EXPORT(WhereRowF64);
HWY_EXPORT(PickUnaryF32);
HWY_EXPORT(PickUnaryF64);
HWY_EXPORT(AxpyF32);
HWY_EXPORT(AxpyF64);

using ops_internal::GatherRow;
using ops_internal::kGatherChunk;
using ops_internal::StridedLoop;

static_assert(kMaxStridedRank == ops_internal::kMaxRank, "");

// The row function of the best target, by type.
template <typename T>
BinaryRow<T> GetBinaryRow(BinaryKind kind, RowMode mode) {
  BinaryRow<T> row = nullptr;
  if constexpr (std::is_same<T, float>::value) {
    row = HWY_DYNAMIC_DISPATCH(PickBinaryF32)(kind, mode);
  } else if constexpr (std::is_same<T, double>::value) {
    row = HWY_DYNAMIC_DISPATCH(PickBinaryF64)(kind, mode);
  } else if constexpr (std::is_same<T, int32_t>::value) {
    row = HWY_DYNAMIC_DISPATCH(PickBinaryI32)(kind, mode);
  } else {
    row = HWY_DYNAMIC_DISPATCH(PickBinaryI64)(kind, mode);
  }
  SEPTET_CHECK(row != nullptr) << "no kernel for binary kind "
                               << static_cast<int>(kind) << " on integers";
  return row;
}

template <typename T>
void CallBinaryRow(BinaryKind kind, RowMode mode, int64_t n, const T* a,
                   const T* b, T* out) {
  const size_t count = static_cast<size_t>(n);
  if constexpr (std::is_same<T, float>::value) {
    HWY_DYNAMIC_DISPATCH(BinaryF32)(kind, mode, count, a, b, out);
  } else if constexpr (std::is_same<T, double>::value) {
    HWY_DYNAMIC_DISPATCH(BinaryF64)(kind, mode, count, a, b, out);
  } else {
    GetBinaryRow<T>(kind, mode)(count, a, b, out);
  }
}

template <typename T>
CompareRow<T> GetCompareRow(CompareKind kind, RowMode mode) {
  if constexpr (std::is_same<T, float>::value) {
    return HWY_DYNAMIC_DISPATCH(PickCompareF32)(kind, mode);
  } else if constexpr (std::is_same<T, double>::value) {
    return HWY_DYNAMIC_DISPATCH(PickCompareF64)(kind, mode);
  } else if constexpr (std::is_same<T, int32_t>::value) {
    return HWY_DYNAMIC_DISPATCH(PickCompareI32)(kind, mode);
  } else {
    return HWY_DYNAMIC_DISPATCH(PickCompareI64)(kind, mode);
  }
}

template <typename T>
void CallWhereRow(int64_t n, const uint8_t* condition, const T* a, const T* b,
                  T* out) {
  const size_t count = static_cast<size_t>(n);
  if constexpr (std::is_same<T, float>::value) {
    HWY_DYNAMIC_DISPATCH(WhereRowF32)(count, condition, a, b, out);
  } else if constexpr (std::is_same<T, double>::value) {
    HWY_DYNAMIC_DISPATCH(WhereRowF64)(count, condition, a, b, out);
  } else if constexpr (std::is_same<T, int32_t>::value) {
    HWY_DYNAMIC_DISPATCH(WhereRow4)(count, condition, a, b, out);
  } else {
    HWY_DYNAMIC_DISPATCH(WhereRow8)(count, condition, a, b, out);
  }
}

template <typename T>
UnaryRow<T> GetUnaryRow(UnaryKind kind) {
  if constexpr (std::is_same<T, float>::value) {
    return HWY_DYNAMIC_DISPATCH(PickUnaryF32)(kind);
  } else {
    return HWY_DYNAMIC_DISPATCH(PickUnaryF64)(kind);
  }
}

// out = row(a, b) over a strided loop. `get_row` gives the row function for a
// mode; R is the element type of the result.
template <typename T, typename R, typename GetRow>
void RunBinaryStrided(const GetRow& get_row, absl::Span<const int64_t> shape,
                      absl::Span<const int64_t> a_strides,
                      absl::Span<const int64_t> b_strides, const T* a,
                      const T* b, R* out) {
  const StridedLoop<2> loop(shape, {a_strides, b_strides});
  const int64_t n = loop.inner_extent();
  const int64_t stride_a = loop.inner_stride(0);
  const int64_t stride_b = loop.inner_stride(1);
  const bool unit_a = stride_a == 1;
  const bool unit_b = stride_b == 1;
  if ((unit_a && (unit_b || stride_b == 0)) || (unit_b && stride_a == 0)) {
    const auto row = get_row(stride_a == 0   ? RowMode::kScalarA
                             : stride_b == 0 ? RowMode::kScalarB
                                             : RowMode::kVectors);
    loop.ForEachRow([&](const int64_t* offsets) {
      row(static_cast<size_t>(n), a + offsets[0], b + offsets[1], out);
      out += n;
    });
    return;
  }
  const auto row = get_row(RowMode::kVectors);
  if (stride_a == 0 && stride_b == 0) {
    loop.ForEachRow([&](const int64_t* offsets) {
      row(1, a + offsets[0], b + offsets[1], out);
      std::fill(out + 1, out + n, out[0]);
      out += n;
    });
    return;
  }
  T buffer_a[kGatherChunk];
  T buffer_b[kGatherChunk];
  loop.ForEachRow([&](const int64_t* offsets) {
    for (int64_t begin = 0; begin < n; begin += kGatherChunk) {
      const int64_t count = std::min(kGatherChunk, n - begin);
      const T* chunk_a = a + offsets[0] + begin * stride_a;
      const T* chunk_b = b + offsets[1] + begin * stride_b;
      if (!unit_a) {
        GatherRow(count, chunk_a, stride_a, buffer_a);
        chunk_a = buffer_a;
      }
      if (!unit_b) {
        GatherRow(count, chunk_b, stride_b, buffer_b);
        chunk_b = buffer_b;
      }
      row(static_cast<size_t>(count), chunk_a, chunk_b, out);
      out += count;
    }
  });
}

template <typename T>
void CopyStrided(absl::Span<const int64_t> shape,
                 absl::Span<const int64_t> x_strides, const T* x, T* out) {
  const StridedLoop<1> loop(shape, {x_strides});
  const int64_t n = loop.inner_extent();
  const int64_t stride = loop.inner_stride(0);
  // The axis along which x is contiguous, if it is not the innermost.
  int partner = -1;
  for (int axis = 0; axis + 1 < loop.rank; ++axis) {
    if (loop.strides[0][axis] == 1) partner = axis;
  }
  if (stride == 0 || stride == 1 || partner < 0) {
    loop.ForEachRow([&](const int64_t* offsets) {
      const T* row = x + offsets[0];
      if (stride == 1) {
        std::memcpy(out, row, static_cast<size_t>(n) * sizeof(T));
      } else {
        GatherRow(n, row, stride, out);
      }
      out += n;
    });
    return;
  }
  // A transposition of [inner, partner], for each index of the other axes.
  // Tiles of 16 x 16 use each cache line up while it is in the cache.
  constexpr int64_t kTile = 16;
  int64_t other_shape[ops_internal::kMaxRank];
  int64_t other_strides[2][ops_internal::kMaxRank];
  size_t others = 0;
  int64_t partner_pitch = 0;
  int64_t pitch = loop.size;
  for (int axis = 0; axis + 1 < loop.rank; ++axis) {
    pitch /= std::max<int64_t>(loop.shape[axis], 1);
    if (axis == partner) {
      partner_pitch = pitch;
    } else {
      other_shape[others] = loop.shape[axis];
      other_strides[0][others] = loop.strides[0][axis];
      other_strides[1][others] = pitch;
      ++others;
    }
  }
  if (loop.size == 0) return;
  const StridedLoop<2> around(absl::MakeConstSpan(other_shape, others),
                              {absl::MakeConstSpan(other_strides[0], others),
                               absl::MakeConstSpan(other_strides[1], others)});
  const int64_t rows = loop.shape[partner];
  around.ForEachRow([&](const int64_t* offsets) {
    for (int64_t i = 0; i < around.inner_extent(); ++i) {
      const T* source = x + offsets[0] + i * around.inner_stride(0);
      T* target = out + offsets[1] + i * around.inner_stride(1);
      for (int64_t r0 = 0; r0 < rows; r0 += kTile) {
        const int64_t r1 = std::min(rows, r0 + kTile);
        for (int64_t c0 = 0; c0 < n; c0 += kTile) {
          const int64_t c1 = std::min(n, c0 + kTile);
          for (int64_t r = r0; r < r1; ++r) {
            for (int64_t c = c0; c < c1; ++c) {
              target[r * partner_pitch + c] = source[r + c * stride];
            }
          }
        }
      }
    }
  });
}

}  // namespace

template <typename T>
void BinaryKernel(BinaryKind kind, int64_t n, const T* a, const T* b, T* out,
                  StoreMode mode) {
  CallBinaryRow<T>(
      kind,
      mode == StoreMode::kStreaming ? RowMode::kStreamed : RowMode::kVectors, n,
      a, b, out);
}

template <typename T>
void BinaryScalarAKernel(BinaryKind kind, int64_t n, T a, const T* b, T* out) {
  CallBinaryRow<T>(kind, RowMode::kScalarA, n, &a, b, out);
}

template <typename T>
void BinaryScalarBKernel(BinaryKind kind, int64_t n, const T* a, T b, T* out) {
  CallBinaryRow<T>(kind, RowMode::kScalarB, n, a, &b, out);
}

template <typename T>
void BinaryStridedKernel(BinaryKind kind, absl::Span<const int64_t> shape,
                         absl::Span<const int64_t> a_strides,
                         absl::Span<const int64_t> b_strides, const T* a,
                         const T* b, T* out) {
  RunBinaryStrided<T, T>(
      [kind](RowMode mode) { return GetBinaryRow<T>(kind, mode); }, shape,
      a_strides, b_strides, a, b, out);
}

template <typename T>
void CompareKernel(CompareKind kind, int64_t n, const T* a, const T* b,
                   uint8_t* out) {
  GetCompareRow<T>(kind, RowMode::kVectors)(static_cast<size_t>(n), a, b, out);
}

template <typename T>
void CompareStridedKernel(CompareKind kind, absl::Span<const int64_t> shape,
                          absl::Span<const int64_t> a_strides,
                          absl::Span<const int64_t> b_strides, const T* a,
                          const T* b, uint8_t* out) {
  RunBinaryStrided<T, uint8_t>(
      [kind](RowMode mode) { return GetCompareRow<T>(kind, mode); }, shape,
      a_strides, b_strides, a, b, out);
}

template <typename T>
void WhereKernel(int64_t n, const uint8_t* condition, const T* a, const T* b,
                 T* out) {
  CallWhereRow(n, condition, a, b, out);
}

template <typename T>
void WhereStridedKernel(absl::Span<const int64_t> shape,
                        absl::Span<const int64_t> condition_strides,
                        absl::Span<const int64_t> a_strides,
                        absl::Span<const int64_t> b_strides,
                        const uint8_t* condition, const T* a, const T* b,
                        T* out) {
  const StridedLoop<3> loop(shape, {condition_strides, a_strides, b_strides});
  const int64_t n = loop.inner_extent();
  const int64_t stride_c = loop.inner_stride(0);
  const int64_t stride_a = loop.inner_stride(1);
  const int64_t stride_b = loop.inner_stride(2);
  uint8_t buffer_c[kGatherChunk];
  T buffer_a[kGatherChunk];
  T buffer_b[kGatherChunk];
  loop.ForEachRow([&](const int64_t* offsets) {
    for (int64_t begin = 0; begin < n; begin += kGatherChunk) {
      const int64_t count = std::min(kGatherChunk, n - begin);
      const uint8_t* chunk_c = condition + offsets[0] + begin * stride_c;
      const T* chunk_a = a + offsets[1] + begin * stride_a;
      const T* chunk_b = b + offsets[2] + begin * stride_b;
      if (stride_c != 1) {
        GatherRow(count, chunk_c, stride_c, buffer_c);
        chunk_c = buffer_c;
      }
      if (stride_a != 1) {
        GatherRow(count, chunk_a, stride_a, buffer_a);
        chunk_a = buffer_a;
      }
      if (stride_b != 1) {
        GatherRow(count, chunk_b, stride_b, buffer_b);
        chunk_b = buffer_b;
      }
      CallWhereRow(count, chunk_c, chunk_a, chunk_b, out);
      out += count;
    }
  });
}

template <typename T>
void UnaryKernel(UnaryKind kind, int64_t n, const T* x, T* y, StoreMode mode) {
  GetUnaryRow<T>(kind)(static_cast<size_t>(n), x, y, mode);
}

template <typename T>
void UnaryStridedKernel(UnaryKind kind, absl::Span<const int64_t> shape,
                        absl::Span<const int64_t> x_strides, const T* x, T* y) {
  const StridedLoop<1> loop(shape, {x_strides});
  const auto row = GetUnaryRow<T>(kind);
  const int64_t n = loop.inner_extent();
  const int64_t stride = loop.inner_stride(0);
  loop.ForEachRow([&](const int64_t* offsets) {
    const T* source = x + offsets[0];
    if (stride == 1) {
      row(static_cast<size_t>(n), source, y, StoreMode::kCached);
    } else if (stride == 0) {
      row(1, source, y, StoreMode::kCached);
      std::fill(y + 1, y + n, y[0]);
    } else {
      GatherRow(n, source, stride, y);
      row(static_cast<size_t>(n), y, y, StoreMode::kCached);
    }
    y += n;
  });
}

template <typename T>
void AccumulateKernel(int64_t n, const T* x, T* y) {
  BinaryKernel(BinaryKind::kAdd, n, y, x, y);
}

template <typename T>
void ScaleKernel(int64_t n, T a, const T* x, T* y) {
  BinaryScalarBKernel(BinaryKind::kMul, n, x, a, y);
}

template <>
void AxpyKernel<float>(int64_t n, float a, const float* x, float* y) {
  HWY_DYNAMIC_DISPATCH(AxpyF32)(static_cast<size_t>(n), a, x, y);
}
template <>
void AxpyKernel<double>(int64_t n, double a, const double* x, double* y) {
  HWY_DYNAMIC_DISPATCH(AxpyF64)(static_cast<size_t>(n), a, x, y);
}

void CopyStridedKernel(size_t element_size, absl::Span<const int64_t> shape,
                       absl::Span<const int64_t> x_strides, const void* x,
                       void* out) {
  switch (element_size) {
    case 1:
      return CopyStrided(shape, x_strides, static_cast<const uint8_t*>(x),
                         static_cast<uint8_t*>(out));
    case 2:
      return CopyStrided(shape, x_strides, static_cast<const uint16_t*>(x),
                         static_cast<uint16_t*>(out));
    case 4:
      return CopyStrided(shape, x_strides, static_cast<const uint32_t*>(x),
                         static_cast<uint32_t*>(out));
    case 8:
      return CopyStrided(shape, x_strides, static_cast<const uint64_t*>(x),
                         static_cast<uint64_t*>(out));
    default:
      SEPTET_CHECK(false) << "element size " << element_size;
  }
}

#define SEPTET_INSTANTIATE_(T)                                                \
  template void BinaryKernel<T>(BinaryKind, int64_t, const T*, const T*, T*,  \
                                StoreMode);                                   \
  template void BinaryScalarAKernel<T>(BinaryKind, int64_t, T, const T*, T*); \
  template void BinaryScalarBKernel<T>(BinaryKind, int64_t, const T*, T, T*); \
  template void BinaryStridedKernel<T>(                                       \
      BinaryKind, absl::Span<const int64_t>, absl::Span<const int64_t>,       \
      absl::Span<const int64_t>, const T*, const T*, T*);                     \
  template void CompareKernel<T>(CompareKind, int64_t, const T*, const T*,    \
                                 uint8_t*);                                   \
  template void CompareStridedKernel<T>(                                      \
      CompareKind, absl::Span<const int64_t>, absl::Span<const int64_t>,      \
      absl::Span<const int64_t>, const T*, const T*, uint8_t*);               \
  template void WhereKernel<T>(int64_t, const uint8_t*, const T*, const T*,   \
                               T*);                                           \
  template void WhereStridedKernel<T>(                                        \
      absl::Span<const int64_t>, absl::Span<const int64_t>,                   \
      absl::Span<const int64_t>, absl::Span<const int64_t>, const uint8_t*,   \
      const T*, const T*, T*);                                                \
  template void AccumulateKernel<T>(int64_t, const T*, T*)

SEPTET_INSTANTIATE_(float);
SEPTET_INSTANTIATE_(double);
SEPTET_INSTANTIATE_(int32_t);
SEPTET_INSTANTIATE_(int64_t);
#undef SEPTET_INSTANTIATE_

#define SEPTET_INSTANTIATE_(T)                                               \
  template void UnaryKernel<T>(UnaryKind, int64_t, const T*, T*, StoreMode); \
  template void UnaryStridedKernel<T>(UnaryKind, absl::Span<const int64_t>,  \
                                      absl::Span<const int64_t>, const T*,   \
                                      T*);                                   \
  template void ScaleKernel<T>(int64_t, T, const T*, T*)

SEPTET_INSTANTIATE_(float);
SEPTET_INSTANTIATE_(double);
#undef SEPTET_INSTANTIATE_

}  // namespace septet
#endif  // HWY_ONCE
