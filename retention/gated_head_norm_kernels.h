// SPDX-License-Identifier: Apache-2.0
// The kernels of GatedHeadNorm on the CPU: rows [begin, end) of a problem,
// each a head of a token.
#ifndef SEPTET_RETENTION_GATED_HEAD_NORM_KERNELS_H_
#define SEPTET_RETENTION_GATED_HEAD_NORM_KERNELS_H_

#include <cstdint>

namespace septet {

enum class HeadNorm {
  kRms,        // o rsqrt(mean(o^2) + eps)
  kRmsAffine,  // likewise times a weight [dv] that all heads share
  kLayer,      // (o - mean) rsqrt(var + eps), biased variance
  kNone,       // o
};

template <typename T>
struct GatedHeadNormProblem {
  int64_t width = 0;          // dv
  const T* o = nullptr;       // [rows, dv]
  const T* gate = nullptr;    // [rows, dv], null: none
  const T* weight = nullptr;  // [dv], null: none
  HeadNorm norm = HeadNorm::kRms;
  T eps = 0;
};

// Null pointers are results that nobody wants.
template <typename T>
struct GatedHeadNormGradient {
  const T* dy = nullptr;
  T* d_o = nullptr;
  T* dgate = nullptr;
  T* dweight = nullptr;  // [dv]: the sum over the rows, written
};

void GatedHeadNormForward(const GatedHeadNormProblem<float>& p, int64_t begin,
                          int64_t end, float* y);
void GatedHeadNormForward(const GatedHeadNormProblem<double>& p, int64_t begin,
                          int64_t end, double* y);
void GatedHeadNormBackward(const GatedHeadNormProblem<float>& p,
                           const GatedHeadNormGradient<float>& gradient,
                           int64_t begin, int64_t end);
void GatedHeadNormBackward(const GatedHeadNormProblem<double>& p,
                           const GatedHeadNormGradient<double>& gradient,
                           int64_t begin, int64_t end);

}  // namespace septet

#endif  // SEPTET_RETENTION_GATED_HEAD_NORM_KERNELS_H_
