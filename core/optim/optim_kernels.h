// SPDX-License-Identifier: Apache-2.0
// The arithmetic of core/optim on plain arrays, in Highway: one pass over
// memory each. Products, sums, quotients and roots are rounded one by one, so
// that the bits are the same for every vector width and instruction set.
#ifndef SEPTET_CORE_OPTIM_OPTIM_KERNELS_H_
#define SEPTET_CORE_OPTIM_OPTIM_KERNELS_H_

#include <cstdint>

namespace septet {

template <typename T>
struct AdamCoefficients {
  T beta1;
  T beta2;
  T one_minus_beta1;
  T one_minus_beta2;
  T step_size;    // lr / (1 - beta1^t)
  T root_factor;  // 1 / sqrt(1 - beta2^t)
  T eps;
};

// For i < n: m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2,
// p <- p - step_size (m / (root_factor sqrt(v) + eps)). T: float, double. No
// array may overlap another.
template <typename T>
void AdamKernel(int64_t n, const AdamCoefficients<T>& c, const T* g, T* p, T* m,
                T* v);

// For i < n: y <- a x + b y. y may be x. T: float, double.
template <typename T>
void AxpbyKernel(int64_t n, T a, const T* x, T b, T* y);

extern template void AdamKernel(int64_t, const AdamCoefficients<float>&,
                                const float*, float*, float*, float*);
extern template void AdamKernel(int64_t, const AdamCoefficients<double>&,
                                const double*, double*, double*, double*);
extern template void AxpbyKernel(int64_t, float, const float*, float, float*);
extern template void AxpbyKernel(int64_t, double, const double*, double,
                                 double*);

}  // namespace septet

#endif  // SEPTET_CORE_OPTIM_OPTIM_KERNELS_H_
