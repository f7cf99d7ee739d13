// SPDX-License-Identifier: Apache-2.0
// The record of ops that ran, and derivatives along it.
//
// Reverse mode (Griewank and Walther, Evaluating Derivatives, 2008, ch. 3):
// Grad() walks the record backwards once, whatever the number of inputs, and
// adds up the contributions to each value in the order of the walk. Forward
// mode: Jvp() walks forwards. A walk costs about what the ops cost, two to
// three times that for reverse.
//
//   Tape tape;
//   for (int step = 0; step < steps; ++step) {
//     tape.Reset();                       // keeps its memory
//     Var w = tape.Watch(weights);
//     Var loss = Loss(w, batch);
//     SEPTET_ASSIGN_OR_RETURN(auto grads, tape.Grad(loss, {w}));
//     ...
//   }
//
// Higher derivatives: GradVars() with create_graph records the backward walk
// too, so that its results can be differentiated again.
//
// The tape keeps handles of tensors, not copies: what is written into a tensor
// in place between an op and the walk back changes the derivative. Update
// parameters after Grad().
//
// Not thread-safe: one thread at a time a tape. A Var must not be used after
// its tape is gone; after Reset() it is answered by FailedPrecondition.
#ifndef SEPTET_CORE_AUTOGRAD_TAPE_H_
#define SEPTET_CORE_AUTOGRAD_TAPE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct GradOptions {
  // Forgets each op as soon as the walk is past it, and what it kept is free
  // for the rest of the walk: the most memory at one time is about what the
  // forward pass kept. Nothing else can be had from the tape, and its values
  // are answered by FailedPrecondition, until Reset(). For training steps.
  bool release = false;
};

class Tape {
 public:
  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // A value to differentiate with respect to; the tensor must be defined. An
  // integer tensor can be watched, but its gradient is an InvalidArgument.
  Var Watch(Tensor tensor);

  // Forgets all ops and values, and keeps the memory of the record.
  void Reset();

  int64_t num_ops() const { return static_cast<int64_t>(nodes_.size()); }

  // Gradients of `loss`, which has one element, with respect to each of `wrt`,
  // of their shapes and dtypes, row-major, each with memory of its own; zeros
  // where the loss does not depend on it.
  // InvalidArgument if the loss is not scalar or a Var is of another tape,
  // FailedPrecondition if one is older than the last Reset().
  absl::StatusOr<std::vector<Tensor>> Grad(const Var& loss,
                                           absl::Span<const Var> wrt,
                                           const GradOptions& options = {});

  // Vector-Jacobian product: sum over outputs of cotangent times derivative.
  // Cotangents have their outputs' shapes and dtypes; with create_graph the
  // results, and the cotangents' share in them, are on the tape. The results
  // may be views of one another.
  absl::StatusOr<std::vector<Var>> GradVars(absl::Span<const Var> outputs,
                                            absl::Span<const Var> cotangents,
                                            absl::Span<const Var> wrt,
                                            bool create_graph);

  // Jacobian-vector product: derivative of each output along `tangents`, which
  // have the shapes and dtypes of `wrt`. Everything between has been recorded.
  absl::StatusOr<std::vector<Tensor>> Jvp(absl::Span<const Var> outputs,
                                          absl::Span<const Var> wrt,
                                          absl::Span<const Tensor> tangents);

  // For Apply: records one op. `inputs` may be on this tape or constants;
  // sets `outputs` to values on it.
  void Record(const Op& op, const Attrs& attrs,
              absl::Span<const Var* const> inputs, absl::Span<Var> outputs);

  // Keeps an object until Reset(), for recorded ops whose attributes point to
  // it.
  void Keep(std::shared_ptr<const void> object) {
    kept_.push_back(std::move(object));
  }

  // OK if `var` is a constant or a current value of this tape.
  absl::Status Validate(const Var& var) const;

 private:
  struct Node {
    const Op* op;
    Attrs attrs;
    int32_t first_input;  // in inputs_
    int32_t num_inputs;
    int32_t first_output;  // in values_
    int32_t num_outputs;
  };
  struct Input {
    Tensor tensor;  // without storage unless the derivative reads it
    int32_t value;  // in values_, or -1 for a constant
  };

  Var MakeVar(Tensor tensor, int32_t value);
  // A new value on the tape that is the old one: what is differentiated with
  // respect to it does not go through the old one's own history.
  Var Alias(const Var& var);
  void Accumulate(int32_t value, Var gradient, bool create_graph);
  // GradVars, perhaps releasing what the walk has passed.
  absl::StatusOr<std::vector<Var>> WalkBackDense(
      absl::Span<const Var> outputs, absl::Span<const Var> cotangents,
      absl::Span<const Var> wrt, bool create_graph, bool release);
  // The same, with undefined in place of zeros.
  absl::StatusOr<std::vector<Var>> WalkBack(absl::Span<const Var> outputs,
                                            absl::Span<const Var> cotangents,
                                            absl::Span<const Var> wrt,
                                            bool create_graph, bool release);
  absl::Status NodeVjp(const Node& node, int64_t number, bool create_graph);
  absl::Status NodeJvp(const Node& node);

  // Unlike that of any other tape, before or after a Reset(), so that a stale
  // Var is known even if its tape's address is used again.
  static uint64_t NextGeneration();

  uint64_t generation_ = NextGeneration();
  bool released_ = false;  // by a walk; until Reset()
  std::vector<Node> nodes_;
  std::vector<Input> inputs_;
  std::vector<Tensor> values_;  // without storage unless saved
  std::vector<std::shared_ptr<const void>> kept_;

  // Of the walk that is under way; kept for their memory. A walk with
  // create_graph may start another inside it, which has vectors of its own.
  std::vector<Var> adjoints_;
  std::vector<uint8_t> needed_;
};

// The derivative of fn at `inputs` along `tangents`.
absl::StatusOr<std::vector<Tensor>> Jvp(
    const std::function<std::vector<Var>(absl::Span<const Var>)>& fn,
    absl::Span<const Tensor> inputs, absl::Span<const Tensor> tangents);

}  // namespace septet

#endif  // SEPTET_CORE_AUTOGRAD_TAPE_H_
