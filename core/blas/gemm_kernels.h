// SPDX-License-Identifier: Apache-2.0
// Vector kernels behind Gemm, on pointers. Gemm has checked the sizes: none is
// zero. All are serial, and an element's sum does not depend on how rows and
// columns are cut into calls (FewRows: columns at multiples of
// kFewRowsColumns), so that threads may share them.
#ifndef SEPTET_CORE_BLAS_GEMM_KERNELS_H_
#define SEPTET_CORE_BLAS_GEMM_KERNELS_H_

#include <cstdint>

namespace septet {

// The most rows that FewRows takes.
inline constexpr int64_t kFewRows = 4;
// Where columns of FewRows may be cut.
inline constexpr int64_t kFewRowsColumns = 64;

// One to four rows times a matrix, which is read once, in the order in which it
// lies in memory:
//   C [m, n] = alpha A [m, k] B + beta C,
// with B stored [k, n] or, transposed, [n, k]. A lies at any two strides, and
// so does C. C is not read if beta is zero.
template <typename T>
struct FewRowsArgs {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  const T* a = nullptr;
  int64_t a_row = 0;  // from one row to the next
  int64_t a_col = 0;
  const T* b = nullptr;
  int64_t ldb = 0;
  bool transpose_b = false;
  T* c = nullptr;
  int64_t c_row = 0;
  int64_t c_col = 0;
  T alpha = 1;
  T beta = 0;
  // Bytes of the whole matrix, of which columns may have been cut off: decides
  // how it is read.
  int64_t matrix_bytes = 0;
};
void FewRows(const FewRowsArgs<float>& args);
void FewRows(const FewRowsArgs<double>& args);

// The widest vector of the kernels, in bytes.
int64_t KernelVectorBytes();

// Columns of a panel: PanelProduct takes the n columns of B in groups of so
// many. The same for float and double in bytes.
template <typename T>
int64_t PanelColumns();

// Copies the columns of B [k, n] (stored [n, k] if transposed), times scale,
// into panels of k rows of PanelColumns() elements, one after the other. What
// the last panel has beyond n is left as it was. Threads may share the work at
// multiples of PanelColumns().
void PackPanels(int64_t k, int64_t n, const float* b, int64_t ldb,
                bool transpose_b, float scale, float* panels);
void PackPanels(int64_t k, int64_t n, const double* b, int64_t ldb,
                bool transpose_b, double scale, double* panels);

// to [columns, rows] = the transpose of from [rows, columns], rows of both at
// distances.
void Transpose(int64_t rows, int64_t columns, const float* from,
               int64_t from_row, float* to, int64_t to_row);
void Transpose(int64_t rows, int64_t columns, const double* from,
               int64_t from_row, double* to, int64_t to_row);

// C [m, n] = alpha A [m, k] B + beta C, by micro_gemm-inl.h. A lies at any two
// strides. Each element is one chain of multiply-adds in order of k.
template <typename T>
struct PanelProductArgs {
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  const T* a = nullptr;
  int64_t a_row = 0;
  int64_t a_col = 0;
  const T* b = nullptr;
  int64_t b_panel = 0;  // from one panel to the next
  int64_t b_row = 0;    // from one row to the next within a panel
  T* c = nullptr;
  int64_t ldc = 0;
  T alpha = 1;
  T beta = 0;
};
void PanelProduct(const PanelProductArgs<float>& args);
void PanelProduct(const PanelProductArgs<double>& args);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_GEMM_KERNELS_H_
