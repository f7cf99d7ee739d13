// SPDX-License-Identifier: Apache-2.0
// Activation checkpointing: a part of a computation that keeps its inputs alone
// and computes what is between them and its outputs once more on the way back
// (Griewank and Walther, Algorithm 799: revolve, 2000; Chen et al., Training
// Deep Nets with Sublinear Memory Cost, 2016, arXiv 1604.06174).
//
//   for (const Block& block : blocks) {
//     x = Checkpoint(
//         [&block](absl::Span<const Var> in) {
//           return block.Apply(in[0], in[1], in[2]);
//         },
//         {x, block.weights, block.bias});
//   }
//
// fn runs at once, unrecorded; every walk back or forwards over the tape runs
// it again, on the same inputs. It is therefore a pure function of them: what
// is random in it comes from keys, as all of septet's random numbers do, and
// its results are the same bits again. What it refers to lives until the tape
// is gone or Reset(): fn is copied, objects that it holds by reference are not.
//
// Everything that is to be differentiated by is among `inputs`: a value of a
// tape that fn has captured instead is an error; a constant may be captured.
//
// Gradients have the same bits as without Checkpoint: the walk back over fn
// goes on with the sums that are under way, in the same order (where fn returns
// an input as it is, up to the order of the terms of that one gradient).
// Checkpoints may be nested. A walk with create_graph records fn for good:
// higher derivatives are right, but keep what Checkpoint was to save.
//
// Cost: fn once more a walk. Memory: the inputs, and the most that one fn
// takes, in place of what all of them take.
//
// Keywords: rematerialisation, torch.utils.checkpoint, jax.checkpoint.
#ifndef SEPTET_CORE_AUTOGRAD_CHECKPOINT_H_
#define SEPTET_CORE_AUTOGRAD_CHECKPOINT_H_

#include <functional>
#include <vector>

#include "absl/types/span.h"
#include "septet/core/autograd/var.h"

namespace septet {

using CheckpointFn = std::function<std::vector<Var>(absl::Span<const Var>)>;

// The outputs of fn(inputs), on the tape of the inputs; just fn(inputs) if they
// are all constants. Inputs may be undefined, as optional ones are; at most 64,
// and as many outputs.
// Errors, in all outputs: those of the inputs and of fn; InvalidArgument for
// inputs of two tapes, too many of them, an output without a value, or one that
// depends on a value of a tape that is not among the inputs;
// FailedPrecondition for an input that is older than its tape's last Reset(),
// and from a walk if fn gives other shapes or dtypes when it runs again.
std::vector<Var> Checkpoint(const CheckpointFn& fn,
                            absl::Span<const Var> inputs);

// The same for one output.
Var Checkpoint(const std::function<Var(absl::Span<const Var>)>& fn,
               absl::Span<const Var> inputs);

}  // namespace septet

#endif  // SEPTET_CORE_AUTOGRAD_CHECKPOINT_H_
