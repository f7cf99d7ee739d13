// SPDX-License-Identifier: Apache-2.0
#include "septet/core/autograd/checkpoint.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Masks of inputs and outputs have 64 bits.
constexpr size_t kMaxVars = 64;

// What a tape keeps of a call; the op's attributes are its address.
struct Call {
  CheckpointFn fn;
  std::vector<Tensor> outputs;  // shapes and dtypes
};
struct CheckpointAttrs {
  const Call* call;
};

// fn as the formula of the op: derivatives of both kinds go through it.
void RunAgain(CompositeArgs& args) {
  const Call& call = *args.attrs.Get<CheckpointAttrs>().call;
  std::vector<Var> outputs = call.fn(args.inputs);
  if (outputs.size() != call.outputs.size()) {
    args.outputs[0] = absl::FailedPreconditionError(absl::StrCat(
        "fn gives ", outputs.size(), " outputs when it runs again, and gave ",
        call.outputs.size()));
    return;
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Tensor& before = call.outputs[i];
    if (outputs[i].ok() &&
        (!outputs[i].defined() || outputs[i].shape() != before.shape() ||
         outputs[i].dtype() != before.dtype())) {
      outputs[i] = absl::FailedPreconditionError(
          absl::StrCat("output ", i, " is ", outputs[i].tensor().DebugString(),
                       " when fn runs again, and was ", before.DebugString()));
    }
    args.outputs[i] = std::move(outputs[i]);
  }
}

const Op& CheckpointOp() {
  static const Op& op = RegisterOp([] {
    OpDef def;
    def.name = "checkpoint";
    def.infer = [](const InferArgs&) -> absl::Status {
      return absl::UnimplementedError("call Checkpoint() instead of the op");
    };
    def.composite = &RunAgain;
    return def;
  }());
  return op;
}

absl::Status FindTape(absl::Span<const Var> inputs, Tape** tape) {
  if (inputs.size() > kMaxVars) {
    return absl::InvalidArgumentError(absl::StrCat(
        "checkpoint: ", inputs.size(), " inputs, at most ", kMaxVars));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(inputs[i].status());
    if (inputs[i].tape() == nullptr) continue;
    if (*tape == nullptr) *tape = inputs[i].tape();
    SEPTET_RETURN_IF_ERROR((*tape)->Validate(inputs[i]))
        << "checkpoint: input " << i;
  }
  return absl::OkStatus();
}

absl::Status CheckOutputs(absl::Span<const Var> outputs) {
  if (outputs.size() > kMaxVars) {
    return absl::InvalidArgumentError(absl::StrCat(
        "checkpoint: ", outputs.size(), " outputs, at most ", kMaxVars));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(outputs[i].status());
    if (!outputs[i].defined()) {
      return absl::InvalidArgumentError(
          absl::StrCat("checkpoint: output ", i, " has no value"));
    }
    if (outputs[i].tape() != nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "checkpoint: output ", i,
          " depends on a value of a tape that is not among the inputs"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::vector<Var> Checkpoint(const CheckpointFn& fn,
                            absl::Span<const Var> inputs) {
  Tape* tape = nullptr;
  absl::Status status = FindTape(inputs, &tape);
  if (status.ok() && tape == nullptr) return fn(inputs);

  std::vector<Var> constants;
  constants.reserve(inputs.size());
  for (const Var& input : inputs) constants.push_back(input.Detach());
  // Even where the inputs are wrong: only fn knows how many outputs fail.
  std::vector<Var> outputs = fn(constants);
  status.Update(CheckOutputs(outputs));
  if (!status.ok()) {
    for (Var& output : outputs) output = status;
    return outputs;
  }
  if (outputs.empty()) return outputs;

  auto call = std::make_shared<Call>();
  call->fn = fn;
  for (const Var& output : outputs) {
    call->outputs.push_back(output.tensor().Meta());
  }
  std::vector<const Var*> pointers;
  for (const Var& input : inputs) pointers.push_back(&input);
  tape->Record(CheckpointOp(), CheckpointAttrs{call.get()}, pointers,
               absl::MakeSpan(outputs));
  tape->Keep(std::move(call));
  return outputs;
}

Var Checkpoint(const std::function<Var(absl::Span<const Var>)>& fn,
               absl::Span<const Var> inputs) {
  const CheckpointFn many = [fn](absl::Span<const Var> in) {
    return std::vector<Var>{fn(in)};
  };
  return Checkpoint(many, inputs)[0];
}

}  // namespace septet
