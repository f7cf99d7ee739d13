// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/gated_head_norm.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/activation.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct HeadNormAttrs {
  HeadNorm norm;
  double eps;
};

// [..., H, dv] as [..., H dv].
Shape JoinHeads(const Shape& o) {
  std::vector<int64_t> dims;
  for (int axis = 0; axis < o.rank(); ++axis) dims.push_back(o.dim(axis));
  const int64_t width = dims.back();
  dims.pop_back();
  dims.back() *= width;
  return Shape(dims);
}

// Inputs o, gate, weight.
absl::Status InferForward(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<HeadNormAttrs>();
  const Tensor& o = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("o", o));
  SEPTET_RETURN_IF_ERROR(RequireRank("o", o, 2, kMaxRank));
  for (const int axis : {o.rank() - 2, o.rank() - 1}) {
    if (o.dim(axis) >= 1) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "o is ", o.DebugString(), ", expected axis ", axis, " to be >= 1"));
  }
  const Shape joined = JoinHeads(o.shape());
  if (args.input(1).defined()) {
    SEPTET_RETURN_IF_ERROR(RequireSameDType("o", o, "gate", args.input(1)));
    if (args.input(1).shape() != joined) {
      return absl::InvalidArgumentError(
          absl::StrCat("gate is ", args.input(1).DebugString(), ", expected ",
                       joined.ToString(), ", the heads of o side by side"));
    }
  }
  const bool affine = attrs.norm == HeadNorm::kRmsAffine;
  if (affine != args.input(2).defined()) {
    return absl::InvalidArgumentError(
        affine ? "weight is not given, expected one for kRmsAffine"
               : "weight is given, expected none but for kRmsAffine");
  }
  if (affine) {
    SEPTET_RETURN_IF_ERROR(RequireSameDType("o", o, "weight", args.input(2)));
    SEPTET_RETURN_IF_ERROR(RequireRank("weight", args.input(2), 1, 1));
    SEPTET_RETURN_IF_ERROR(RequireExtent("weight", args.input(2), 0,
                                         o.dim(o.rank() - 1),
                                         "the width of a head of o"));
  }
  if (!(attrs.eps >= 0 && std::isfinite(attrs.eps))) {
    return absl::InvalidArgumentError(
        absl::StrCat("eps is ", attrs.eps, ", expected a finite number >= 0"));
  }
  args.outputs[0] = {joined, o.dtype()};
  return absl::OkStatus();
}

template <typename T>
GatedHeadNormProblem<T> MakeProblem(const HeadNormAttrs& attrs, const Tensor& o,
                                    const Tensor& gate, const Tensor& weight) {
  GatedHeadNormProblem<T> p;
  p.width = o.dim(o.rank() - 1);
  p.o = o.data<T>();
  p.gate = OptionalData<T>(gate);
  p.weight = OptionalData<T>(weight);
  p.norm = attrs.norm;
  p.eps = static_cast<T>(attrs.eps);
  return p;
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const GatedHeadNormProblem<T> p =
      MakeProblem<T>(args.attrs.Get<HeadNormAttrs>(), args.input(0),
                     args.input(1), args.input(2));
  T* const y = args.outputs[0].mutable_data<T>();
  const int64_t rows = args.input(0).num_elements() / p.width;
  ParallelFor(rows, std::max<int64_t>(1, kElementwiseGrain / p.width),
              [&](int64_t begin, int64_t end) {
                GatedHeadNormForward(p, begin, end, y);
              });
  return absl::OkStatus();
}

// Inputs o, gate, weight, dy; outputs do, dgate, dweight.
absl::Status InferBackward(const InferArgs& args) {
  const DType dtype = args.input(0).dtype();
  for (int i = 0; i < 3; ++i) {
    args.outputs[i] = {
        args.input(i).defined() ? args.input(i).shape() : Shape({0}), dtype};
  }
  return absl::OkStatus();
}

