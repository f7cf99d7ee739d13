// SPDX-License-Identifier: Apache-2.0
#include "septet/core/autograd/tape.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <utility>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/ops/elementwise_kernels.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using VarBuffer = absl::InlinedVector<Var, 4>;

// a + b, for contributions to one gradient. It is an op of the tape itself,
// so that the tape does not depend on the op set.
absl::Status InferAccumulate(const InferArgs& args) {
  const Tensor& a = args.input(0);
  const Tensor& b = args.input(1);
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) {
    return absl::InternalError(
        absl::StrCat("contributions to one gradient are ", a.DebugString(),
                     " and ", b.DebugString()));
  }
  args.outputs[0] = {a.shape(), a.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status AccumulateHalf(const KernelArgs& args) {
  const T* a = args.input(0).data<T>();
  const T* b = args.input(1).data<T>();
  T* out = args.outputs[0].mutable_data<T>();
  for (int64_t i = 0; i < args.input(0).num_elements(); ++i) {
    out[i] = T(static_cast<float>(a[i]) + static_cast<float>(b[i]));
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status AccumulateOut(const KernelArgs& args) {
  BinaryKernel(BinaryKind::kAdd, args.input(0).num_elements(),
               args.input(0).data<T>(), args.input(1).data<T>(),
               args.outputs[0].mutable_data<T>());
  return absl::OkStatus();
}

const Op& AccumulateOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "accumulate_gradient";
    def.infer = &InferAccumulate;
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      args.grads[0] = args.cotangents[0];
      args.grads[1] = args.cotangents[0];
    };
    def.jvp = [](JvpArgs& args) {
      const Var& a = args.tangents[0];
      const Var& b = args.tangents[1];
      args.output_tangents[0] = !a.defined() ? b
                                : !b.defined()
                                    ? a
                                    : Apply(AccumulateOp(), {&a, &b});
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &AccumulateOut<float>,
                       &AccumulateOut<double>);
    RegisterKernel(def.name, DeviceType::kCpu, DType::kBF16, "loop",
                   &AccumulateHalf<BFloat16>);
    RegisterKernel(def.name, DeviceType::kCpu, DType::kF16, "loop",
                   &AccumulateHalf<Float16>);
    return registered;
  }();
  return op;
}

// The identity, as a value of its own.
const Op& AliasOp() {
  static const Op& op = RegisterOp([] {
    OpDef def;
    def.name = "alias";
    def.infer = [](const InferArgs& args) {
      args.outputs[0] = {args.input(0).shape(), args.input(0).dtype()};
      return absl::OkStatus();
    };
    def.view = [](const Tensor& input, const Attrs&) -> absl::StatusOr<Tensor> {
      return input;
    };
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) { args.grads[0] = args.cotangents[0]; };
    def.jvp = [](JvpArgs& args) { args.output_tangents[0] = args.tangents[0]; };
    return def;
  }());
  return op;
}

absl::Status RequireValue(const Var& var, const char* what, size_t i) {
  if (var.defined()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " ", i, " has no value"));
}

absl::Status CheckLike(const char* what, const Tensor& got,
                       const Tensor& want) {
  if (!got.defined()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " is not given, expected ", want.DebugString()));
  }
  if (got.shape() == want.shape() && got.dtype() == want.dtype()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      what, " is ", got.DebugString(), ", expected ", want.DebugString()));
}

}  // namespace

uint64_t Tape::NextGeneration() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

Var Tape::MakeVar(Tensor tensor, int32_t value) {
  Var var(std::move(tensor));
  var.tape_ = this;
  var.value_ = value;
  var.generation_ = generation_;
  return var;
}

Var Tape::Watch(Tensor tensor) {
  SEPTET_CHECK(tensor.defined()) << "Watch needs a tensor";
  values_.push_back(tensor.Meta());
  return MakeVar(std::move(tensor), static_cast<int32_t>(values_.size()) - 1);
}

void Tape::Reset() {
  nodes_.clear();
  inputs_.clear();
  values_.clear();
  adjoints_.clear();
  kept_.clear();
  released_ = false;
  generation_ = NextGeneration();
}

absl::Status Tape::Validate(const Var& var) const {
  if (var.tape_ == nullptr) return absl::OkStatus();
  if (var.tape_ != this) {
    return absl::InvalidArgumentError("the value belongs to another tape");
  }
  if (var.generation_ != generation_) {
    return absl::FailedPreconditionError(
        "the value is older than the tape's last Reset()");
  }
  if (released_) {
    return absl::FailedPreconditionError(
        "the tape has released its ops in Grad(); Reset() it first");
  }
  return absl::OkStatus();
}

