// SPDX-License-Identifier: Apache-2.0
// Elementwise kernels on the CPU: arithmetic, comparison, selection and
// elementary functions, on contiguous arrays, with a scalar operand, or with
// strides.
//
//   BinaryKernel(BinaryKind::kAdd, n, a, b, out);             // out = a + b
//   BinaryScalarBKernel(BinaryKind::kMul, n, a, 0.5f, out);   // out = a * 0.5
//   // out[2, 3] = a[2, 1] + b[3], both broadcast:
//   BinaryStridedKernel(BinaryKind::kAdd, {2, 3}, {1, 0}, {0, 1}, a, b, out);
//
// Plain functions: no allocation, no threads, no state; the fastest vector
// instructions of the machine are chosen once, on the first call. A call on 16
// floats costs about 5 ns.
//
// The bits of an element depend on its inputs only: not on its position, the
// length, the alignment, or which of these functions computed it. Arithmetic,
// comparison, sqrt, rsqrt, reciprocal and square have the same bits on every
// machine; the elementary functions differ within their error bounds between
// machines with and without fused multiply-add.
//
// `out` may be exactly `a` or `b` (in place) in the contiguous functions; apart
// from that, no output may overlap an input. Pointers need the alignment of
// their type only. Extents are >= 0; nothing else is checked: these are the
// inner loops, and their callers have compared the shapes.
//
// Strided functions take a shape of at most kMaxStridedRank axes, and a stride
// an axis for each input, in elements, of either sign or 0 (which broadcasts).
// The output is contiguous, row-major. Axes that lie one after the other in all
// operands are joined first, so that a broadcast of a bias, say, runs as the
// contiguous loop over its rows.
#ifndef SEPTET_CORE_OPS_ELEMENTWISE_KERNELS_H_
#define SEPTET_CORE_OPS_ELEMENTWISE_KERNELS_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "septet/core/ops/store_mode.h"

namespace septet {

constexpr int kMaxStridedRank = 8;

// kMaximum and kMinimum give NaN where either operand is NaN, and the first of
// two equal operands. kDiv is for float and double only: it aborts for
// integers. Integers wrap around at overflow.
enum class BinaryKind { kAdd, kSub, kMul, kDiv, kMaximum, kMinimum };
constexpr BinaryKind kAllBinaryKinds[] = {
    BinaryKind::kAdd, BinaryKind::kSub,     BinaryKind::kMul,
    BinaryKind::kDiv, BinaryKind::kMaximum, BinaryKind::kMinimum};

// NaN is unequal to everything, and neither less nor greater.
enum class CompareKind {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual
};
constexpr CompareKind kAllCompareKinds[] = {
    CompareKind::kEqual,   CompareKind::kNotEqual,
    CompareKind::kLess,    CompareKind::kLessEqual,
    CompareKind::kGreater, CompareKind::kGreaterEqual};

// The functions of <cmath> of these names, with their values at zeros,
// infinities, NaN and subnormal numbers; kSign is -1, 0 or 1, keeps the sign of
// zero and NaN. kSquare is x x, kReciprocal 1 / x, kRsqrt 1 / sqrt(x) in two
// rounded steps. Largest errors, in units in the last place of the result
// (ULP), for float and double: kSqrt and kReciprocal 0.5, kErfc kErfcMaxUlp,
// the others kUnaryMaxUlp.
enum class UnaryKind {
  kNeg,
  kAbs,
  kSquare,
  kSqrt,
  kRsqrt,
  kReciprocal,
  kExp,
  kLog,
  kLog1p,
  kExpm1,
  kSin,
  kCos,
  kTanh,
  kErf,
  kErfc,
  kSign
};
constexpr UnaryKind kAllUnaryKinds[] = {
    UnaryKind::kNeg,   UnaryKind::kAbs,   UnaryKind::kSquare,
    UnaryKind::kSqrt,  UnaryKind::kRsqrt, UnaryKind::kReciprocal,
    UnaryKind::kExp,   UnaryKind::kLog,   UnaryKind::kLog1p,
    UnaryKind::kExpm1, UnaryKind::kSin,   UnaryKind::kCos,
    UnaryKind::kTanh,  UnaryKind::kErf,   UnaryKind::kErfc,
    UnaryKind::kSign};
constexpr double kUnaryMaxUlp = 2.5;
constexpr double kErfcMaxUlp = 5.0;
// On machines without fused multiply-add.
constexpr double kErfcMaxUlpUnfused = 6.5;

// out[i] = a[i] (kind) b[i], i < n. T: float, double, int32_t, int64_t. mode:
// of the whole output, of which out may be a part (store_mode.h); integers are
// always kCached.
template <typename T>
void BinaryKernel(BinaryKind kind, int64_t n, const T* a, const T* b, T* out,
                  StoreMode mode = StoreMode::kCached);
// As BinaryKernel, with one value of a, or of b, for all i.
template <typename T>
void BinaryScalarAKernel(BinaryKind kind, int64_t n, T a, const T* b, T* out);
template <typename T>
void BinaryScalarBKernel(BinaryKind kind, int64_t n, const T* a, T b, T* out);
template <typename T>
void BinaryStridedKernel(BinaryKind kind, absl::Span<const int64_t> shape,
                         absl::Span<const int64_t> a_strides,
                         absl::Span<const int64_t> b_strides, const T* a,
                         const T* b, T* out);

// out[i] = a[i] (kind) b[i] as 0 or 1. T: float, double, int32_t, int64_t.
template <typename T>
void CompareKernel(CompareKind kind, int64_t n, const T* a, const T* b,
                   uint8_t* out);
template <typename T>
void CompareStridedKernel(CompareKind kind, absl::Span<const int64_t> shape,
                          absl::Span<const int64_t> a_strides,
                          absl::Span<const int64_t> b_strides, const T* a,
                          const T* b, uint8_t* out);

// out = condition != 0 ? a : b. T: float, double, int32_t, int64_t.
template <typename T>
void WhereKernel(int64_t n, const uint8_t* condition, const T* a, const T* b,
                 T* out);
template <typename T>
void WhereStridedKernel(absl::Span<const int64_t> shape,
                        absl::Span<const int64_t> condition_strides,
                        absl::Span<const int64_t> a_strides,
                        absl::Span<const int64_t> b_strides,
                        const uint8_t* condition, const T* a, const T* b,
                        T* out);

// y[i] = function of x[i]. T: float, double. mode as for BinaryKernel.
template <typename T>
void UnaryKernel(UnaryKind kind, int64_t n, const T* x, T* y,
                 StoreMode mode = StoreMode::kCached);
template <typename T>
void UnaryStridedKernel(UnaryKind kind, absl::Span<const int64_t> shape,
                        absl::Span<const int64_t> x_strides, const T* x, T* y);

// y[i] += x[i]. T: float, double, int32_t, int64_t.
template <typename T>
void AccumulateKernel(int64_t n, const T* x, T* y);
// y[i] = a x[i]. T: float, double.
template <typename T>
void ScaleKernel(int64_t n, T a, const T* x, T* y);
// y[i] += a x[i], product and sum rounded each. T: float, double.
template <typename T>
void AxpyKernel(int64_t n, T a, const T* x, T* y);

// out = x, contiguous, for elements of 1, 2, 4 or 8 bytes. Axes may be
// permuted: a transposition is copied in tiles that stay in the cache.
void CopyStridedKernel(size_t element_size, absl::Span<const int64_t> shape,
                       absl::Span<const int64_t> x_strides, const void* x,
                       void* out);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ELEMENTWISE_KERNELS_H_
