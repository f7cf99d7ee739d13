// SPDX-License-Identifier: Apache-2.0
#include "septet/core/autograd/op.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

class OpRegistry {
 public:
  static OpRegistry& Get() {
    static OpRegistry* const registry = new OpRegistry;
    return *registry;
  }

  const Op& Register(const OpDef& def) {
    SEPTET_CHECK(def.name != nullptr && def.infer != nullptr)
        << "op to register";
    SEPTET_CHECK(def.num_outputs >= 1 && def.num_outputs <= 64) << def.name;
    absl::MutexLock hold(&mutex_);
    Op& op = Entry(def.name);
    SEPTET_CHECK(!op.defined_) << "op " << def.name << " is registered twice";
    op.def_ = def;
    op.def_.name = op.name_.c_str();
    op.defined_ = true;
    return op;
  }

  void Register(absl::string_view name, DeviceType device, DType dtype,
                const char* kernel_name, Kernel kernel) {
    absl::MutexLock hold(&mutex_);
    Op& op = Entry(name);
    const int index = Op::Index(device, dtype);
    SEPTET_CHECK(op.kernels_[index].load() == nullptr)
        << "op " << op.name_ << " has two kernels for "
        << DeviceTypeName(device) << "/" << DTypeName(dtype);
    op.kernel_names_[index] = kernel_name;
    op.kernels_[index].store(kernel, std::memory_order_release);
  }

  const Op* Find(absl::string_view name) {
    absl::MutexLock hold(&mutex_);
    const auto it = ops_.find(name);
    return it == ops_.end() || !it->second->defined_ ? nullptr
                                                     : it->second.get();
  }

 private:
  Op& Entry(absl::string_view name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::unique_ptr<Op>& op = ops_[std::string(name)];
    if (op == nullptr) {
      op = std::make_unique<Op>();
      op->name_ = std::string(name);
    }
    return *op;
  }

  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, std::unique_ptr<Op>> ops_
      ABSL_GUARDED_BY(mutex_);
};

const Op& RegisterOp(const OpDef& def) {
  return OpRegistry::Get().Register(def);
}

void RegisterKernel(absl::string_view op, DeviceType device, DType dtype,
                    const char* kernel_name, Kernel kernel) {
  OpRegistry::Get().Register(op, device, dtype, kernel_name, kernel);
}

const Op* FindOp(absl::string_view name) {
  return OpRegistry::Get().Find(name);
}

std::string Op::LinkedKernels() const {
  std::string list;
  for (int device = 0; device < kNumDeviceTypes; ++device) {
    for (DType dtype : kAllDTypes) {
      const auto type = static_cast<DeviceType>(device);
      if (FindKernel(type, dtype) == nullptr) continue;
      absl::StrAppend(&list, list.empty() ? "" : ", ", DeviceTypeName(type),
                      "/", DTypeName(dtype));
    }
  }
  return list.empty() ? "none" : list;
}

namespace {
thread_local DispatchTrace* current_trace = nullptr;
thread_local bool prefer_composites = false;
thread_local OpObserver* current_observer = nullptr;
}  // namespace

DispatchTrace::DispatchTrace() : outer_(current_trace) { current_trace = this; }
DispatchTrace::~DispatchTrace() { current_trace = outer_; }

ScopedReference::ScopedReference() : outer_(prefer_composites) {
  prefer_composites = true;
}
ScopedReference::~ScopedReference() { prefer_composites = outer_; }

ScopedOpObserver::ScopedOpObserver(OpObserver* observer)
    : outer_(current_observer) {
  current_observer = observer;
}
ScopedOpObserver::~ScopedOpObserver() { current_observer = outer_; }

OpObserver* CurrentOpObserver() { return current_observer; }

class DispatchRecorder {
 public:
  static void Add(DispatchTrace* trace, const Op& op, const Tensor& input,
                  const char* implementation) {
    const std::string line =
        absl::StrCat(op.name(), " ", DeviceTypeName(input.device().type), "/",
                     DTypeName(input.dtype()), " ", implementation);
    for (; trace != nullptr; trace = trace->outer_) {
      if (std::find(trace->lines_.begin(), trace->lines_.end(), line) ==
          trace->lines_.end()) {
        trace->lines_.push_back(line);
      }
    }
  }
};

