// SPDX-License-Identifier: Apache-2.0
// A matrix that is multiplied with many times, such as a layer's weight when a
// model only runs: brought into the layout of the kernel once.
//
//   SEPTET_ASSIGN_OR_RETURN(                                 // w [1024, 512]
//       const auto packed, PackedMatrix<float>::Create(1024, 512, w, 512));
//   SEPTET_RETURN_IF_ERROR(packed.Multiply(32, x, 1024, y, 512));
//
// The layout is that of gemm.h's "highway-packed": panels of four vectors of
// columns, down which the register-blocked kernel runs. Products are those of
// Gemm without its copying (an element of C is one chain of multiply-adds), for
// any number of rows; 32 x 1024 x 1024 reaches 0.9 of the peak of
// multiply-adds.
//
// Memory: k n elements, n rounded up to a panel. Cost of packing: reading and
// writing as much, about as long as a product of 20 rows. Copies share one
// memory, which is never written again: any number of threads may multiply with
// one matrix at the same time. The bits of a product do not depend on the
// number of threads of the current pool.
#ifndef SEPTET_CORE_BLAS_PACKED_MATRIX_H_
#define SEPTET_CORE_BLAS_PACKED_MATRIX_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/blas/gemm.h"

namespace septet {

struct PackedProductOptions {
  bool transpose_a = false;  // A is stored [k, m] instead of [m, k]
  GemmScale scale;
};

// T: float, double.
template <typename T>
class PackedMatrix {
 public:
  // [0, 0].
  PackedMatrix() = default;

  // Packs B [k, n], stored [n, k] if transposed, with rows (as stored) ldb
  // elements apart. B is not needed afterwards. InvalidArgument for a negative
  // size or ldb below the length of a row; ResourceExhausted, with the bytes,
  // if there is no memory.
  static absl::StatusOr<PackedMatrix> Create(int64_t k, int64_t n, const T* b,
                                             int64_t ldb,
                                             bool transpose_b = false);

  int64_t k() const { return k_; }
  int64_t n() const { return n_; }

  // C [m, n] = alpha op(A) B + beta C, as Gemm; errors as there.
  absl::Status Multiply(int64_t m, const T* a, int64_t lda, T* c, int64_t ldc,
                        const PackedProductOptions& options = {}) const;

 private:
  int64_t k_ = 0;
  int64_t n_ = 0;
  std::shared_ptr<const T> panels_;  // null if there is nothing to pack
};

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_PACKED_MATRIX_H_
