// SPDX-License-Identifier: Apache-2.0
// The features of linear attention (Katharopoulos et al., 2020, arXiv
// 2006.16236) with the normaliser put into the queries, forward and backward,
// on the CPU. For one sequence and head, with phi(x) = elu(x) + 1,
//   f_t = phi(k_t),  z_t = z_{t-1} + f_t,  d_t = phi(q_t) z_t + eps,
//   u_t = phi(q_t) / d_t,
// so that the attention's output is sum_{s <= t} (u_t f_s) v_s.
//
//   for (int64_t task = 0; task < p.sequences * p.heads; ++task) {
//     LinearFeaturesForward(p, result, task, workspace);
//   }
//
// Plain functions, float or double: no allocation, no threads. Rows of queries
// and keys have dense last axes and any other strides. z is summed in blocks of
// rows, so that the error of a sum of T terms grows with T / 64 + 64.
#ifndef SEPTET_RETENTION_LINEAR_ATTENTION_KERNELS_H_
#define SEPTET_RETENTION_LINEAR_ATTENTION_KERNELS_H_

#include <cstdint>

#include "septet/retention/retention_problem.h"

namespace septet {

template <typename T>
struct LinearFeaturesProblem {
  int64_t sequences = 0;
  int64_t heads = 0;
  int64_t rows = 0;
  int64_t dim = 0;
  T eps = 0;
  RetentionOperand<const T> q;
  RetentionOperand<const T> k;
  const T* z = nullptr;  // before the first row, [sequences, heads, dim], or
                         // null: 0
};

// All contiguous: u, f [sequences, rows, heads, dim], d [sequences, rows,
// heads]; z, behind the last row, [sequences, heads, dim], or null.
template <typename T>
struct LinearFeaturesResult {
  T* u = nullptr;
  T* f = nullptr;
  T* d = nullptr;
  T* z = nullptr;
};

// What is given: du, df, of the layout of u and f, and dz; each may be null,
// for 0. What is written, contiguous: dq, dk of the layout of u, and dinitial,
// of z before the first row, or null.
template <typename T>
struct LinearFeaturesGradient {
  const T* d = nullptr;
  const T* du = nullptr;
  const T* df = nullptr;
  const T* dz = nullptr;
  T* dq = nullptr;
  T* dk = nullptr;
  T* dinitial = nullptr;
};

// Elements of workspace of one task: forward and backward.
template <typename T>
int64_t LinearFeaturesWorkspace(const LinearFeaturesProblem<T>& p) {
  return 2 * p.dim + p.rows;
}

// Task i is head i mod heads of sequence i / heads.
void LinearFeaturesForward(const LinearFeaturesProblem<float>& p,
                           const LinearFeaturesResult<float>& result,
                           int64_t task, float* workspace);
void LinearFeaturesForward(const LinearFeaturesProblem<double>& p,
                           const LinearFeaturesResult<double>& result,
                           int64_t task, double* workspace);
void LinearFeaturesBackward(const LinearFeaturesProblem<float>& p,
                            const LinearFeaturesGradient<float>& gradient,
                            int64_t task, float* workspace);
void LinearFeaturesBackward(const LinearFeaturesProblem<double>& p,
                            const LinearFeaturesGradient<double>& gradient,
                            int64_t task, double* workspace);

}  // namespace septet

#endif  // SEPTET_RETENTION_LINEAR_ATTENTION_KERNELS_H_
