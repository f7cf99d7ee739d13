// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/packed_matrix.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/blas/gemm.h"
#include "septet/core/blas/gemm_impl.h"
#include "septet/core/blas/gemm_kernels.h"
#include "septet/core/tensor/allocator.h"

namespace septet {

template <typename T>
absl::StatusOr<PackedMatrix<T>> PackedMatrix<T>::Create(int64_t k, int64_t n,
                                                        const T* b, int64_t ldb,
                                                        bool transpose_b) {
  GemmShape shape;
  shape.n = n;
  shape.k = k;
  shape.transpose_b = transpose_b;
  // A and C are those of a product with no rows.
  const int64_t lda = k > 0 ? k : 1;
  const int64_t ldc = n > 0 ? n : 1;
  if (absl::Status status = ValidateGemm(shape, lda, ldb, ldc); !status.ok()) {
    return status;
  }
  PackedMatrix matrix;
  matrix.k_ = k;
  matrix.n_ = n;
  if (k == 0 || n == 0) return matrix;
  const int64_t width = PanelColumns<T>();
  const int64_t columns = (n + width - 1) / width * width;
  if (columns > std::numeric_limits<int64_t>::max() / k /
                    static_cast<int64_t>(sizeof(T))) {
    return absl::ResourceExhaustedError(
        absl::StrCat("gemm: no memory for ", k, " x ", n, " elements"));
  }
  const size_t bytes = static_cast<size_t>(columns * k) * sizeof(T);
  T* const panels = static_cast<T*>(CpuAllocator().Allocate(bytes));
  if (panels == nullptr) {
    return absl::ResourceExhaustedError(
        absl::StrCat("gemm: no memory for ", bytes, " bytes of packed matrix"));
  }
  PackAllPanels(k, n, b, ldb, transpose_b, T{1}, panels);
  matrix.panels_ = std::shared_ptr<const T>(panels, [bytes](const T* block) {
    CpuAllocator().Free(const_cast<T*>(block), bytes);
  });
  return matrix;
}

template <typename T>
absl::Status PackedMatrix<T>::Multiply(
    int64_t m, const T* a, int64_t lda, T* c, int64_t ldc,
    const PackedProductOptions& options) const {
  GemmShape shape{m, n_, k_, options.transpose_a, false};
  if (absl::Status status =
          ValidateGemm(shape, lda, n_ > 0 ? n_ : int64_t{1}, ldc);
      !status.ok()) {
    return status;
  }
  const GemmScale& scale = options.scale;
  if (panels_ == nullptr || m == 0 || scale.alpha == 0.0) {
    // Gemm without terms.
    shape.k = 0;
    shape.transpose_a = false;
    return Gemm(shape, a, 1, panels_.get(), n_ > 0 ? n_ : int64_t{1}, c, ldc,
                scale);
  }
  const int64_t width = PanelColumns<T>();
  PanelProductArgs<T> args;
  args.m = m;
  args.n = n_;
  args.k = k_;
  args.a = a;
  args.a_row = options.transpose_a ? 1 : lda;
  args.a_col = options.transpose_a ? lda : 1;
  args.b = panels_.get();
  args.b_panel = k_ * width;
  args.b_row = width;
  args.c = c;
  args.ldc = ldc;
  args.alpha = static_cast<T>(scale.alpha);
  args.beta = static_cast<T>(scale.beta);
  PanelProductInParallel(args);
  return absl::OkStatus();
}

template class PackedMatrix<float>;
template class PackedMatrix<double>;

}  // namespace septet
