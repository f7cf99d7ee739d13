// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/log_sum_exp.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/cross_entropy_kernels.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// x [rows, n] -> [rows, 1].
absl::Status Infer(const InferArgs& args) {
  const Tensor& x = args.input(0);
  if (x.dim(1) == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("x is ", x.DebugString(), ": nothing to add up"));
  }
  args.outputs[0] = {x.shape().WithDim(1, 1), x.dtype()};
  return absl::OkStatus();
}

template <typename T>
absl::Status Cpu(const KernelArgs& args) {
  const Tensor& x = args.input(0);
  const int64_t rows = x.dim(0);
  const int64_t n = x.dim(1);
  SEPTET_ASSIGN_OR_RETURN(Tensor sums, Tensor::Empty(Shape({rows}), x.dtype()));
  const T* px = x.data<T>();
  T* sum = sums.mutable_data<T>();
  T* y = args.outputs[0].mutable_data<T>();
  ParallelFor(rows, std::max<int64_t>(1, kElementwiseGrain / n),
              [&](int64_t begin, int64_t end) {
                CrossEntropyForward(end - begin, n, px + begin * n, nullptr, 0,
                                    T(0), nullptr, y + begin, sum + begin);
                for (int64_t r = begin; r < end; ++r) {
                  // The maximum is the result where it is infinite (or NaN).
                  if (std::isfinite(y[r])) y[r] += std::log(sum[r]);
                }
              });
  return absl::OkStatus();
}

Var Constant(double value, const Var& like) {
  return Tensor::Scalar(value, like.dtype());
}

// y, and 0 where it is infinite.
Var FiniteOrZero(const Var& y) {
  return Where(Equal(Abs(y), Constant(kInfinity, y)), Constant(0, y), y);
}

// softmax(x), by the result y.
Var Weights(const Var& x, const Var& y) { return Exp(Sub(x, FiniteOrZero(y))); }

const Op& LogSumExpOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "log_sum_exp";
    def.infer = &Infer;
    def.saved_outputs = 1;
    def.composite = [](CompositeArgs& args) {
      const Var& x = args.inputs[0];
      const ReduceOptions keep{/*keep_dims=*/true};
      const Var shift = FiniteOrZero(Max(x.Detach(), {-1}, keep));
      args.outputs[0] = Add(Log(Sum(Exp(Sub(x, shift)), {-1}, keep)), shift);
    };
    def.vjp = [](VjpArgs& args) {
      args.grads[0] =
          Mul(args.cotangents[0], Weights(args.inputs[0], args.outputs[0]));
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          Sum(Mul(args.tangents[0], Weights(args.inputs[0], args.outputs[0])),
              {-1}, {/*keep_dims=*/true});
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &Cpu<float>, &Cpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var LogSumExp(const Var& x, absl::Span<const int64_t> axes,
              const ReduceOptions& options) {
  if (!x.ok()) return x.status();
  absl::Status status = RequireReal("x", x.tensor());
  if (status.ok()) status = RequireRank("x", x.tensor(), 1, kMaxRank);
  if (!status.ok()) return AnnotateStatus(status, "log_sum_exp");
  bool reduced[kMaxRank];
  std::fill_n(reduced, kMaxRank, axes.empty());
  for (const int64_t axis : axes) {
    absl::StatusOr<int> resolved = ResolveAxis(axis, x.rank());
    if (!resolved.ok()) {
      return AnnotateStatus(
          resolved.status(),
          absl::StrCat("log_sum_exp of ", x.shape().ToString()));
    }
    if (reduced[*resolved]) {
      return absl::InvalidArgumentError(absl::StrCat(
          "log_sum_exp: axes [", absl::StrJoin(axes, ", "), "] of ",
          x.shape().ToString(), " name axis ", *resolved, " twice"));
    }
    reduced[*resolved] = true;
  }
  // The axes go to the end, in their order.
  int64_t order[kMaxRank];
  int64_t dims[kMaxRank];
  int count = 0;
  int rank = 0;
  int64_t rows = 1;
  int64_t n = 1;
  for (int i = 0; i < x.rank(); ++i) {
    if (!reduced[i]) {
      order[count++] = i;
      rows *= x.dim(i);
    }
    if (!reduced[i] || options.keep_dims) {
      dims[rank++] = reduced[i] ? 1 : x.dim(i);
    }
  }
  for (int i = 0; i < x.rank(); ++i) {
    if (!reduced[i]) continue;
    order[count++] = i;
    n *= x.dim(i);
  }
  const Var flat =
      Reshape(Permute(x, absl::MakeConstSpan(order, count)), {rows, n});
  return Reshape(Apply(LogSumExpOp(), {&flat}),
                 absl::MakeConstSpan(dims, rank));
}

}  // namespace septet
