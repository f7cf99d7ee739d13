// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/reduce_tree.h"
#include "septet/core/ops/rms_norm_kernels.h"
#include "septet/core/ops/store_mode.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/rms_norm_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/norm_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

template <typename T>
void Forward(size_t rows, size_t n, const T* x, const T* scale, T eps, T* y,
             T* rstd, StoreMode mode) {
  const T* const no_bias = nullptr;
  T* const no_mean = nullptr;
  NormForward<false>(rows, 1, n, x, scale, no_bias, eps, y, no_mean, rstd,
                     mode);
}

template <typename T>
void Backward(size_t rows, size_t n, const T* x, const T* scale, const T* rstd,
              const T* dy, T* dx, T* dscale, T* workspace, StoreMode mode) {
  const T* const no_mean = nullptr;
  T* const no_dbias = nullptr;
  NormBackward<false>(rows, 1, n, x, scale, no_mean, rstd, dy, dx, dscale,
                      no_dbias, workspace, mode);
}

void ForwardF32(size_t rows, size_t n, const float* x, const float* scale,
                float eps, float* y, float* rstd, StoreMode mode) {
  Forward(rows, n, x, scale, eps, y, rstd, mode);
}
void ForwardF64(size_t rows, size_t n, const double* x, const double* scale,
                double eps, double* y, double* rstd, StoreMode mode) {
  Forward(rows, n, x, scale, eps, y, rstd, mode);
}
void BackwardF32(size_t rows, size_t n, const float* x, const float* scale,
                 const float* rstd, const float* dy, float* dx, float* dscale,
                 float* workspace, StoreMode mode) {
  Backward(rows, n, x, scale, rstd, dy, dx, dscale, workspace, mode);
}
void BackwardF64(size_t rows, size_t n, const double* x, const double* scale,
                 const double* rstd, const double* dy, double* dx,
                 double* dscale, double* workspace, StoreMode mode) {
  Backward(rows, n, x, scale, rstd, dy, dx, dscale, workspace, mode);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {

HWY_EXPORT(ForwardF32);
HWY_EXPORT(ForwardF64);
HWY_EXPORT(BackwardF32);
HWY_EXPORT(BackwardF64);

void RmsNormForward(int64_t rows, int64_t n, const float* x, const float* scale,
                    float eps, float* y, float* rstd, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, scale, eps, y, rstd,
   mode);
}
void RmsNormForward(int64_t rows, int64_t n, const double* x,
                    const double* scale, double eps, double* y, double* rstd,
                    StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, scale, eps, y, rstd,
   mode);
}

int64_t RmsNormBackwardWorkspace(int64_t rows, int64_t n) {
  const int64_t block = static_cast<int64_t>(kReduceColumnBlock);
  int64_t blocks = (rows + block - 1) / block;
  int64_t levels = 2;  // one in work beside each that waits
  for (; blocks > 1; blocks /= 2) ++levels;
  return levels * n;
}

void RmsNormBackward(int64_t rows, int64_t n, const float* x,
                     const float* scale, const float* rstd, const float* dy,
                     float* dx, float* dscale, float* workspace,
                     StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, scale, rstd, dy, dx,
   dscale, workspace, mode);
}
void RmsNormBackward(int64_t rows, int64_t n, const double* x,
                     const double* scale, const double* rstd, const double* dy,
                     double* dx, double* dscale, double* workspace,
                     StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, scale, rstd, dy, dx,
   dscale, workspace, mode);
}

}  // namespace septet
#endif  // HWY_ONCE
