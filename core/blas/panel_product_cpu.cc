// SPDX-License-Identifier: Apache-2.0
// Products with a matrix in panels of a few vectors of columns, which the
// register-blocked kernel runs down: a panel of kDepth rows, 128 KiB, comes
// from the second-level cache at a tenth of its bandwidth, six rows of A from
// the first.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "septet/core/blas/gemm_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/blas/panel_product_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/blas/micro_gemm-inl.h"
#include "septet/core/blas/partial_vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// Terms of the sums at a time: the sums are read and written once in so many.
constexpr int64_t kDepth = 512;

template <typename T>
size_t PanelColumnsOf() {
  return kMicroGemmMaxVectors * hn::Lanes(hn::ScalableTag<T>());
}

int64_t VectorBytes() {
  return static_cast<int64_t>(hn::Lanes(hn::ScalableTag<uint8_t>()));
}
int64_t PanelColumnsF32() {
  return static_cast<int64_t>(PanelColumnsOf<float>());
}
int64_t PanelColumnsF64() {
  return static_cast<int64_t>(PanelColumnsOf<double>());
}

template <typename T>
HWY_INLINE void Pack(int64_t k, int64_t n, const T* b, int64_t ldb,
                     bool transpose_b, T scale, T* panels) {
  const hn::ScalableTag<T> d;
  const int64_t lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t width = static_cast<int64_t>(PanelColumnsOf<T>());
  const auto factor = hn::Set(d, scale);
  for (int64_t j = 0; j < n; j += width, panels += k * width) {
    const int64_t count = std::min(width, n - j);
    if (transpose_b) {
      PackTransposed(static_cast<size_t>(count), static_cast<size_t>(k),
                     b + j * ldb, static_cast<size_t>(ldb), scale, panels,
                     static_cast<size_t>(width));
      continue;
    }
    for (int64_t p = 0; p < k; ++p) {
      const T* from = b + p * ldb + j;
      T* to = panels + p * width;
      int64_t q = 0;
      for (; q + lanes <= count; q += lanes) {
        hn::StoreU(hn::Mul(hn::LoadU(d, from + q), factor), d, to + q);
      }
      if (q < count) {
        const size_t rest = static_cast<size_t>(count - q);
        StorePartial(d, hn::Mul(LoadPartial(d, from + q, rest), factor), to + q,
                     rest);
      }
    }
  }
}

template <typename T>
HWY_INLINE void ScaleRows(int64_t m, int64_t n, T beta, T* c, int64_t ldc) {
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) c[i * ldc + j] *= beta;
  }
}

// `args` with alpha 1, `width` columns at a time.
template <typename T>
HWY_INLINE void ProductBy(const PanelProductArgs<T>& args, int64_t width) {
  for (int64_t p = 0; p < args.k; p += kDepth) {
    const int64_t depth = std::min(kDepth, args.k - p);
    const T* a = args.a + p * args.a_col;
    const bool accumulate = p > 0 || args.beta != T{0};
    const T* b = args.b + p * args.b_row;
    for (int64_t j = 0; j < args.n; j += width, b += args.b_panel) {
      const int64_t count = std::min(width, args.n - j);
      if (accumulate && p == 0 && args.beta != T{1}) {
        ScaleRows(args.m, count, args.beta, args.c + j, args.ldc);
      }
      MicroGemm(static_cast<size_t>(args.m), static_cast<size_t>(count),
                static_cast<size_t>(depth), a, static_cast<size_t>(args.a_row),
                static_cast<size_t>(args.a_col), b,
                static_cast<size_t>(args.b_row), args.c + j,
                static_cast<size_t>(args.ldc), accumulate);
    }
  }
}

template <typename T>
HWY_INLINE void Product(const PanelProductArgs<T>& args) {
  const int64_t width = static_cast<int64_t>(PanelColumnsOf<T>());
  // Some eights of rows fit the tiles of three vectors and leave rows of the
  // others over, for which the matrix would be read once more.
  if (kMicroGemmMaxVectors == 4 && args.b_panel == width && args.m <= 64 &&
      args.m % 8 == 0 && args.m % 6 != 0) {
    PanelProductArgs<T> narrow = args;
    narrow.b_panel = width / 4 * 3;
    return ProductBy(narrow, narrow.b_panel);
  }
  ProductBy(args, width);
}

