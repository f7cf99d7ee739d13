// SPDX-License-Identifier: Apache-2.0
// Elementwise functions with constants as parameters: Clip, Pow, Lerp.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/elementwise_kernels.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct ClipAttrs {
  double lo;
  double hi;
};

absl::Status InferClip(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<ClipAttrs>();
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  if (!(attrs.lo <= attrs.hi)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "lo is ", attrs.lo, " and hi ", attrs.hi, ", expected lo <= hi"));
  }
  args.outputs[0] = {x.shape(), x.dtype()};
  return absl::OkStatus();
}

// The limits as numbers of the dtype: rounded, so that a limit that is not one
// of them counts as its neighbour, in the function and in its derivative.
template <typename T>
T Limit(double value) {
  return static_cast<T>(value);
}

// What is done to a piece at a time stays in a first-level cache.
constexpr int64_t kPiece = 2048;

template <typename T>
absl::Status ClipCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<ClipAttrs>();
  const T lo = Limit<T>(attrs.lo);
  const T hi = Limit<T>(attrs.hi);
  const T* x = args.input(0).data<T>();
  T* y = args.outputs[0].mutable_data<T>();
  ParallelFor(
      args.input(0).num_elements(), kElementwiseGrain,
      [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i += kPiece) {
          const int64_t n = std::min(kPiece, end - i);
          BinaryScalarBKernel(BinaryKind::kMaximum, n, x + i, lo, y + i);
          BinaryScalarBKernel(BinaryKind::kMinimum, n, y + i, hi, y + i);
        }
      });
  return absl::OkStatus();
}

// Inputs x, dy.
template <typename T>
absl::Status ClipGradCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<ClipAttrs>();
  const T lo = Limit<T>(attrs.lo);
  const T hi = Limit<T>(attrs.hi);
  const T* x = args.input(0).data<T>();
  const T* dy = args.input(1).data<T>();
  T* dx = args.outputs[0].mutable_data<T>();
  ParallelFor(args.input(0).num_elements(), kElementwiseGrain,
              [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) {
                  // Without a branch: both sides are evaluated.
                  dx[i] = (x[i] >= lo) & (x[i] <= hi) ? dy[i] : T(0);
                }
              });
  return absl::OkStatus();
}

// dy where x lies in the interval, else 0: linear in dy, constant in x.
const Op& ClipGradOp();
const Op& ClipGradOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "clip_grad";
    def.infer = [](const InferArgs& args) -> absl::Status {
      SEPTET_RETURN_IF_ERROR(InferClip(args));
      return RequireSameDType("x", args.input(0), "dy", args.input(1));
    };
    def.saved_inputs = 1;
    def.vjp = [](VjpArgs& args) {
      if (args.Needs(1)) {
        args.grads[1] = Apply(
            ClipGradOp(), {&args.inputs[0], &args.cotangents[0]}, args.attrs);
      }
    };
    def.jvp = [](JvpArgs& args) {
      if (args.tangents[1].defined()) {
        args.output_tangents[0] = Apply(
            ClipGradOp(), {&args.inputs[0], &args.tangents[1]}, args.attrs);
      }
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "loop", &ClipGradCpu<float>,
                       &ClipGradCpu<double>);
    return registered;
  }();
  return op;
}

const Op& ClipOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "clip";
    def.infer = &InferClip;
    def.composite = [](CompositeArgs& args) {
      const auto& attrs = args.attrs.Get<ClipAttrs>();
      const Var& x = args.inputs[0];
      const Var lo = Tensor::Scalar(attrs.lo, x.dtype());
      const Var hi = Tensor::Scalar(attrs.hi, x.dtype());
      args.outputs[0] = Where(Less(x, lo), lo, Where(Greater(x, hi), hi, x));
    };
    def.vjp = [](VjpArgs& args) {
      args.grads[0] = Apply(ClipGradOp(),
                            {&args.inputs[0], &args.cotangents[0]}, args.attrs);
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          Apply(ClipGradOp(), {&args.inputs[0], &args.tangents[0]}, args.attrs);
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ClipCpu<float>, &ClipCpu<double>);
    return registered;
  }();
  return op;
}

struct PowAttrs {
  double exponent;
};

// Larger integers are left to std::pow, which rounds once.
constexpr double kLargestProduct = 16;

template <typename T>
absl::Status PowCpu(const KernelArgs& args) {
  const double exponent = args.attrs.Get<PowAttrs>().exponent;
  const T* x = args.input(0).data<T>();
  T* y = args.outputs[0].mutable_data<T>();
  const bool product =
      std::abs(exponent) <= kLargestProduct && exponent == std::trunc(exponent);
  ParallelFor(args.input(0).num_elements(), kElementwiseGrain / 16,
              [&](int64_t begin, int64_t end) {
                if (!product) {
                  for (int64_t i = begin; i < end; ++i) {
                    y[i] = std::pow(x[i], static_cast<T>(exponent));
                  }
                  return;
                }
                // By squaring, from the highest bit of the exponent.
                const auto n = static_cast<int>(std::abs(exponent));
                int top = 16;
                while (top > 0 && (n & top) == 0) top /= 2;
                std::fill(y + begin, y + end, T(1));
                for (int bit = top; bit > 0; bit /= 2) {
                  const bool once = (n & bit) != 0;
                  for (int64_t i = begin; i < end; ++i) {
                    const T square = y[i] * y[i];
                    y[i] = once ? square * x[i] : square;
                  }
                }
                if (exponent < 0) {
                  for (int64_t i = begin; i < end; ++i) y[i] = T(1) / y[i];
                }
              });
  return absl::OkStatus();
}

const Op& PowOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "pow";
    def.infer = [](const InferArgs& args) -> absl::Status {
      const double exponent = args.attrs.Get<PowAttrs>().exponent;
      const Tensor& x = args.input(0);
      SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
      if (!std::isfinite(exponent)) {
        return absl::InvalidArgumentError(absl::StrCat(
            "exponent is ", exponent, ", expected a finite number"));
      }
      args.outputs[0] = {x.shape(), x.dtype()};
      return absl::OkStatus();
    };
    def.vjp = [](VjpArgs& args) {
      const double p = args.attrs.Get<PowAttrs>().exponent;
      // At p = 0 the derivative is 0 everywhere, at x = 0 too.
      if (p == 0) return;
      args.grads[0] =
          Mul(args.cotangents[0], Scale(Pow(args.inputs[0], p - 1), p));
    };
    def.jvp = [](JvpArgs& args) {
      const double p = args.attrs.Get<PowAttrs>().exponent;
      if (p == 0) return;
      args.output_tangents[0] =
          Mul(args.tangents[0], Scale(Pow(args.inputs[0], p - 1), p));
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "loop", &PowCpu<float>, &PowCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var Clip(const Var& x, double lo, double hi) {
  return Apply(ClipOp(), {&x}, ClipAttrs{lo, hi});
}

Var Pow(const Var& x, double exponent) {
  return Apply(PowOp(), {&x}, PowAttrs{exponent});
}

Var Lerp(const Var& a, const Var& b, double weight) {
  if (!std::isfinite(weight)) {
    return absl::InvalidArgumentError(
        absl::StrCat("lerp: weight is ", weight, ", expected a finite number"));
  }
  // From the nearer end, so that both ends are exact.
  const Var difference = Sub(b, a);
  return weight < 0.5 ? Add(a, Scale(difference, weight))
                      : Sub(b, Scale(difference, 1 - weight));
}

}  // namespace septet
