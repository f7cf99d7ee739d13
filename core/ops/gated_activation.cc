// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/gated_activation.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/gated_activation_kernels.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct GatedAttrs {
  ActivationKind kind;
};

absl::Status RequireLike(absl::string_view name, const Tensor& y,
                         const Tensor& x) {
  SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, name, y));
  if (y.shape() == x.shape()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(name, " is ", y.DebugString(),
                                                 ", expected the shape of x, ",
                                                 x.shape().ToString()));
}

// Inputs x, gate.
absl::Status InferForward(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireLike("gate", args.input(1), x));
  args.outputs[0] = {x.shape(), x.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const ActivationKind kind = args.attrs.Get<GatedAttrs>().kind;
  const int64_t n = args.input(0).num_elements();
  const T* x = args.input(0).data<T>();
  const T* gate = args.input(1).data<T>();
  T* y = args.outputs[0].mutable_data<T>();
  const StoreMode mode = StoreModeFor(n * sizeof(T));
  ParallelFor(n, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    GatedActivationForward(kind, end - begin, x + begin, gate + begin,
                           y + begin, mode);
  });
  return absl::OkStatus();
}

// Inputs x, gate, dy; outputs dx, dgate.
absl::Status InferBackward(const InferArgs& args) {
  for (int i = 0; i < 2; ++i) {
    args.outputs[i] = {args.input(0).shape(), args.input(0).dtype()};
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  const ActivationKind kind = args.attrs.Get<GatedAttrs>().kind;
  const int64_t n = args.input(0).num_elements();
  const T* x = args.input(0).data<T>();
  const T* gate = args.input(1).data<T>();
  const T* dy = args.input(2).data<T>();
  T* dx = args.outputs[0].mutable_data<T>();
  T* dgate = args.outputs[1].mutable_data<T>();
  const StoreMode mode = StoreModeFor(n * sizeof(T));
  ParallelFor(n, kElementwiseGrain, [&](int64_t begin, int64_t end) {
    GatedActivationBackward(kind, end - begin, x + begin, gate + begin,
                            dy + begin, dx + begin, dgate + begin, mode);
  });
  return absl::OkStatus();
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "gated_activation_grad";
    def.num_outputs = 2;
    def.infer = &InferBackward;
    def.differentiable = false;  // called on constants only
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &BackwardCpu<float>,
                       &BackwardCpu<double>);
    return registered;
  }();
  return op;
}

const Op& GatedActivationOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "gated_activation";
    def.infer = &InferForward;
    def.composite = [](CompositeArgs& args) {
      args.outputs[0] =
          Mul(Activation(args.attrs.Get<GatedAttrs>().kind, args.inputs[0]),
              args.inputs[1]);
    };
    def.vjp = [](VjpArgs& args) {
      VarVector grads = ApplyMulti(
          BackwardOp(), {&args.inputs[0], &args.inputs[1], &args.cotangents[0]},
          args.attrs);
      args.grads[0] = grads[0];
      args.grads[1] = grads[1];
    };
    def.vjp_is_differentiable = false;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var GatedActivation(ActivationKind kind, const Var& x, const Var& gate) {
  return Apply(GatedActivationOp(), {&x, &gate}, GatedAttrs{kind});
}

}  // namespace septet
