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
  T decay = 0;  // lr weight_decay; 0 leaves p's bits as if there were none
};

// For i < n: m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) g^2,
// p <- (p - decay p) - step_size (m / (root_factor sqrt(v) + eps)). T: float,
// double. No array may overlap another.
template <typename T>
void AdamKernel(int64_t n, const AdamCoefficients<T>& c, const T* g, T* p, T* m,
                T* v);

template <typename T>
struct SgdCoefficients {
  T lr;
  T gradient_decay;  // weight decay that is added to the gradient
  T decay;           // share of the parameter that is taken off it
  T momentum;
  T gradient_share;  // of the gradient in the momentum
};

enum class SgdKind { kPlain, kMomentum, kNesterov };

// For i < n: g' = g + gradient_decay p, p <- (p - decay p) - lr u, with u = g'
// for kPlain, m as updated by m <- momentum m + gradient_share g' for
// kMomentum, and g' + momentum m for kNesterov. T: float, double. No array may
// overlap another; kPlain does not look at m.
template <typename T>
void SgdKernel(SgdKind kind, int64_t n, const SgdCoefficients<T>& c, const T* g,
               T* p, T* m);

// The sum of x[i]^2, i < n, in double: element i goes to the sum i modulo 16,
// and those are added up pairwise. T: float, double.
template <typename T>
double SumSquaresKernel(int64_t n, const T* x);

// x[i] <- factor x[i].
template <typename T>
void RescaleKernel(int64_t n, T factor, T* x);

// x[i] <- x[i] limited to [-limit, limit]; NaN stays. limit >= 0.
template <typename T>
void LimitKernel(int64_t n, T limit, T* x);

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

extern template void SgdKernel(SgdKind, int64_t, const SgdCoefficients<float>&,
                               const float*, float*, float*);
extern template void SgdKernel(SgdKind, int64_t, const SgdCoefficients<double>&,
                               const double*, double*, double*);
extern template double SumSquaresKernel(int64_t, const float*);
extern template double SumSquaresKernel(int64_t, const double*);
extern template void RescaleKernel(int64_t, float, float*);
extern template void RescaleKernel(int64_t, double, double*);
extern template void LimitKernel(int64_t, float, float*);
extern template void LimitKernel(int64_t, double, double*);

}  // namespace septet

#endif  // SEPTET_CORE_OPTIM_OPTIM_KERNELS_H_
