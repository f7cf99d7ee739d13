// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "septet/core/ops/layer_norm_kernels.h"
#include "septet/core/ops/reduce_tree.h"
#include "septet/core/ops/store_mode.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/ops/layer_norm_kernels_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "septet/core/ops/norm_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace {

void ForwardF32(size_t rows, size_t n, const float* x, const float* scale,
                const float* bias, float eps, float* y, float* mean,
                float* rstd, StoreMode mode) {
  NormForward<true>(rows, 1, n, x, scale, bias, eps, y, mean, rstd, mode);
}
void ForwardF64(size_t rows, size_t n, const double* x, const double* scale,
                const double* bias, double eps, double* y, double* mean,
                double* rstd, StoreMode mode) {
  NormForward<true>(rows, 1, n, x, scale, bias, eps, y, mean, rstd, mode);
}
void BackwardF32(size_t rows, size_t n, const float* x, const float* scale,
                 const float* mean, const float* rstd, const float* dy,
                 float* dx, float* dscale, float* dbias, float* workspace,
                 StoreMode mode) {
  NormBackward<true>(rows, 1, n, x, scale, mean, rstd, dy, dx, dscale, dbias,
                     workspace, mode);
}
void BackwardF64(size_t rows, size_t n, const double* x, const double* scale,
                 const double* mean, const double* rstd, const double* dy,
                 double* dx, double* dscale, double* dbias, double* workspace,
                 StoreMode mode) {
  NormBackward<true>(rows, 1, n, x, scale, mean, rstd, dy, dx, dscale, dbias,
                     workspace, mode);
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

void LayerNormForward(int64_t rows, int64_t n, const float* x,
                      const float* scale, const float* bias, float eps,
                      float* y, float* mean, float* rstd, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ForwardF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, scale, bias, eps, y,
   mean, rstd, mode);
}
void LayerNormForward(int64_t rows, int64_t n, const double* x,
                      const double* scale, const double* bias, double eps,
                      double* y, double* mean, double* rstd, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(ForwardF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, scale, bias, eps, y,
   mean, rstd, mode);
}

int64_t LayerNormBackwardWorkspace(int64_t rows, int64_t n) {
  const int64_t block = static_cast<int64_t>(kReduceColumnBlock);
  int64_t blocks = (rows + block - 1) / block;
  int64_t levels = 2;  // one in work beside each that waits
  for (; blocks > 1; blocks /= 2) ++levels;
  return levels * 2 * n;
}

void LayerNormBackward(int64_t rows, int64_t n, const float* x,
                       const float* scale, const float* mean, const float* rstd,
                       const float* dy, float* dx, float* dscale, float* dbias,
                       float* workspace, StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardF32)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, scale, mean, rstd, dy,
   dx, dscale, dbias, workspace, mode);
}
void LayerNormBackward(int64_t rows, int64_t n, const double* x,
                       const double* scale, const double* mean,
                       const double* rstd, const double* dy, double* dx,
                       double* dscale, double* dbias, double* workspace,
                       StoreMode mode) {
  HWY_DYNAMIC_DISPATCH(BackwardF64)
  (static_cast<size_t>(rows), static_cast<size_t>(n), x, scale, mean, rstd, dy,
   dx, dscale, dbias, workspace, mode);
}

}  // namespace septet
#endif  // HWY_ONCE
