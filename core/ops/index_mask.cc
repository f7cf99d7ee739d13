// SPDX-License-Identifier: Apache-2.0
// OneHot, MaskedFill and CausalMask: what indices and masks are made into.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/index_util.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct OneHotAttrs {
  int64_t depth;
  DType dtype;
};

absl::Status InferOneHot(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<OneHotAttrs>();
  const Tensor& ids = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireIndices("ids", ids));
  SEPTET_RETURN_IF_ERROR(RequireRank("ids", ids, 0, kMaxRank - 1));
  if (attrs.depth < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("depth is ", attrs.depth, ", expected >= 1"));
  }
  if (attrs.dtype != DType::kF32 && attrs.dtype != DType::kF64 &&
      attrs.dtype != DType::kI32 && attrs.dtype != DType::kI64) {
    return absl::InvalidArgumentError(
        absl::StrCat("dtype is ", DTypeName(attrs.dtype),
                     ", expected f32, f64, i32 or i64"));
  }
  int64_t dims[kMaxRank];
  std::copy(ids.shape().dims().begin(), ids.shape().dims().end(), dims);
  dims[ids.rank()] = attrs.depth;
  SEPTET_ASSIGN_OR_RETURN(
      args.outputs[0].shape,
      Shape::Create(absl::MakeConstSpan(dims, ids.rank() + 1)));
  args.outputs[0].dtype = attrs.dtype;
  return absl::OkStatus();
}

absl::Status OneHotCpu(const KernelArgs& args) {
  const Tensor& ids = args.input(0);
  const Tensor& y = args.outputs[0];
  const int64_t depth = args.attrs.Get<OneHotAttrs>().depth;
  SEPTET_RETURN_IF_ERROR(CheckIndices("ids", ids, depth, "depth"));
  DispatchDType(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    auto* row = static_cast<T*>(y.raw_mutable_data());
    std::fill_n(row, y.num_elements(), ConvertElement<T>(0.0f));
    WithIndices(ids, [&](const auto* places) {
      for (int64_t i = 0; i < ids.num_elements(); ++i, row += depth) {
        row[places[i]] = ConvertElement<T>(1.0f);
      }
    });
  });
  return absl::OkStatus();
}

const Op& OneHotOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "one_hot";
    def.infer = &InferOneHot;
    def.differentiable = false;
    const Op& registered = RegisterOp(def);
    for (const DType dtype : {DType::kI32, DType::kI64}) {
      RegisterKernel(def.name, DeviceType::kCpu, dtype, "loop", &OneHotCpu);
    }
    return registered;
  }();
  return op;
}

}  // namespace

Var OneHot(const Var& ids, int64_t depth, DType dtype) {
  return Apply(OneHotOp(), {&ids}, OneHotAttrs{depth, dtype});
}

Var MaskedFill(const Var& x, const Var& mask, double value) {
  for (const Var* input : {&x, &mask}) {
    if (!input->ok()) return input->status();
  }
  absl::Status status = RequireReal("x", x.tensor());
  if (status.ok()) status = RequireDefined("mask", mask.tensor());
  if (status.ok() && mask.dtype() != DType::kBool) {
    status = absl::InvalidArgumentError(absl::StrCat(
        "mask is ", mask.tensor().DebugString(), ", expected bool"));
  }
  if (status.ok()) {
    absl::StatusOr<Shape> common = BroadcastShapes(mask.shape(), x.shape());
    if (!common.ok() || *common != x.shape()) {
      status = absl::InvalidArgumentError(absl::StrCat(
          "mask is ", mask.tensor().DebugString(),
          ", which does not broadcast to x, ", x.tensor().DebugString()));
    }
  }
  if (!status.ok()) return AnnotateStatus(status, "masked_fill");
  return Where(mask, Tensor::Scalar(value, x.dtype()), x);
}

Var CausalMask(int64_t queries, int64_t keys) {
  if (queries < 0 || keys < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("causal_mask: ", queries, " queries and ", keys,
                     " keys, expected numbers >= 0"));
  }
  const int64_t dims[] = {queries, keys};
  absl::StatusOr<Shape> shape = Shape::Create(dims);
  if (!shape.ok()) return AnnotateStatus(shape.status(), "causal_mask");
  absl::StatusOr<Tensor> mask = Tensor::Zeros(*shape, DType::kBool);
  if (!mask.ok()) return mask.status();
  bool* row = mask->mutable_data<bool>();
  for (int64_t t = 0; t < queries; ++t, row += keys) {
    const int64_t seen = t + keys - queries + 1;
    std::fill_n(row, std::min(keys, std::max<int64_t>(0, seen)), true);
  }
  return *mask;
}

}  // namespace septet
