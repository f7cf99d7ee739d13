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
//   for (int64_t kv = 0; kv < p.batch * p.kv_heads; ++kv) {
//     AttentionFinish(p, result, kv);
//   }
//
// Nothing is checked: extents are positive but for S, causal needs S >= T, and
// key lengths are in 0 .. S. Workspaces are aligned to 64 bytes.
#ifndef SEPTET_CORE_OPS_ATTENTION_KERNELS_H_
#define SEPTET_CORE_OPS_ATTENTION_KERNELS_H_

#include <algorithm>
#include <cstdint>

#include "septet/core/ops/attention_problem.h"

namespace septet {

// One query without dropout, as when text is generated a token at a time: k and
// v of a key head are read once for all its query heads, and scores lie with
// the keys along the vectors.
template <typename T>
constexpr bool AttentionDecodes(const AttentionProblem<T>& p) {
  return p.queries == 1 && !(p.dropout > 0);
}

// How that is cut: a task is so many keys of one key head, with a maximum and
// sums of their own that are combined in order at the end. To which part a key
// belongs depends on its number alone. Half a megabyte for heads of 64 floats:
// some tens of microseconds, beside which what a part comes to is nothing.
inline constexpr int64_t kAttentionDecodePart = 1024;
template <typename T>
constexpr int64_t AttentionDecodeParts(const AttentionProblem<T>& p) {
  return std::max<int64_t>(
      1, (p.keys + kAttentionDecodePart - 1) / kAttentionDecodePart);
}
// Elements of what a part comes to: out [H / Hkv, Dv], and of each query head
// the maximum of the logits and the sum of the weights.
template <typename T>
constexpr int64_t AttentionDecodeState(const AttentionProblem<T>& p) {
  return p.group() * (p.value_dim + 2);
}

// Keys of a step: k and v of one step, and k of the next on its way, are 12 KiB
// for heads of 64 floats, and stay in a first-level cache of 32 KiB for 64
// doubles. Measured beside 32, 64 and 128: the fastest by some 5 % in both
// types. Steps of two or four parts in turn, to have more streams of memory
// side by side, took up to twice the time.
inline constexpr int64_t kAttentionDecodeKeys = 16;

// Tasks of AttentionForward, the elements of its workspace, and those of
// AttentionResult::partials.
template <typename T>
constexpr int64_t AttentionTasks(const AttentionProblem<T>& p) {
  return AttentionDecodes(p) ? p.batch * p.kv_heads * AttentionDecodeParts(p)
                             : AttentionForwardTasks(p);
}
template <typename T>
constexpr int64_t AttentionWorkspace(const AttentionProblem<T>& p) {
  if (!AttentionDecodes(p)) return AttentionForwardWorkspace(p);
  return p.group() * kAttentionDecodeKeys + AttentionDecodeState(p);
}
template <typename T>
constexpr int64_t AttentionForwardPartials(const AttentionProblem<T>& p) {
  if (!AttentionDecodes(p) || AttentionDecodeParts(p) == 1) return 0;
  return AttentionTasks(p) * AttentionDecodeState(p);
}

// Task `task` of AttentionTasks(p): writes its rows of out and log_sum_exp, or
// its partial sums of them.
void AttentionForward(const AttentionProblem<float>& p,
                      const AttentionResult<float>& result, int64_t task,
                      float* workspace);
void AttentionForward(const AttentionProblem<double>& p,
                      const AttentionResult<double>& result, int64_t task,
                      double* workspace);

// After all tasks, where AttentionForwardPartials(p) > 0: writes the rows of
// out and log_sum_exp of key head `kv` (of B Hkv).
void AttentionFinish(const AttentionProblem<float>& p,
                     const AttentionResult<float>& result, int64_t kv);
void AttentionFinish(const AttentionProblem<double>& p,
                     const AttentionResult<double>& result, int64_t kv);

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
