// SPDX-License-Identifier: Apache-2.0
// Retention on the CPU: forward and backward (retention_problem.h says what,
// retention-inl.h how).
//
// A problem is a number of independent tasks, each of which may run in any
// thread; what a task does depends on the shape alone.
//
//   RetentionProblem<float> p = ...;
//   for (int64_t task = 0; task < RetentionTasks(p); ++task) {
//     RetentionForward(p, result, task, workspace);  //
//     RetentionForwardWorkspace
//   }
//
// Nothing is checked: extents are positive but for the rows, offsets ascend,
// log_gamma <= 0. Workspaces are aligned to 64 bytes.
#ifndef SEPTET_RETENTION_RETENTION_KERNELS_H_
#define SEPTET_RETENTION_RETENTION_KERNELS_H_

#include <cstdint>

#include "septet/retention/retention_problem.h"

namespace septet {

void RetentionForward(const RetentionProblem<float>& p,
                      const RetentionResult<float>& result, int64_t task,
                      float* workspace);
void RetentionForward(const RetentionProblem<double>& p,
                      const RetentionResult<double>& result, int64_t task,
                      double* workspace);

// Writes all rows of its head of dq, dk and dv. workspace:
// RetentionBackwardWorkspace(p).
void RetentionBackward(const RetentionProblem<float>& p,
                       const RetentionGradient<float>& gradient, int64_t task,
                       float* workspace);
void RetentionBackward(const RetentionProblem<double>& p,
                       const RetentionGradient<double>& gradient, int64_t task,
                       double* workspace);

// As RetentionForward, row by row, which costs no products of rows: for few
// rows. p.norm: kNone, kDecay or kPaper; p.chunk is not looked at. workspace:
// RetentionRecurrentWorkspace(p).
void RetentionRecurrent(const RetentionProblem<float>& p,
                        const RetentionResult<float>& result, int64_t task,
                        float* workspace);
void RetentionRecurrent(const RetentionProblem<double>& p,
                        const RetentionResult<double>& result, int64_t task,
                        double* workspace);

// One row of each sequence, in place: rows [sequence batch + head head].
template <typename T>
struct RetentionStepRows {
  const T* data = nullptr;
  int64_t batch = 0;
  int64_t head = 0;
};
template <typename T>
struct RetentionStepProblem {
  int64_t sequences = 0;
  int64_t heads = 0;
  int64_t key_dim = 0;
  int64_t value_dim = 0;
  RetentionStepRows<T> q, k, v;
  const double* log_gamma = nullptr;   // [heads]
  const int64_t* positions = nullptr;  // [sequences], of the row
  double scale = 1;                    // of k
  // kNone, kDecay or kPaper.
  RetentionNorm norm = RetentionNorm::kDecay;
  T* state = nullptr;    // [sequences, heads, dk, dv]
  T* key_sum = nullptr;  // [sequences, heads, dk], kPaper
  T* out = nullptr;      // [sequences, heads, dv]
};

// Tasks [begin, end), each a head of a sequence: S is read and written once.
void RetentionStepTasks(const RetentionStepProblem<float>& p, int64_t begin,
                        int64_t end);
void RetentionStepTasks(const RetentionStepProblem<double>& p, int64_t begin,
                        int64_t end);

}  // namespace septet

#endif  // SEPTET_RETENTION_RETENTION_KERNELS_H_
