// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/normalize.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/elementwise_kernels.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/reduce_kernels.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Input x; outputs y and r.
absl::Status InferForward(const InferArgs& args) {
  const double eps = args.attrs.Get<NormalizeL2Options>().eps;
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 1, kMaxRank));
  const bool single = x.dtype() == DType::kF32;
  const double low = single ? std::numeric_limits<float>::min()
                            : std::numeric_limits<double>::min();
  const double high = single ? std::numeric_limits<float>::max()
                             : std::numeric_limits<double>::max();
  if (!(eps >= low && eps <= high)) {
    return absl::InvalidArgumentError(
        absl::StrCat("eps is ", eps, ", expected a positive normal number of ",
                     DTypeName(x.dtype())));
  }
  args.outputs[0] = {x.shape(), x.dtype()};
  args.outputs[1] = {x.shape().WithDim(x.rank() - 1, 1), x.dtype()};
  return absl::OkStatus();
}

// Calls fn(row) for the rows of x, in blocks.
template <typename Fn>
void ForRows(const Tensor& x, const Fn& fn) {
  const int64_t n = std::max<int64_t>(1, x.dim(x.rank() - 1));
  int64_t rows = 1;
  for (int i = 0; i + 1 < x.rank(); ++i) rows *= x.dim(i);
  ParallelFor(rows, std::max<int64_t>(1, kElementwiseGrain / n),
              [&](int64_t begin, int64_t end) {
                for (int64_t r = begin; r < end; ++r) fn(r);
              });
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const auto& options = args.attrs.Get<NormalizeL2Options>();
  const Tensor& x = args.input(0);
  const int64_t n = x.dim(x.rank() - 1);
  const T eps = static_cast<T>(options.eps);
  const T* px = x.data<T>();
  T* y = args.outputs[0].mutable_data<T>();
  T* norms = args.outputs[1].mutable_data<T>();
  ForRows(x, [&](int64_t r) {
    const T s = SumOfSquaresKernel(n, px + r * n);
    const T norm = options.mode == L2Mode::kSumEps
                       ? std::sqrt(s + eps)
                       : std::max(eps, std::sqrt(s));
    norms[r] = norm;
    ScaleKernel(n, T(1) / norm, px + r * n, y + r * n);
  });
  return absl::OkStatus();
}

// Inputs y, r, dy; output dx.
template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  const auto& options = args.attrs.Get<NormalizeL2Options>();
  const Tensor& y = args.input(0);
  const int64_t n = y.dim(y.rank() - 1);
  const T eps = static_cast<T>(options.eps);
  const T* py = y.data<T>();
  const T* norms = args.input(1).data<T>();
  const T* dy = args.input(2).data<T>();
  T* dx = args.outputs[0].mutable_data<T>();
  ForRows(y, [&](int64_t r) {
    const T inverse = T(1) / norms[r];
    ScaleKernel(n, inverse, dy + r * n, dx + r * n);
    // The least norm stands for itself: it does not depend on x.
    if (options.mode == L2Mode::kMaxEps && norms[r] <= eps) return;
    const T dot = DotKernel(n, py + r * n, dy + r * n);
    AxpyKernel(n, -dot * inverse, py + r * n, dx + r * n);
  });
  return absl::OkStatus();
}

const Op& GradOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "normalize_l2_grad";
    def.infer = [](const InferArgs& args) {
      args.outputs[0] = {args.input(0).shape(), args.input(0).dtype()};
      return absl::OkStatus();
    };
    def.differentiable = false;  // called on constants only
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &BackwardCpu<float>,
                       &BackwardCpu<double>);
    return registered;
  }();
  return op;
}

void Composite(CompositeArgs& args) {
  const auto& options = args.attrs.Get<NormalizeL2Options>();
  const Var& x = args.inputs[0];
  const Var s = Sum(Square(x), {-1}, {/*keep_dims=*/true});
  Var r;
  if (options.mode == L2Mode::kSumEps) {
    r = Sqrt(AddScalar(s, options.eps));
  } else {
    const Var eps = Tensor::Scalar(options.eps, x.dtype());
    const Var one = Tensor::Scalar(1.0, x.dtype());
    const Var least = LessEqual(Sqrt(s.Detach()), eps);
    // The root of 0 has no derivative: it is not taken.
    r = Where(least, eps, Sqrt(Where(least, one, s)));
  }
  args.outputs[0] = Div(x, r);
  args.outputs[1] = r;
}

const Op& NormalizeOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "normalize_l2";
    def.num_outputs = 2;
    def.infer = &InferForward;
    def.composite = &Composite;
    def.vjp = [](VjpArgs& args) {
      args.grads[0] = Apply(
          GradOp(), {&args.outputs[0], &args.outputs[1], &args.cotangents[0]},
          args.attrs);
    };
    def.vjp_is_differentiable = false;
    def.saved_outputs = 3;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var NormalizeL2(const Var& x, const NormalizeL2Options& options) {
  return ApplyMulti(NormalizeOp(), {&x}, options)[0];
}

}  // namespace septet