void Tape::Record(const Op& op, const Attrs& attrs,
                  absl::Span<const Var* const> inputs,
                  absl::Span<Var> outputs) {
  const OpDef& def = op.def();
  SEPTET_CHECK(values_.size() < std::numeric_limits<int32_t>::max() - 64)
      << "values on one tape";
  // Without a derivative of its own the composite's is taken, which may read
  // any input.
  const uint64_t saved_inputs =
      def.vjp != nullptr && def.jvp != nullptr && def.vjp_is_differentiable
          ? def.saved_inputs
          : ~uint64_t{0};
  nodes_.push_back(Node{&op, attrs, static_cast<int32_t>(inputs_.size()),
                        static_cast<int32_t>(inputs.size()),
                        static_cast<int32_t>(values_.size()),
                        static_cast<int32_t>(outputs.size())});
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Var& input = *inputs[i];
    const bool saved = (saved_inputs >> i) & 1;
    inputs_.push_back(Input{!input.defined() ? Tensor()
                            : saved          ? input.tensor_
                                             : input.tensor_.Meta(),
                            input.tape_ == nullptr ? -1 : input.value_});
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    Var& output = outputs[i];
    values_.push_back((def.saved_outputs >> i) & 1 ? output.tensor_
                                                   : output.tensor_.Meta());
    output.tape_ = this;
    output.value_ = static_cast<int32_t>(values_.size()) - 1;
    output.generation_ = generation_;
  }
}

void Tape::Accumulate(int32_t value, Var gradient, bool create_graph) {
  Var& slot = adjoints_[value];
  if (!slot.defined() || !slot.ok()) {
    if (slot.ok()) slot = std::move(gradient);
    return;
  }
  if (!gradient.ok()) {
    slot = std::move(gradient);
    return;
  }
  const Tensor& sum = slot.tensor_;
  // In place where nobody else sees the elements.
  if (!create_graph && sum.IsUnique() && sum.IsContiguous() &&
      gradient.tensor_.IsContiguous() &&
      sum.shape() == gradient.tensor_.shape() &&
      sum.dtype() == gradient.tensor_.dtype() &&
      sum.device().type == DeviceType::kCpu) {
    if (sum.dtype() == DType::kF32) {
      AccumulateKernel(sum.num_elements(), gradient.tensor_.data<float>(),
                       sum.mutable_data<float>());
      return;
    }
    if (sum.dtype() == DType::kF64) {
      AccumulateKernel(sum.num_elements(), gradient.tensor_.data<double>(),
                       sum.mutable_data<double>());
      return;
    }
  }
  slot = Apply(AccumulateOp(), {&slot, &gradient});
}

Var Tape::Alias(const Var& var) { return Apply(AliasOp(), {&var}); }

