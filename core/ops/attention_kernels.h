// SPDX-License-Identifier: Apache-2.0
// Plain attention on the CPU: logits are scale q k. What it computes, and
// from where, is in attention.h; how, in attention-inl.h.
//
// A problem is a number of independent tasks, each of which may run in any
// thread; what a task does depends on the shape alone.
//
//   AttentionProblem<float> p = ...;
//   for (int64_t task = 0; task < AttentionTasks(p); ++task) {
//     AttentionForward(p, result, task, workspace);   // AttentionWorkspace(p)
//   }
//
// Nothing is checked: extents are positive but for S, causal needs S >= T, and
// key lengths are in 0 .. S. Workspaces are aligned to 64 bytes.
#ifndef SEPTET_CORE_OPS_ATTENTION_KERNELS_H_
#define SEPTET_CORE_OPS_ATTENTION_KERNELS_H_

#include <cstdint>

#include "septet/core/ops/attention_problem.h"

namespace septet {

// One query without dropout, as when text is generated a token at a time: a
// task is then one key head with all its query heads, which reads k and v once
// and has scores with the keys along the vectors.
template <typename T>
constexpr bool AttentionDecodes(const AttentionProblem<T>& p) {
  return p.queries == 1 && !(p.dropout > 0);
}

// Keys of a step of it: k and v of one step, and k of the next on its way, are
// 12 KiB for heads of 64 floats, and stay in a first-level cache of 32 KiB for
// 64 doubles.
// Measured beside 32, 64 and 128: the fastest by some 5 % in both types.
inline constexpr int64_t kAttentionDecodeKeys = 16;

// Tasks of AttentionForward, and the elements of its workspace.
template <typename T>
constexpr int64_t AttentionTasks(const AttentionProblem<T>& p) {
  return AttentionDecodes(p) ? p.batch * p.kv_heads : AttentionForwardTasks(p);
}
template <typename T>
constexpr int64_t AttentionWorkspace(const AttentionProblem<T>& p) {
  if (!AttentionDecodes(p)) return AttentionForwardWorkspace(p);
  return p.group() * (kAttentionDecodeKeys + p.value_dim + 2);
}

// Task `task` of AttentionTasks(p): writes its rows of out and log_sum_exp.
void AttentionForward(const AttentionProblem<float>& p,
                      const AttentionResult<float>& result, int64_t task,
                      float* workspace);
void AttentionForward(const AttentionProblem<double>& p,
                      const AttentionResult<double>& result, int64_t task,
                      double* workspace);

// Task `task` of AttentionBackwardTasks(p): writes its rows of dq, and dk and
// dv, or partial sums of them. workspace: AttentionBackwardWorkspace(p).
void AttentionBackward(const AttentionProblem<float>& p,
                       const AttentionGradient<float>& gradient, int64_t task,
                       float* workspace);
void AttentionBackward(const AttentionProblem<double>& p,
                       const AttentionGradient<double>& gradient, int64_t task,
                       double* workspace);

// After all tasks, where AttentionPartials(p) > 0: adds up dk and dv of key
// head `kv` (of B Hkv) for keys [begin, end).
void AttentionFinish(const AttentionProblem<float>& p,
                     const AttentionGradient<float>& gradient, int64_t kv,
                     int64_t begin, int64_t end);
void AttentionFinish(const AttentionProblem<double>& p,
                     const AttentionGradient<double>& gradient, int64_t kv,
                     int64_t begin, int64_t end);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ATTENTION_KERNELS_H_
