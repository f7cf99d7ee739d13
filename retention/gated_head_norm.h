// SPDX-License-Identifier: Apache-2.0
// What retention's output goes through before the last projection: a norm of
// each head of each row, and a swish gate (Sun et al., 2023, arXiv 2307.08621,
// section 2.2, "Gated Multi-Scale Retention"; retnet.md 3.5):
//
//   y = norm(o) swish(gate),   swish(g) = g / (1 + exp(-g))
//
//   Var y = GatedHeadNorm(o, gate, HeadNorm::kRms, 1e-6);   // [B, T, H dv]
//
// One op: forward one pass over o and gate, backward one over those and dy;
// kept for the gradient are o and gate alone.
#ifndef SEPTET_RETENTION_GATED_HEAD_NORM_H_
#define SEPTET_RETENTION_GATED_HEAD_NORM_H_

#include "septet/core/autograd/var.h"
#include "septet/retention/gated_head_norm_kernels.h"

namespace septet {

// o [..., H, dv], gate [..., H dv] or undefined (no gate), weight [dv] for
// kRmsAffine and undefined otherwise; all f32 or all f64, extents of o but the
// leading ones at least 1: [..., H dv]. eps is finite and >= 0.
// Errors: InvalidArgument naming the argument, expected and actual.
// Differentiable in all any number of times: first gradients are fused, higher
// ones go through elementary ops. Determinism: the same bits for any number of
// threads.
Var GatedHeadNorm(const Var& o, const Var& gate, HeadNorm norm, double eps,
                  const Var& weight = {});

}  // namespace septet

#endif  // SEPTET_RETENTION_GATED_HEAD_NORM_H_