absl::Status Tape::NodeVjp(const Node& node, int64_t number,
                           bool create_graph) {
  // Recording moves nodes_, inputs_ and values_: everything is copied first.
  const Op& op = *node.op;
  const OpDef& def = op.def();
  const Attrs attrs = node.attrs;
  VarBuffer inputs(node.num_inputs);
  VarBuffer outputs(node.num_outputs);
  VarBuffer cotangents(node.num_outputs);
  VarBuffer grads(node.num_inputs);
  absl::InlinedVector<int32_t, 4> input_values(node.num_inputs);
  uint64_t needed = 0;
  for (int i = 0; i < node.num_inputs; ++i) {
    const Input& input = inputs_[node.first_input + i];
    input_values[i] = input.value;
    if (!input.tensor.defined()) continue;
    inputs[i] = create_graph && input.value >= 0
                    ? MakeVar(input.tensor, input.value)
                    : Var(input.tensor);
    if (input.value >= 0 && needed_[input.value] &&
        IsFloating(input.tensor.dtype())) {
      needed |= uint64_t{1} << i;
    }
  }
  for (int i = 0; i < node.num_outputs; ++i) {
    const int32_t value = node.first_output + i;
    outputs[i] =
        create_graph ? MakeVar(values_[value], value) : Var(values_[value]);
    cotangents[i] = adjoints_[value];
  }

  if (def.vjp != nullptr && (!create_graph || def.vjp_is_differentiable)) {
    VjpArgs args{attrs,      inputs, outputs,
                 cotangents, needed, absl::MakeSpan(grads)};
    if (CurrentOpObserver() == nullptr) {
      def.vjp(args);
    } else {
      // Told of what comes out below, not of the ops within.
      ScopedOpObserver quiet(nullptr);
      def.vjp(args);
    }
  } else if (def.composite != nullptr) {
    // On this tape if the graph is wanted, else on one that is thrown away.
    Tape scratch;
    Tape& tape = create_graph ? *this : scratch;
    VarBuffer leaves(inputs.size());
    std::vector<Var> wrt;
    std::vector<int32_t> wrt_values;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!((needed >> i) & 1)) {
        leaves[i] = inputs[i];
        continue;
      }
      // One leaf a value, however often it is an input.
      const auto same =
          std::find(wrt_values.begin(), wrt_values.end(), input_values[i]);
      if (same != wrt_values.end()) {
        leaves[i] = wrt[static_cast<size_t>(same - wrt_values.begin())];
        continue;
      }
      leaves[i] =
          create_graph ? Alias(inputs[i]) : tape.Watch(inputs[i].tensor_);
      wrt.push_back(leaves[i]);
      wrt_values.push_back(input_values[i]);
    }
    std::vector<Var> results(outputs.size());
    CompositeArgs args{leaves, attrs, absl::MakeSpan(results)};
    def.composite(args);
    std::vector<Var> targets;
    std::vector<Var> seeds;
    for (size_t i = 0; i < results.size(); ++i) {
      SEPTET_RETURN_IF_ERROR(results[i].status()) << op.name();
      if (!cotangents[i].defined() || results[i].tape() == nullptr) continue;
      targets.push_back(results[i]);
      seeds.push_back(cotangents[i]);
    }
    if (!targets.empty() && !wrt.empty()) {
      // The inner walk goes on with the sums of this one, so that their terms
      // are added in the order they would have without the op.
      for (size_t k = 0; k < wrt.size(); ++k) {
        if (!adjoints_[wrt_values[k]].defined()) continue;
        targets.push_back(wrt[k]);
        seeds.push_back(std::move(adjoints_[wrt_values[k]]));
        adjoints_[wrt_values[k]] = Var();
      }
      // It has the vectors of this one to itself.
      std::vector<Var> adjoints;
      std::vector<uint8_t> marks;
      adjoints.swap(tape.adjoints_);
      marks.swap(tape.needed_);
      absl::StatusOr<std::vector<Var>> inner =
          tape.WalkBack(targets, seeds, wrt, create_graph, /*release=*/false);
      adjoints.swap(tape.adjoints_);
      marks.swap(tape.needed_);
      SEPTET_RETURN_IF_ERROR(inner.status()) << op.name();
      for (size_t k = 0; k < wrt.size(); ++k) {
        adjoints_[wrt_values[k]] = std::move((*inner)[k]);
      }
    }
    return absl::OkStatus();
  } else {
    return absl::UnimplementedError(absl::StrCat(
        op.name(), def.vjp == nullptr ? " has no derivative"
                                      : " can be differentiated once only"));
  }

  for (size_t i = 0; i < grads.size(); ++i) {
    if (!((needed >> i) & 1)) continue;
    Var& grad = grads[i];
    SEPTET_RETURN_IF_ERROR(grad.status()) << "derivative of " << op.name();
    if (!grad.defined() || input_values[i] < 0) continue;
    SEPTET_CHECK(grad.shape() == inputs[i].shape() &&
                 grad.dtype() == inputs[i].dtype())
        << "derivative of " << op.name() << " by input " << i << " is "
        << grad.tensor().DebugString() << ", the input "
        << inputs[i].tensor().DebugString();
    if (OpObserver* observer = CurrentOpObserver(); observer != nullptr) {
      observer->OnGradient(op, number, static_cast<int>(i), grad.tensor());
    }
    Accumulate(input_values[i], std::move(grad), create_graph);
    SEPTET_RETURN_IF_ERROR(adjoints_[input_values[i]].status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Var>> Tape::WalkBack(
    absl::Span<const Var> outputs, absl::Span<const Var> cotangents,
    absl::Span<const Var> wrt, bool create_graph, bool release) {
  if (outputs.size() != cotangents.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("grad: ", outputs.size(), " outputs, but ",
                     cotangents.size(), " cotangents"));
  }
  for (size_t i = 0; i < wrt.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(wrt[i].status());
    SEPTET_RETURN_IF_ERROR(Validate(wrt[i])) << "grad: wrt " << i;
    SEPTET_RETURN_IF_ERROR(RequireValue(wrt[i], "wrt", i)) << "grad";
    if (wrt[i].tape_ == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("grad: wrt ", i, " is a constant; Watch it"));
    }
    if (!IsFloating(wrt[i].dtype())) {
      return absl::InvalidArgumentError(
          absl::StrCat("grad: wrt ", i, " is ", wrt[i].tensor().DebugString(),
                       ", expected a floating dtype"));
    }
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(outputs[i].status());
    SEPTET_RETURN_IF_ERROR(cotangents[i].status());
    SEPTET_RETURN_IF_ERROR(Validate(outputs[i])) << "grad: output " << i;
    SEPTET_RETURN_IF_ERROR(Validate(cotangents[i])) << "grad: cotangent " << i;
    SEPTET_RETURN_IF_ERROR(RequireValue(outputs[i], "output", i)) << "grad";
    if (cotangents[i].defined()) {
      SEPTET_RETURN_IF_ERROR(
          CheckLike("cotangent", cotangents[i].tensor(), outputs[i].tensor()))
          << "grad: output " << i;
    }
  }

  // Which values lie between: those that depend on wrt.
  const int32_t num_values = static_cast<int32_t>(values_.size());
  needed_.assign(num_values, 0);
  int32_t first = num_values;
  for (const Var& var : wrt) {
    needed_[var.value_] = 1;
    first = std::min(first, var.value_);
  }
  int32_t last = -1;
  for (const Var& output : outputs) {
    if (output.tape_ != nullptr) last = std::max(last, output.value_);
  }
  // Nodes are in the order of their outputs.
  const auto after = [](int32_t value, const Node& node) {
    return value < node.first_output;
  };
  const int64_t begin =
      std::upper_bound(nodes_.begin(), nodes_.end(), first, after) -
      nodes_.begin();
  const int64_t end =
      std::upper_bound(nodes_.begin(), nodes_.end(), last, after) -
      nodes_.begin();
  for (int64_t n = begin; n < end; ++n) {
    const Node& node = nodes_[n];
    bool depends = false;
    for (int i = 0; i < node.num_inputs && !depends; ++i) {
      const int32_t value = inputs_[node.first_input + i].value;
      depends = value >= 0 && needed_[value];
    }
    if (!depends) continue;
    for (int i = 0; i < node.num_outputs; ++i) {
      needed_[node.first_output + i] = 1;
    }
  }

  absl::Status status;
  adjoints_.resize(std::max<size_t>(adjoints_.size(), num_values));
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].tape_ == nullptr || !cotangents[i].defined()) continue;
    if (needed_[outputs[i].value_]) {
      // Without a graph nothing that is computed here may be recorded.
      Accumulate(outputs[i].value_,
                 create_graph ? cotangents[i] : cotangents[i].Detach(),
                 create_graph);
      status.Update(adjoints_[outputs[i].value_].status());
    }
  }
  // What is asked for must survive the walk past it.
  std::vector<int32_t> kept;
  for (const Var& var : wrt) kept.push_back(var.value_);
  std::sort(kept.begin(), kept.end());

  for (int64_t n = end - 1; n >= begin && status.ok(); --n) {
    const Node node = nodes_[n];
    bool reached = false;
    for (int i = 0; i < node.num_outputs; ++i) {
      reached |= adjoints_[node.first_output + i].defined();
    }
    if (reached) status = NodeVjp(node, n, create_graph);
    if (release) {
      for (int i = 0; i < node.num_inputs; ++i) {
        inputs_[node.first_input + i].tensor = Tensor();
      }
      for (int i = 0; i < node.num_outputs; ++i) {
        values_[node.first_output + i] = Tensor();
      }
    }
    if (!reached) continue;
    for (int i = 0; i < node.num_outputs; ++i) {
      const int32_t value = node.first_output + i;
      if (!std::binary_search(kept.begin(), kept.end(), value)) {
        adjoints_[value] = Var();
      }
    }
  }

  released_ |= release;
  // Leave the buffer empty for the next walk; all of it after an error.
  if (!status.ok()) {
    for (Var& adjoint : adjoints_) adjoint = Var();
    return status;
  }
  std::vector<Var> result;
  result.reserve(wrt.size());
  for (const Var& var : wrt) result.push_back(adjoints_[var.value_]);
  for (const int32_t value : kept) adjoints_[value] = Var();
  return result;
}

