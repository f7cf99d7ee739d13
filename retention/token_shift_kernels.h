// SPDX-License-Identifier: Apache-2.0
// Mixtures of rows with the rows before them (retention/token_shift.h), forward
// and backward, on the CPU. Plain functions on contiguous arrays, float or
// double: no allocation, no threads. No product is fused with a sum: the bits
// are the same on every machine.
#ifndef SEPTET_RETENTION_TOKEN_SHIFT_KERNELS_H_
#define SEPTET_RETENTION_TOKEN_SHIFT_KERNELS_H_

#include <cstdint>

#include "septet/core/ops/store_mode.h"

namespace septet {

inline constexpr int kMaxTokenShifts = 3;

template <typename T>
struct TokenShiftProblem {
  int64_t sequences = 0;
  int64_t rows = 0;  // of each sequence
  int64_t channels = 0;
  int mixtures = 0;
  const T* x = nullptr;       // [sequences, rows, channels]
  const T* before = nullptr;  // [sequences, channels], or null: 0
  const T* mix = nullptr;     // [mixtures, channels]
};

// Rows begin .. end - 1 of all sequences' rows. y[m], of the shape of x, is
// overwritten, in the mode that fits the size of all of them (store_mode.h).
void TokenShiftForward(const TokenShiftProblem<float>& p, int64_t begin,
                       int64_t end, float* const* y,
                       StoreMode mode = StoreMode::kCached);
void TokenShiftForward(const TokenShiftProblem<double>& p, int64_t begin,
                       int64_t end, double* const* y,
                       StoreMode mode = StoreMode::kCached);

// The same rows of dx, of the shape of x, overwritten; dmix [mixtures,
// channels], added to. dy[m] is of the shape of x, or null: 0.
// mode: of dx.
void TokenShiftBackward(const TokenShiftProblem<float>& p, int64_t begin,
                        int64_t end, const float* const* dy, float* dx,
                        float* dmix, StoreMode mode = StoreMode::kCached);
void TokenShiftBackward(const TokenShiftProblem<double>& p, int64_t begin,
                        int64_t end, const double* const* dy, double* dx,
                        double* dmix, StoreMode mode = StoreMode::kCached);

}  // namespace septet

#endif  // SEPTET_RETENTION_TOKEN_SHIFT_KERNELS_H_
