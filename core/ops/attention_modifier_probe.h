// SPDX-License-Identifier: Apache-2.0
// Two modifiers of attention scores, written as plainly as possible, to test
// what attention-inl.h promises to modifiers: a bias with a gradient, and
// positions that depend on the order of the keys.
#ifndef SEPTET_CORE_OPS_ATTENTION_MODIFIER_PROBE_H_
#define SEPTET_CORE_OPS_ATTENTION_MODIFIER_PROBE_H_

#include <cstdint>

#include "septet/core/ops/attention_problem.h"

namespace septet {

// L = scale q k - slope[h] |distance| (O. Press et al., 2021, arXiv
// 2108.12409), with slopes that are learned.
template <typename T>
struct BiasProbe {
  T scale = 1;
  const T* slopes = nullptr;  // [H]
  T* dslopes = nullptr;       // [tasks backward, H], added to
};

// Contextual positions (O. Golovneva et al., 2024, arXiv 2405.18719): gates
// g_j = sigmoid(scale q k_j), positions r_j = sum of the gates of keys j .. t,
// L = scale (q k + q e(min(r, P - 1))), e interpolated between the columns of
// the table.
template <typename T>
struct CopeProbe {
  T scale = 1;
  int64_t positions = 0;     // P
  const T* table = nullptr;  // [D, P]
  T* dtable = nullptr;       // [tasks backward, D, P], added to
  T* carries = nullptr;      // [B, H, T, tiles of keys], forward to backward
  T* scratch = nullptr;      // CopeProbeScratch(P) elements
};
template <typename T>
constexpr int64_t CopeProbeScratch(int64_t positions) {
  return kAttentionQueries<T> * (2 * positions + 2 + 2 * kAttentionKeys);
}

#define SEPTET_DECLARE_PROBE(Probe, T)                                   \
  void ProbeForward(const AttentionProblem<T>& p,                        \
                    const AttentionResult<T>& result, int64_t task,      \
                    T* workspace, const Probe<T>& probe);                \
  void ProbeBackward(const AttentionProblem<T>& p,                       \
                     const AttentionGradient<T>& gradient, int64_t task, \
                     T* workspace, const Probe<T>& probe)
SEPTET_DECLARE_PROBE(BiasProbe, float);
SEPTET_DECLARE_PROBE(BiasProbe, double);
SEPTET_DECLARE_PROBE(CopeProbe, float);
SEPTET_DECLARE_PROBE(CopeProbe, double);
#undef SEPTET_DECLARE_PROBE

// As AttentionFinish, for this library's copy of the template.
void ProbeFinish(const AttentionProblem<float>& p,
                 const AttentionGradient<float>& gradient, int64_t kv);
void ProbeFinish(const AttentionProblem<double>& p,
                 const AttentionGradient<double>& gradient, int64_t kv);

}  // namespace septet

#endif  // SEPTET_CORE_OPS_ATTENTION_MODIFIER_PROBE_H_