absl::StatusOr<std::vector<Var>> Tape::GradVars(
    absl::Span<const Var> outputs, absl::Span<const Var> cotangents,
    absl::Span<const Var> wrt, bool create_graph) {
  return WalkBackDense(outputs, cotangents, wrt, create_graph,
                       /*release=*/false);
}

absl::StatusOr<std::vector<Var>> Tape::WalkBackDense(
    absl::Span<const Var> outputs, absl::Span<const Var> cotangents,
    absl::Span<const Var> wrt, bool create_graph, bool release) {
  SEPTET_ASSIGN_OR_RETURN(
      std::vector<Var> grads,
      WalkBack(outputs, cotangents, wrt, create_graph, release));
  for (size_t i = 0; i < grads.size(); ++i) {
    if (grads[i].defined()) continue;
    SEPTET_ASSIGN_OR_RETURN(Tensor zeros,
                            Tensor::Zeros(wrt[i].shape(), wrt[i].dtype(),
                                          wrt[i].tensor().device()));
    grads[i] = std::move(zeros);
  }
  return grads;
}

absl::StatusOr<std::vector<Tensor>> Tape::Grad(const Var& loss,
                                               absl::Span<const Var> wrt,
                                               const GradOptions& options) {
  SEPTET_RETURN_IF_ERROR(loss.status());
  SEPTET_RETURN_IF_ERROR(Validate(loss)) << "grad: loss";
  if (!loss.defined() || loss.tensor().num_elements() != 1 ||
      !IsFloating(loss.dtype())) {
    return absl::InvalidArgumentError(
        absl::StrCat("grad: the loss is ", loss.tensor().DebugString(),
                     ", expected one element of a floating dtype"));
  }
  SEPTET_ASSIGN_OR_RETURN(
      Tensor one,
      Tensor::Full(loss.shape(), 1.0, loss.dtype(), loss.tensor().device()));
  SEPTET_ASSIGN_OR_RETURN(
      std::vector<Var> grads,
      WalkBackDense(absl::MakeConstSpan(&loss, 1), {Var(std::move(one))}, wrt,
                    /*create_graph=*/false, options.release));
  std::vector<Tensor> result;
  result.reserve(grads.size());
  for (Var& grad : grads) {
    Tensor tensor = std::move(grad.tensor_);
    grad = Var();
    // Whoever updates parameters in place needs gradients of their own.
    if (!tensor.IsContiguous() || !tensor.IsUnique()) {
      SEPTET_ASSIGN_OR_RETURN(tensor, tensor.Clone());
    }
    result.push_back(std::move(tensor));
  }
  return result;
}