template <typename T>
HWY_INLINE void ProductOf(const PanelProductArgs<T>& args) {
  if (args.alpha == T{1}) return Product(args);
  // With scaled copies of some of A at a time: 48 KiB of doubles.
  constexpr int64_t kRows = 12;
  HWY_ALIGN T copy[kRows * kDepth];
  for (int64_t i = 0; i < args.m; i += kRows) {
    PanelProductArgs<T> part = args;
    part.m = std::min(kRows, args.m - i);
    part.c = args.c + i * args.ldc;
    part.a = copy;
    part.a_row = kDepth;
    part.a_col = 1;
    part.alpha = 1;
    for (int64_t p = 0; p < args.k; p += kDepth) {
      part.k = std::min(kDepth, args.k - p);
      part.b = args.b + p * args.b_row;
      part.beta = p == 0 ? args.beta : T{1};
      for (int64_t r = 0; r < part.m; ++r) {
        const T* row = args.a + (i + r) * args.a_row + p * args.a_col;
        for (int64_t q = 0; q < part.k; ++q) {
          copy[r * kDepth + q] = args.alpha * row[q * args.a_col];
        }
      }
      Product(part);
    }
  }
}

void PackF32(int64_t k, int64_t n, const float* b, int64_t ldb,
             bool transpose_b, float scale, float* panels) {
  Pack(k, n, b, ldb, transpose_b, scale, panels);
}
void PackF64(int64_t k, int64_t n, const double* b, int64_t ldb,
             bool transpose_b, double scale, double* panels) {
  Pack(k, n, b, ldb, transpose_b, scale, panels);
}
void TransposeF32(int64_t rows, int64_t columns, const float* from,
                  int64_t from_row, float* to, int64_t to_row) {
  PackTransposed(static_cast<size_t>(rows), static_cast<size_t>(columns), from,
                 static_cast<size_t>(from_row), 1.0f, to,
                 static_cast<size_t>(to_row));
}
void TransposeF64(int64_t rows, int64_t columns, const double* from,
                  int64_t from_row, double* to, int64_t to_row) {
  PackTransposed(static_cast<size_t>(rows), static_cast<size_t>(columns), from,
                 static_cast<size_t>(from_row), 1.0, to,
                 static_cast<size_t>(to_row));
}
void ProductF32(const PanelProductArgs<float>& args) { ProductOf(args); }
void ProductF64(const PanelProductArgs<double>& args) { ProductOf(args); }

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(VectorBytes);
HWY_EXPORT(PanelColumnsF32);
HWY_EXPORT(PanelColumnsF64);
HWY_EXPORT(PackF32);
HWY_EXPORT(PackF64);
HWY_EXPORT(TransposeF32);
HWY_EXPORT(TransposeF64);
HWY_EXPORT(ProductF32);
HWY_EXPORT(ProductF64);

int64_t KernelVectorBytes() { return HWY_DYNAMIC_DISPATCH(VectorBytes)(); }
template <>
int64_t PanelColumns<float>() {
  return HWY_DYNAMIC_DISPATCH(PanelColumnsF32)();
}
template <>
int64_t PanelColumns<double>() {
  return HWY_DYNAMIC_DISPATCH(PanelColumnsF64)();
}
void PackPanels(int64_t k, int64_t n, const float* b, int64_t ldb,
                bool transpose_b, float scale, float* panels) {
  HWY_DYNAMIC_DISPATCH(PackF32)
  (k, n, b, ldb, transpose_b, scale, panels);
}
void PackPanels(int64_t k, int64_t n, const double* b, int64_t ldb,
                bool transpose_b, double scale, double* panels) {
  HWY_DYNAMIC_DISPATCH(PackF64)
  (k, n, b, ldb, transpose_b, scale, panels);
}
void Transpose(int64_t rows, int64_t columns, const float* from,
               int64_t from_row, float* to, int64_t to_row) {
  HWY_DYNAMIC_DISPATCH(TransposeF32)
  (rows, columns, from, from_row, to, to_row);
}
void Transpose(int64_t rows, int64_t columns, const double* from,
               int64_t from_row, double* to, int64_t to_row) {
  HWY_DYNAMIC_DISPATCH(TransposeF64)
  (rows, columns, from, from_row, to, to_row);
}
void PanelProduct(const PanelProductArgs<float>& args) {
  HWY_DYNAMIC_DISPATCH(ProductF32)(args);
}
void PanelProduct(const PanelProductArgs<double>& args) {
  HWY_DYNAMIC_DISPATCH(ProductF64)(args);
}

}  // namespace septet
#endif  // HWY_ONCE
