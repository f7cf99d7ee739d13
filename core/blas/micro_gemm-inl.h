// SPDX-License-Identifier: Apache-2.0
// The register-blocked product of small matrices that lie in cache, for every
// Highway target: C = A B or C += A B, with C [m, n], A [m, k], B [k, n], float
// or double. Include it after hwy/foreach_target.h, as all -inl.h.
//
//   MicroGemm(m, n, k, a, /*a_row=*/k, /*a_column=*/1, b, /*ldb=*/n, c,
//             /*ldc=*/n, /*accumulate=*/false);
//
// Elements of A are read one at a time and repeated over a vector, so that A
// may have any two strides: a transposed A costs nothing. Rows of B and C are
// contiguous; the distances between them are free. A transposed B is brought
// into this form by PackTransposed. Nothing is allocated and nothing packed:
// this is for operands of some tens of KiB, such as a tile of attention scores,
// a batch of little products, or a block of a convolution. For large ones
// there is core/blas/gemm.h.
//
// Each element of C is one chain of k fused multiply-adds in ascending order,
// which begins at 0 or, with `accumulate`, at what C holds. Its bits therefore
// depend neither on the other elements nor on how m, n or k is cut: one call
// over k and two over its halves, the second one accumulating, agree.
//
// How the registers are used. A tile of C of R rows and V vectors is held in
// R V accumulators; each step of k loads V vectors of B, repeats R elements of
// A and does R V multiply-adds. That needs R V + V + 1 registers, R V >= 8 to
// hide the latency of 4 cycles of two multipliers, and few loads an
// operation, (R + V) / (R V), because a core loads but two vectors (Zen 4: one
// of 64 bytes) a cycle:
//   32 registers (AVX-512, Neon)  6 x 4: 29 registers, 0.42 loads
//   16 registers (SSE, AVX2)      6 x 2: 15 registers, 0.67 loads
// Of the shapes that fit into 32, 6 x 4 has the widest rows, which is what
// attention heads (64 floats are 4 vectors) and 64-channel images have, and
// the highest reuse but 5 x 5 and 8 x 3, which leave more columns over. What
// is left over on the right is done with fewer vectors and, so that there are
// still enough accumulators, 8 rows; what is left over below with 2 or 4 rows
// and then one.
//
// Columns are the outer loop: the panel [k, 4 vectors] of B, 16 KiB for 64
// terms, stays in the first-level cache while A passes by.
//
// Cost: m n k multiply-adds. 90 % and more of the peak for products such as
// 64 x 128 x 64 in cache (micro_gemm_benchmark).
#if defined(SEPTET_CORE_BLAS_MICRO_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SEPTET_CORE_BLAS_MICRO_GEMM_INL_H_
#undef SEPTET_CORE_BLAS_MICRO_GEMM_INL_H_
#else
#define SEPTET_CORE_BLAS_MICRO_GEMM_INL_H_
#endif

#include <cstddef>

#include "hwy/highway.h"
#include "septet/core/blas/partial_vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
// Every translation unit has its own copy, compiled with its own options.
namespace {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE
// Vectors of unknown length cannot be held in arrays.

inline constexpr size_t kMicroGemmMaxVectors = 1;

template <typename T>
void MicroGemm(size_t m, size_t n, size_t k, const T* a, size_t a_row,
               size_t a_column, const T* HWY_RESTRICT b, size_t ldb,
               T* HWY_RESTRICT c, size_t ldc, bool accumulate) {
  const hn::ScalableTag<T> d;
  const size_t lanes = hn::Lanes(d);
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; j += lanes) {
      const size_t count = HWY_MIN(lanes, n - j);
      auto sum =
          accumulate ? LoadPartial(d, c + i * ldc + j, count) : hn::Zero(d);
      for (size_t p = 0; p < k; ++p) {
        sum = hn::MulAdd(hn::Set(d, a[i * a_row + p * a_column]),
                         LoadPartial(d, b + p * ldb + j, count), sum);
      }
      StorePartial(d, sum, c + i * ldc + j, count);
    }
  }
}

template <typename T>
void PackTransposed(size_t rows, size_t columns, const T* HWY_RESTRICT from,
                    size_t from_row, T scale, T* HWY_RESTRICT to,
                    size_t to_row) {
  for (size_t i = 0; i < rows; ++i) {
    for (size_t j = 0; j < columns; ++j) {
      to[j * to_row + i] = scale * from[i * from_row + j];
    }
  }
}

#else

// What the head of this file says about registers.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
inline constexpr size_t kMicroGemmMaxVectors = 4;
#else
inline constexpr size_t kMicroGemmMaxVectors = 2;
#endif
constexpr size_t MicroGemmRows(size_t vectors) {
  return vectors == kMicroGemmMaxVectors ? 6 : 8;
}
constexpr size_t MicroGemmRowsLeft(size_t vectors) {
  return vectors == 4 ? 2 : 4;
}

