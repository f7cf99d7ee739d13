// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/channel_affine.h"

#include "absl/status/status.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/ops/batch_norm_impl.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Inputs x, shift, multiplier, bias.
absl::Status Infer(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(batch_norm_internal::RequireChannelsLast(x));
  const char* names[] = {"x", "shift", "multiplier", "bias"};
  for (int i = 1; i < 4; ++i) {
    if (i != 2 && !args.input(i).defined()) continue;
    SEPTET_RETURN_IF_ERROR(
        batch_norm_internal::RequireChannels(names[i], x, args.input(i)));
  }
  args.outputs[0] = {x.shape(), x.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status Cpu(const KernelArgs& args) {
  batch_norm_internal::Apply(args.input(0), OptionalData<T>(args.input(1)),
                             args.input(2).data<T>(),
                             OptionalData<T>(args.input(3)), args.outputs[0]);
  return absl::OkStatus();
}

void Composite(CompositeArgs& args) {
  Var y = args.inputs[0];
  if (args.inputs[1].defined()) y = Sub(y, args.inputs[1]);
  y = Mul(y, args.inputs[2]);
  if (args.inputs[3].defined()) y = Add(y, args.inputs[3]);
  args.outputs[0] = y;
}

void Vjp(VjpArgs& args) {
  const Var& x = args.inputs[0];
  const Var& shift = args.inputs[1];
  const Var& multiplier = args.inputs[2];
  const Var& dy = args.cotangents[0];
  const Shape channels = multiplier.shape();
  if (args.Needs(0)) {
    args.grads[0] = ChannelAffine(dy, Var(), multiplier, Var());
  }
  const bool needs_shift = shift.defined() && args.Needs(1);
  const bool needs_bias = args.inputs[3].defined() && args.Needs(3);
  if (needs_shift || needs_bias) {
    const Var sum = SumTo(dy, channels);
    if (needs_shift) args.grads[1] = Neg(Mul(sum, multiplier));
    if (needs_bias) args.grads[3] = sum;
  }
  if (args.Needs(2)) {
    const Var centred = shift.defined() ? Sub(x, shift) : x;
    args.grads[2] = SumTo(Mul(dy, centred), channels);
  }
}

void Jvp(JvpArgs& args) {
  const Var& x = args.inputs[0];
  const Var& shift = args.inputs[1];
  const Var& multiplier = args.inputs[2];
  Var sum;
  const auto add = [&sum, &x](const Var& term) {
    const Var whole = BroadcastTo(term, x.shape());
    sum = sum.defined() ? Add(sum, whole) : whole;
  };
  if (args.tangents[0].defined()) {
    add(ChannelAffine(args.tangents[0], Var(), multiplier, Var()));
  }
  if (args.tangents[1].defined()) {
    add(Neg(Mul(args.tangents[1], multiplier)));
  }
  if (args.tangents[2].defined()) {
    add(ChannelAffine(x, shift, args.tangents[2], Var()));
  }
  if (args.tangents[3].defined()) add(args.tangents[3]);
  args.output_tangents[0] = sum;
}

const Op& ChannelAffineOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "channel_affine";
    def.infer = &Infer;
    def.composite = &Composite;
    def.vjp = &Vjp;
    def.jvp = &Jvp;
    def.saved_inputs = 0b111;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &Cpu<float>, &Cpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var ChannelAffine(const Var& x, const Var& shift, const Var& multiplier,
                  const Var& bias) {
  return Apply(ChannelAffineOp(), {&x, &shift, &multiplier, &bias});
}

}  // namespace septet
