// SPDX-License-Identifier: Apache-2.0
// Keeps or drops elements by random words, on the CPU.
//
//   DropoutKernel(n, words, threshold, scale, x, y);
//
// Plain functions: no allocation, no threads. y may be x.
#ifndef SEPTET_CORE_OPS_DROPOUT_KERNELS_H_
#define SEPTET_CORE_OPS_DROPOUT_KERNELS_H_

#include <cstdint>

namespace septet {

// y[i] = words[i] >= threshold ? scale x[i] : 0, i < n. threshold >= 1.
void DropoutKernel(int64_t n, const uint32_t* words, uint32_t threshold,
                   float scale, const float* x, float* y);
void DropoutKernel(int64_t n, const uint32_t* words, uint32_t threshold,
                   double scale, const double* x, double* y);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_DROPOUT_KERNELS_H_
