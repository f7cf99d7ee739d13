// SPDX-License-Identifier: Apache-2.0
// The inner loop of resizing (core/ops/upsample.h) over channels, on the CPU.
// A plain function: no allocation, no threads.
#ifndef SEPTET_CORE_OPS_UPSAMPLE_KERNELS_H_
#define SEPTET_CORE_OPS_UPSAMPLE_KERNELS_H_

#include <cstdint>

namespace septet {

// One row of the result. Pixel j, j < cols, is the sum over a < num_rows and
// begin[j] <= b < begin[j + 1] of row_weight[a] col_weight[b] times pixel
// col[b] of x's row row[a]; rows are row_stride elements apart, pixels
// `channels`.
void ResizeRow(const float* x, int64_t row_stride, int64_t channels,
               int64_t num_rows, const int64_t* row, const double* row_weight,
               int64_t cols, const int64_t* begin, const int64_t* col,
               const double* col_weight, float* y);
void ResizeRow(const double* x, int64_t row_stride, int64_t channels,
               int64_t num_rows, const int64_t* row, const double* row_weight,
               int64_t cols, const int64_t* begin, const int64_t* col,
               const double* col_weight, double* y);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_UPSAMPLE_KERNELS_H_