// One tile; the last vector has `tail` columns if kPartial.
template <size_t kRows, size_t kVectors, bool kPartial, typename T>
HWY_INLINE void MicroGemmTile(size_t k, const T* HWY_RESTRICT a, size_t a_row,
                              size_t a_column, const T* HWY_RESTRICT b,
                              size_t ldb, T* HWY_RESTRICT c, size_t ldc,
                              size_t tail, bool accumulate) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<decltype(d)>;
  constexpr size_t kLanes = hn::MaxLanes(d);
  const auto load = [&](const T* p, size_t v) HWY_ATTR {
    return kPartial && v + 1 == kVectors ? LoadPartial(d, p + v * kLanes, tail)
                                         : hn::LoadU(d, p + v * kLanes);
  };
  V sum[kRows][kVectors];
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      sum[r][v] = accumulate ? load(c + r * ldc, v) : hn::Zero(d);
    }
  }
#pragma GCC unroll 2
  for (size_t p = 0; p < k; ++p) {
    V row[kVectors];
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) row[v] = load(b, v);
#pragma GCC unroll 8
    for (size_t r = 0; r < kRows; ++r) {
      const V element = hn::Set(d, a[r * a_row]);
#pragma GCC unroll 4
      for (size_t v = 0; v < kVectors; ++v) {
        sum[r][v] = hn::MulAdd(element, row[v], sum[r][v]);
      }
    }
    a += a_column;
    b += ldb;
  }
#pragma GCC unroll 8
  for (size_t r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (size_t v = 0; v < kVectors; ++v) {
      T* to = c + r * ldc + v * kLanes;
      if (kPartial && v + 1 == kVectors) {
        StorePartial(d, sum[r][v], to, tail);
      } else {
        hn::StoreU(sum[r][v], d, to);
      }
    }
  }
}

// All rows of kVectors vectors of columns.
template <size_t kVectors, bool kPartial, typename T>
void MicroGemmColumns(size_t m, size_t k, const T* a, size_t a_row,
                      size_t a_column, const T* b, size_t ldb, T* c, size_t ldc,
                      size_t tail, bool accumulate) {
  constexpr size_t kRows = MicroGemmRows(kVectors);
  constexpr size_t kRowsLeft = MicroGemmRowsLeft(kVectors);
  for (; m >= kRows; m -= kRows, a += kRows * a_row, c += kRows * ldc) {
    MicroGemmTile<kRows, kVectors, kPartial>(k, a, a_row, a_column, b, ldb, c,
                                             ldc, tail, accumulate);
  }
  for (; m >= kRowsLeft;
       m -= kRowsLeft, a += kRowsLeft * a_row, c += kRowsLeft * ldc) {
    MicroGemmTile<kRowsLeft, kVectors, kPartial>(k, a, a_row, a_column, b, ldb,
                                                 c, ldc, tail, accumulate);
  }
  for (; m >= 1; --m, a += a_row, c += ldc) {
    MicroGemmTile<1, kVectors, kPartial>(k, a, a_row, a_column, b, ldb, c, ldc,
                                         tail, accumulate);
  }
}

// C [m, n] = A B, or C += A B with `accumulate`. Element (i, p) of A is
// a[i a_row + p a_column]; rows of B and of C lie ldb and ldc elements apart.
// C must not overlap A or B. Any extent may be 0: with k = 0, C is set to 0 or
// kept.
template <typename T>
void MicroGemm(size_t m, size_t n, size_t k, const T* a, size_t a_row,
               size_t a_column, const T* b, size_t ldb, T* c, size_t ldc,
               bool accumulate) {
  const hn::ScalableTag<T> d;
  constexpr size_t kLanes = hn::MaxLanes(d);
  constexpr size_t kWide = kMicroGemmMaxVectors * kLanes;
  for (; n >= kWide; n -= kWide, b += kWide, c += kWide) {
    MicroGemmColumns<kMicroGemmMaxVectors, false>(
        m, k, a, a_row, a_column, b, ldb, c, ldc, size_t{0}, accumulate);
  }
  if (n == 0) return;
  const size_t vectors = (n + kLanes - 1) / kLanes;
  const size_t tail = n - (vectors - 1) * kLanes;
#define SEPTET_MICRO_GEMM_COLUMNS(count, partial)                          \
  MicroGemmColumns<HWY_MIN(size_t{count}, kMicroGemmMaxVectors), partial>( \
      m, k, a, a_row, a_column, b, ldb, c, ldc, tail, accumulate)
  if (tail == kLanes) {
    switch (vectors) {
      case 1:
        return SEPTET_MICRO_GEMM_COLUMNS(1, false);
      case 2:
        return SEPTET_MICRO_GEMM_COLUMNS(2, false);
      default:
        return SEPTET_MICRO_GEMM_COLUMNS(3, false);
    }
  }
  switch (vectors) {
    case 1:
      return SEPTET_MICRO_GEMM_COLUMNS(1, true);
    case 2:
      return SEPTET_MICRO_GEMM_COLUMNS(2, true);
    case 3:
      return SEPTET_MICRO_GEMM_COLUMNS(3, true);
    default:
      return SEPTET_MICRO_GEMM_COLUMNS(4, true);
  }
#undef SEPTET_MICRO_GEMM_COLUMNS
}