namespace {

void Trace(const Op& op, const Tensor& input, const char* implementation) {
  if (current_trace != nullptr) {
    DispatchRecorder::Add(current_trace, op, input, implementation);
  }
}

absl::Status Annotate(const Op& op, const absl::Status& status) {
  return AnnotateStatus(status, op.name());
}

// Looks the inputs over: the first error among them, the common tape.
absl::Status CheckInputs(const Op& op, absl::Span<const Var* const> inputs,
                         Tape** tape) {
  // Masks of inputs have 64 bits.
  if (inputs.size() > 64) {
    return absl::InvalidArgumentError(
        absl::StrCat(op.name(), ": ", inputs.size(), " inputs, at most 64"));
  }
  const Var* first = nullptr;
  for (const Var* input : inputs) {
    if (!input->ok()) return input->status();
    if (!input->defined()) continue;
    if (first == nullptr) first = input;
    if (input->tensor().device() != first->tensor().device()) {
      return absl::InvalidArgumentError(
          absl::StrCat(op.name(), ": inputs are on different devices, ",
                       first->tensor().device().ToString(), " and ",
                       input->tensor().device().ToString()));
    }
    if (input->tape() == nullptr) continue;
    if (*tape == nullptr) *tape = input->tape();
    if (*tape != input->tape()) {
      return absl::InvalidArgumentError(
          absl::StrCat(op.name(), ": inputs are on two different tapes"));
    }
    if (absl::Status status = (*tape)->Validate(*input); !status.ok()) {
      return Annotate(op, status);
    }
  }
  const size_t dispatch = op.def().dispatch_input;
  if (dispatch >= inputs.size() || !inputs[dispatch]->defined()) {
    return absl::InvalidArgumentError(
        absl::StrCat(op.name(), ": input ", dispatch, " is not given"));
  }
  return absl::OkStatus();
}

// The composite of an op that has no kernel for these inputs.
absl::Status RunComposite(const Op& op, absl::Span<const Var* const> inputs,
                          const Attrs& attrs, bool report,
                          std::atomic<bool>* reported,
                          absl::Span<Var> outputs) {
  const Tensor& input = inputs[op.def().dispatch_input]->tensor();
  if (op.def().composite == nullptr) {
    return absl::UnimplementedError(absl::StrCat(
        op.name(), ": no kernel for ", DeviceTypeName(input.device().type), "/",
        DTypeName(input.dtype()), "; linked: ", op.LinkedKernels()));
  }
  if (report && !reported->exchange(true, std::memory_order_relaxed)) {
    std::fprintf(stderr,
                 "septet: %s has no kernel for %s/%s, its composite runs\n",
                 op.name(), DeviceTypeName(input.device().type),
                 DTypeName(input.dtype()));
  }
  Trace(op, input, "composite");
  absl::InlinedVector<Var, 4> copies;
  for (const Var* var : inputs) copies.push_back(*var);
  CompositeArgs args{copies, attrs, outputs};
  op.def().composite(args);
  for (const Var& output : outputs) {
    if (!output.ok()) return output.status();
  }
  return absl::OkStatus();
}

}  // namespace