// Rows whose part of the weight's gradient is one sum.
constexpr int64_t kWeightRows = 1024;

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  const GatedHeadNormProblem<T> p =
      MakeProblem<T>(args.attrs.Get<HeadNormAttrs>(), args.input(0),
                     args.input(1), args.input(2));
  const int64_t rows = args.input(0).num_elements() / p.width;
  GatedHeadNormGradient<T> gradient;
  gradient.dy = args.input(3).data<T>();
  gradient.d_o = args.outputs[0].mutable_data<T>();
  if (p.gate != nullptr) gradient.dgate = args.outputs[1].mutable_data<T>();
  if (p.weight == nullptr) {
    ParallelFor(rows, std::max<int64_t>(1, kElementwiseGrain / p.width),
                [&](int64_t begin, int64_t end) {
                  GatedHeadNormBackward(p, gradient, begin, end);
                });
    return absl::OkStatus();
  }
  const int64_t parts = (rows + kWeightRows - 1) / kWeightRows;
  SEPTET_ASSIGN_OR_RETURN(const Tensor sums,
                          Tensor::Empty(Shape({parts, p.width}), kDTypeOf<T>));
  T* const partial = sums.mutable_data<T>();
  ParallelFor(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      GatedHeadNormGradient<T> of_part = gradient;
      of_part.dweight = partial + part * p.width;
      GatedHeadNormBackward(p, of_part, part * kWeightRows,
                            std::min(rows, (part + 1) * kWeightRows));
    }
  });
  T* const dweight = args.outputs[2].mutable_data<T>();
  for (int64_t i = 0; i < p.width; ++i) {
    double sum = 0;
    for (int64_t part = 0; part < parts; ++part) {
      sum += static_cast<double>(partial[part * p.width + i]);
    }
    dweight[i] = static_cast<T>(sum);
  }
  return absl::OkStatus();
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "gated_head_norm_grad";
    def.num_outputs = 3;
    def.infer = &InferBackward;
    def.differentiable = false;  // called on constants only
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &BackwardCpu<float>,
                       &BackwardCpu<double>);
    return registered;
  }();
  return op;
}

void Composite(CompositeArgs& args) {
  const auto& attrs = args.attrs.Get<HeadNormAttrs>();
  const ReduceOptions keep{/*keep_dims=*/true};
  Var u = args.inputs[0];
  if (attrs.norm == HeadNorm::kLayer) u = Sub(u, Mean(u, {-1}, keep));
  if (attrs.norm != HeadNorm::kNone) {
    u = Mul(u, Rsqrt(Affine(Mean(Square(u), {-1}, keep), 1, attrs.eps)));
  }
  if (args.inputs[2].defined()) u = Mul(u, args.inputs[2]);
  if (!u.ok()) {
    args.outputs[0] = u;
    return;
  }
  std::vector<int64_t> dims;
  const Shape joined = JoinHeads(u.shape());
  for (int axis = 0; axis < joined.rank(); ++axis) {
    dims.push_back(joined.dim(axis));
  }
  Var y = Reshape(u, dims);
  if (args.inputs[1].defined()) {
    y = Mul(y, Activation(ActivationKind::kSwish, args.inputs[1]));
  }
  args.outputs[0] = y;
}

void Vjp(VjpArgs& args) {
  const VarVector grads = ApplyMulti(
      BackwardOp(),
      {&args.inputs[0], &args.inputs[1], &args.inputs[2], &args.cotangents[0]},
      args.attrs);
  for (int i = 0; i < 3; ++i) {
    if (args.Needs(i)) args.grads[i] = grads[i];
  }
}

const Op& GatedHeadNormOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "gated_head_norm";
    def.infer = &InferForward;
    def.composite = &Composite;
    def.vjp = &Vjp;
    def.vjp_is_differentiable = false;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var GatedHeadNorm(const Var& o, const Var& gate, HeadNorm norm, double eps,
                  const Var& weight) {
  return Apply(GatedHeadNormOp(), {&o, &gate, &weight},
               HeadNormAttrs{norm, eps});
}

}  // namespace septet
