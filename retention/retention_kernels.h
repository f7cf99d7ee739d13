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

}  // namespace septet

#endif  // SEPTET_RETENTION_RETENTION_KERNELS_H_