absl::Status Tape::NodeJvp(const Node& node) {
  const Op& op = *node.op;
  const OpDef& def = op.def();
  VarBuffer inputs(node.num_inputs);
  VarBuffer outputs(node.num_outputs);
  VarBuffer tangents(node.num_inputs);
  VarBuffer results(node.num_outputs);
  for (int i = 0; i < node.num_inputs; ++i) {
    const Input& input = inputs_[node.first_input + i];
    if (input.tensor.defined()) inputs[i] = Var(input.tensor);
    if (input.value >= 0) tangents[i] = adjoints_[input.value];
  }
  for (int i = 0; i < node.num_outputs; ++i) {
    outputs[i] = Var(values_[node.first_output + i]);
  }
  if (def.jvp != nullptr) {
    JvpArgs args{node.attrs, inputs, outputs, tangents,
                 absl::MakeSpan(results)};
    def.jvp(args);
  } else if (def.composite != nullptr) {
    Tape tape;
    VarBuffer leaves = inputs;
    std::vector<Var> wrt;
    std::vector<Tensor> directions;
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!tangents[i].defined()) continue;
      leaves[i] = tape.Watch(inputs[i].tensor_);
      wrt.push_back(leaves[i]);
      directions.push_back(tangents[i].tensor_);
    }
    std::vector<Var> composite(outputs.size());
    CompositeArgs args{leaves, node.attrs, absl::MakeSpan(composite)};
    def.composite(args);
    for (const Var& output : composite) {
      SEPTET_RETURN_IF_ERROR(output.status()) << op.name();
    }
    SEPTET_ASSIGN_OR_RETURN(std::vector<Tensor> inner,
                            tape.Jvp(composite, wrt, directions),
                            _ << op.name());
    for (size_t i = 0; i < results.size(); ++i) results[i] = inner[i];
  } else {
    return absl::UnimplementedError(
        absl::StrCat(op.name(), " has no forward derivative"));
  }
  for (int i = 0; i < node.num_outputs; ++i) {
    SEPTET_RETURN_IF_ERROR(results[i].status())
        << "forward derivative of " << op.name();
    if (results[i].defined()) {
      SEPTET_CHECK(results[i].shape() == outputs[i].shape() &&
                   results[i].dtype() == outputs[i].dtype())
          << "forward derivative of " << op.name() << " is "
          << results[i].tensor().DebugString();
    }
    // Integers have no derivative.
    if (!results[i].defined() || !IsFloating(outputs[i].dtype())) continue;
    Accumulate(node.first_output + i, std::move(results[i]),
               /*create_graph=*/false);
    SEPTET_RETURN_IF_ERROR(adjoints_[node.first_output + i].status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Tensor>> Tape::Jvp(
    absl::Span<const Var> outputs, absl::Span<const Var> wrt,
    absl::Span<const Tensor> tangents) {
  if (wrt.size() != tangents.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "jvp: ", wrt.size(), " inputs, but ", tangents.size(), " tangents"));
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(outputs[i].status());
    SEPTET_RETURN_IF_ERROR(Validate(outputs[i])) << "jvp: output " << i;
    SEPTET_RETURN_IF_ERROR(RequireValue(outputs[i], "output", i)) << "jvp";
  }
  for (size_t i = 0; i < wrt.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(wrt[i].status());
    SEPTET_RETURN_IF_ERROR(Validate(wrt[i])) << "jvp: input " << i;
    SEPTET_RETURN_IF_ERROR(RequireValue(wrt[i], "input", i)) << "jvp";
    if (wrt[i].tape_ == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("jvp: input ", i, " is a constant; Watch it"));
    }
    if (!IsFloating(wrt[i].dtype())) {
      return absl::InvalidArgumentError(
          absl::StrCat("jvp: input ", i, " is ", wrt[i].tensor().DebugString(),
                       ", expected a floating dtype"));
    }
    SEPTET_RETURN_IF_ERROR(CheckLike("tangent", tangents[i], wrt[i].tensor()))
        << "jvp: input " << i;
  }

  // Which values the outputs need: their ancestors.
  needed_.assign(values_.size(), 0);
  for (const Var& output : outputs) {
    if (output.tape_ != nullptr) needed_[output.value_] = 1;
  }
  const auto wanted = [this](const Node& node) {
    for (int i = 0; i < node.num_outputs; ++i) {
      if (needed_[node.first_output + i]) return true;
    }
    return false;
  };
  for (size_t n = nodes_.size(); n-- > 0;) {
    if (!wanted(nodes_[n])) continue;
    for (int i = 0; i < nodes_[n].num_inputs; ++i) {
      const int32_t value = inputs_[nodes_[n].first_input + i].value;
      if (value >= 0) needed_[value] = 1;
    }
  }

  adjoints_.clear();
  adjoints_.resize(values_.size());
  absl::Status status;
  // A value may be named twice, and may itself depend on another one that is
  // named: its tangents add up.
  for (size_t i = 0; i < wrt.size(); ++i) {
    Accumulate(wrt[i].value_, Var(tangents[i]), /*create_graph=*/false);
    status.Update(adjoints_[wrt[i].value_].status());
  }
  for (size_t n = 0; n < nodes_.size() && status.ok(); ++n) {
    bool moves = false;
    for (int i = 0; i < nodes_[n].num_inputs; ++i) {
      const int32_t value = inputs_[nodes_[n].first_input + i].value;
      moves |= value >= 0 && adjoints_[value].defined();
    }
    if (moves && wanted(nodes_[n])) status = NodeJvp(nodes_[n]);
  }
  std::vector<Tensor> result;
  for (const Var& output : outputs) {
    if (!status.ok()) break;
    if (output.tape_ != nullptr && adjoints_[output.value_].defined()) {
      result.push_back(adjoints_[output.value_].tensor_);
      continue;
    }
    absl::StatusOr<Tensor> zeros =
        Tensor::Zeros(output.shape(), output.dtype(), output.tensor().device());
    if (!zeros.ok()) {
      status = zeros.status();
      break;
    }
    result.push_back(*std::move(zeros));
  }
  adjoints_.clear();
  if (!status.ok()) return status;
  return result;
}

absl::StatusOr<std::vector<Tensor>> Jvp(
    const std::function<std::vector<Var>(absl::Span<const Var>)>& fn,
    absl::Span<const Tensor> inputs, absl::Span<const Tensor> tangents) {
  Tape tape;
  std::vector<Var> vars;
  for (const Tensor& input : inputs) vars.push_back(tape.Watch(input));
  return tape.Jvp(fn(vars), vars, tangents);
}

}  // namespace septet