// One vector whose 16-byte blocks come from rows 0, step, 2 step, ...
template <class D, typename T = hn::TFromD<D> >
HWY_INLINE hn::Vec<D> LoadBlocks(D d, const T* HWY_RESTRICT p, size_t step) {
  if constexpr (hn::MaxLanes(d) * sizeof(T) <= 16) {
    return hn::LoadU(d, p);
  } else {
    const hn::Half<D> half;
    const size_t blocks = hn::MaxLanes(half) * sizeof(T) / 16;
    return hn::Combine(d, LoadBlocks(half, p + blocks * step, step),
                       LoadBlocks(half, p, step));
  }
}

// to[j to_row + i] = scale from[i from_row + j], i < rows, j < columns: the
// transpose, as B of MicroGemm wants it. Reads and writes each element once.
// Full vectors are transposed in 16-byte blocks, at a quarter of a cycle an
// element; the rest element by element.
template <typename T>
void PackTransposed(size_t rows, size_t columns, const T* HWY_RESTRICT from,
                    size_t from_row, T scale, T* HWY_RESTRICT to,
                    size_t to_row) {
  const hn::ScalableTag<T> d;
  const auto factor = hn::Set(d, scale);
  constexpr size_t kLanes = hn::MaxLanes(d);
  constexpr size_t kBlock = 16 / sizeof(T);
  const size_t block_step = kBlock * from_row;
  size_t i = 0;
  for (; kLanes >= kBlock && i + kLanes <= rows; i += kLanes) {
    const T* row = from + i * from_row;
    T* out = to + i;
    size_t j = 0;
    for (; j + kBlock <= columns; j += kBlock) {
      if constexpr (kBlock == 2) {
        const auto v0 = LoadBlocks(d, row + j, block_step);
        const auto v1 = LoadBlocks(d, row + from_row + j, block_step);
        hn::StoreU(hn::Mul(hn::InterleaveLower(d, v0, v1), factor), d,
                   out + j * to_row);
        hn::StoreU(hn::Mul(hn::InterleaveUpper(d, v0, v1), factor), d,
                   out + (j + 1) * to_row);
      } else {
        const auto v0 = LoadBlocks(d, row + j, block_step);
        const auto v1 = LoadBlocks(d, row + from_row + j, block_step);
        const auto v2 = LoadBlocks(d, row + 2 * from_row + j, block_step);
        const auto v3 = LoadBlocks(d, row + 3 * from_row + j, block_step);
        const auto even_low = hn::InterleaveLower(d, v0, v2);
        const auto even_high = hn::InterleaveUpper(d, v0, v2);
        const auto odd_low = hn::InterleaveLower(d, v1, v3);
        const auto odd_high = hn::InterleaveUpper(d, v1, v3);
        hn::StoreU(hn::Mul(hn::InterleaveLower(d, even_low, odd_low), factor),
                   d, out + j * to_row);
        hn::StoreU(hn::Mul(hn::InterleaveUpper(d, even_low, odd_low), factor),
                   d, out + (j + 1) * to_row);
        hn::StoreU(hn::Mul(hn::InterleaveLower(d, even_high, odd_high), factor),
                   d, out + (j + 2) * to_row);
        hn::StoreU(hn::Mul(hn::InterleaveUpper(d, even_high, odd_high), factor),
                   d, out + (j + 3) * to_row);
      }
    }
    for (; j < columns; ++j) {
      for (size_t r = 0; r < kLanes; ++r) {
        out[j * to_row + r] = scale * row[r * from_row + j];
      }
    }
  }
  for (; i < rows; ++i) {
    for (size_t j = 0; j < columns; ++j) {
      to[j * to_row + i] = scale * from[i * from_row + j];
    }
  }
}

#endif  // HWY_TARGET == HWY_SCALAR || HWY_HAVE_SCALABLE

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#endif  // SEPTET_CORE_BLAS_MICRO_GEMM_INL_H_