class OpRunner {
 public:
  // Evaluates one op into `outputs` and records it.
  static absl::Status Run(const Op& op, absl::Span<const Var* const> inputs,
                          const Attrs& attrs, absl::Span<Var> outputs) {
    const OpDef& def = op.def();
    Tape* tape = nullptr;
    SEPTET_RETURN_IF_ERROR(CheckInputs(op, inputs, &tape));

    absl::InlinedVector<const Tensor*, 4> tensors;
    for (const Var* input : inputs) tensors.push_back(&input->tensor());
    const Tensor& chooser = *tensors[def.dispatch_input];

    OutputSpec inline_specs[2];
    std::vector<OutputSpec> more_specs;
    absl::Span<OutputSpec> specs(inline_specs, outputs.size());
    if (outputs.size() > 2) {
      more_specs.resize(outputs.size());
      specs = absl::MakeSpan(more_specs);
    }
    if (absl::Status status = def.infer(InferArgs{tensors, attrs, specs});
        !status.ok()) {
      return Annotate(op, status);
    }

    if (def.view != nullptr) {
      absl::StatusOr<Tensor> view = def.view(*tensors[0], attrs);
      if (!view.ok()) {
        // Tensor's own views name themselves already.
        return absl::StartsWith(view.status().message(), op.name())
                   ? view.status()
                   : Annotate(op, view.status());
      }
      outputs[0] = *std::move(view);
    } else if (def.views != nullptr) {
      absl::InlinedVector<Tensor, 4> views(outputs.size());
      absl::Status status =
          def.views(*tensors[0], attrs, absl::MakeSpan(views));
      if (!status.ok()) return Annotate(op, status);
      for (size_t i = 0; i < views.size(); ++i) {
        outputs[i] = std::move(views[i]);
      }
    } else if (Kernel kernel =
                   op.FindKernel(chooser.device().type, chooser.dtype());
               kernel != nullptr &&
               !(prefer_composites && def.composite != nullptr)) {
      if (current_trace != nullptr) {
        Trace(op, chooser,
              op.KernelName(chooser.device().type, chooser.dtype()));
      }
      absl::Status status =
          RunKernel(op, kernel, tensors, attrs, specs, outputs);
      if (!status.ok()) return Annotate(op, status);
    } else {
      // What the composite does is recorded by the ops in it.
      const bool unexpected =
          !prefer_composites &&
          !op.fallback_reported_.load(std::memory_order_relaxed) &&
          op.LinkedKernels() != "none";
      return RunComposite(op, inputs, attrs, unexpected, &op.fallback_reported_,
                          outputs);
    }
    const bool record = tape != nullptr && def.differentiable;
    if (record) tape->Record(op, attrs, inputs, outputs);
    if (current_observer != nullptr) {
      // RunKernel leaves copies of its own in `tensors`.
      for (size_t i = 0; i < inputs.size(); ++i) {
        tensors[i] = &inputs[i]->tensor();
      }
      current_observer->OnOp(op, record ? tape->num_ops() - 1 : -1, tensors,
                             outputs);
    }
    return absl::OkStatus();
  }

 private:
  static absl::Status RunKernel(const Op& op, Kernel kernel,
                                absl::InlinedVector<const Tensor*, 4>& tensors,
                                const Attrs& attrs,
                                absl::Span<const OutputSpec> specs,
                                absl::Span<Var> outputs) {
    absl::InlinedVector<Tensor, 1> packed;  // row-major copies of inputs
    const uint64_t strided = op.def().strided_inputs;
    for (size_t i = 0; i < tensors.size(); ++i) {
      if (!tensors[i]->defined() || ((strided >> i) & 1) ||
          tensors[i]->IsContiguous()) {
        continue;
      }
      if (packed.empty()) packed.reserve(tensors.size());  // keeps addresses
      SEPTET_ASSIGN_OR_RETURN(Tensor copy, tensors[i]->Contiguous());
      packed.push_back(std::move(copy));
      tensors[i] = &packed.back();
    }
    absl::InlinedVector<Tensor, 1> results;
    const Device device = tensors[op.def().dispatch_input]->device();
    for (const OutputSpec& spec : specs) {
      SEPTET_ASSIGN_OR_RETURN(Tensor result,
                              Tensor::Empty(spec.shape, spec.dtype, device));
      results.push_back(std::move(result));
    }
    SEPTET_RETURN_IF_ERROR(
        kernel(KernelArgs{tensors, absl::MakeSpan(results), attrs}));
    for (size_t i = 0; i < results.size(); ++i) {
      outputs[i] = std::move(results[i]);
    }
    return absl::OkStatus();
  }
};

Var Apply(const Op& op, absl::Span<const Var* const> inputs,
          const Attrs& attrs) {
  SEPTET_CHECK_EQ(op.def().num_outputs, 1) << op.name();
  Var output;
  absl::Status status =
      OpRunner::Run(op, inputs, attrs, absl::MakeSpan(&output, 1));
  if (!status.ok()) return status;
  return output;
}

VarVector ApplyMulti(const Op& op, absl::Span<const Var* const> inputs,
                     const Attrs& attrs) {
  VarVector outputs(op.def().num_outputs);
  absl::Status status =
      OpRunner::Run(op, inputs, attrs, absl::MakeSpan(outputs));
  if (!status.ok()) {
    for (Var& output : outputs) output = status;
  }
  return outputs;
}

}  // namespace septet
