// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/activation.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/edit_distance.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/activation_kernels.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// As in activation_kind.h.
constexpr double kSeluScale = 1.0507009873554805;
constexpr double kSeluAlpha = 1.6732632423543772;
constexpr double kInvSqrt2 = 0.70710678118654752440;
constexpr double kSqrt2OverPi = 0.79788456080286535588;

struct ActivationAttrs {
  ActivationKind kind;
};

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const ActivationKind kind = args.attrs.Get<ActivationAttrs>().kind;
  const T* x = args.input(0).data<T>();
  T* y = args.outputs[0].mutable_data<T>();
  const StoreMode mode = StoreModeFor(args.input(0).num_elements() * sizeof(T));
  ParallelFor(args.input(0).num_elements(), kElementwiseGrain,
              [&](int64_t begin, int64_t end) {
                ActivationForward(kind, end - begin, x + begin, y + begin,
                                  mode);
              });
  return absl::OkStatus();
}

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  const ActivationKind kind = args.attrs.Get<ActivationAttrs>().kind;
  const T* x = args.input(0).data<T>();
  const T* dy = args.input(1).data<T>();
  T* dx = args.outputs[0].mutable_data<T>();
  const StoreMode mode = StoreModeFor(args.input(0).num_elements() * sizeof(T));
  ParallelFor(args.input(0).num_elements(), kElementwiseGrain,
              [&](int64_t begin, int64_t end) {
                ActivationBackward(kind, end - begin, x + begin, dy + begin,
                                   dx + begin, mode);
              });
  return absl::OkStatus();
}

absl::Status InferForward(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  args.outputs[0] = {x.shape(), x.dtype()};
  return absl::OkStatus();
}

// exp(-|x|) with the smooth continuation of each side as its derivative at 0:
// where x > 0 it is exp(-x), elsewhere exp(x). What is not chosen is kept
// finite.
Var ExpOfMinusMagnitude(const Var& x, const Var& positive) {
  return Exp(Where(positive, Neg(x), x));
}

// 1 / (1 + exp(-x)) = exp(x) / (1 + exp(x)), by the side that does not
// overflow; both are smooth, so any branch has the right derivatives, also at
// 0.
Var SigmoidFormula(const Var& x, const Var& positive) {
  const Var e = ExpOfMinusMagnitude(x, positive);
  const Var sum = AddScalar(e, 1.0);
  return Where(positive, Reciprocal(sum), Div(e, sum));
}

Var Formula(ActivationKind kind, const Var& x) {
  const Var zero = Tensor::Scalar(0.0, x.dtype());
  const Var positive = Greater(x, zero);
  switch (kind) {
    case ActivationKind::kRelu:
      // So that NaN stays NaN.
      return Where(LessEqual(x, zero), zero, x);
    case ActivationKind::kLeakyRelu:
      return Where(positive, x, Scale(x, 0.01));
    case ActivationKind::kGelu:
      return Mul(Scale(x, 0.5), Erfc(Scale(x, -kInvSqrt2)));
    case ActivationKind::kGeluTanh: {
      const Var cubic = Mul(x, Affine(Square(x), 0.044715, 1.0));
      return Mul(Scale(x, 0.5),
                 AddScalar(Tanh(Scale(cubic, kSqrt2OverPi)), 1.0));
    }
    case ActivationKind::kSwish:
      return Mul(x, SigmoidFormula(x, positive));
    case ActivationKind::kSelu:
      return Where(
          positive, Scale(x, kSeluScale),
          Scale(Expm1(Where(positive, zero, x)), kSeluScale * kSeluAlpha));
    case ActivationKind::kElu:
      return Where(positive, x, Expm1(Where(positive, zero, x)));
    case ActivationKind::kSoftplus:
      return Add(Where(positive, x, zero),
                 Log1p(ExpOfMinusMagnitude(x, positive)));
    case ActivationKind::kSigmoid:
      return SigmoidFormula(x, positive);
    case ActivationKind::kTanh:
      return Tanh(x);
    case ActivationKind::kGaussian:
      return Exp(Scale(Square(x), -0.5));
    case ActivationKind::kSin:
      return Sin(x);
    case ActivationKind::kIdentity:
      break;
  }
  return Scale(x, 1.0);
}

// dy phi'(x).
const Op& GradOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "activation_grad";
    def.infer = [](const InferArgs& args) -> absl::Status {
      SEPTET_RETURN_IF_ERROR(InferForward(args));
      const Tensor& x = args.input(0);
      const Tensor& dy = args.input(1);
      SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "dy", dy));
      if (dy.shape() != x.shape()) {
        return absl::InvalidArgumentError(
            absl::StrCat("dy is ", dy.DebugString(),
                         ", expected the shape of x, ", x.shape().ToString()));
      }
      return absl::OkStatus();
    };
    // The vjp and jvp below call it on constants; whoever differentiates
    // twice goes through the formula instead.
    def.differentiable = false;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &BackwardCpu<float>,
                       &BackwardCpu<double>);
    return registered;
  }();
  return op;
}

const Op& ActivationOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "activation";
    def.infer = &InferForward;
    def.composite = [](CompositeArgs& args) {
      args.outputs[0] =
          Formula(args.attrs.Get<ActivationAttrs>().kind, args.inputs[0]);
    };
    def.vjp = [](VjpArgs& args) {
      args.grads[0] =
          Apply(GradOp(), {&args.inputs[0], &args.cotangents[0]}, args.attrs);
    };
    def.vjp_is_differentiable = false;
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          Apply(GradOp(), {&args.inputs[0], &args.tangents[0]}, args.attrs);
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var Activation(ActivationKind kind, const Var& x) {
  return Apply(ActivationOp(), {&x}, ActivationAttrs{kind});
}

absl::StatusOr<ActivationKind> ParseActivation(absl::string_view name) {
  if (std::optional<ActivationKind> kind = ActivationFromName(name)) {
    return *kind;
  }
  std::vector<std::string> names;
  for (ActivationKind kind : kAllActivationKinds) {
    names.push_back(std::string(ActivationName(kind)));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown activation '", name, "'; the nearest is '",
                   NearestName(name, names), "'"));
}

}  // namespace septet
