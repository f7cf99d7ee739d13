// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/softmax.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/ops/softmax_kernels.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

absl::Status InferForward(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 1, kMaxRank));
  args.outputs[0] = {x.shape(), x.dtype()};
  return absl::OkStatus();
}

// Calls fn(first row, rows, length) over blocks of the rows of x.
template <typename Fn>
absl::Status ForRows(const Tensor& x, const Fn& fn) {
  const int64_t n = x.dim(x.rank() - 1);
  if (x.num_elements() == 0) return absl::OkStatus();
  ParallelFor(x.num_elements() / n, std::max<int64_t>(1, kElementwiseGrain / n),
              [&](int64_t begin, int64_t end) { fn(begin, end - begin, n); });
  return absl::OkStatus();
}

template <typename T, bool kLog>
absl::Status ForwardCpu(const KernelArgs& args) {
  const T* x = args.input(0).data<T>();
  T* y = args.outputs[0].mutable_data<T>();
  const StoreMode mode = StoreModeFor(args.input(0).num_elements() * sizeof(T));
  return ForRows(args.input(0), [&](int64_t row, int64_t rows, int64_t n) {
    if (kLog) {
      LogSoftmaxForward(rows, n, x + row * n, y + row * n, mode);
    } else {
      SoftmaxForward(rows, n, x + row * n, y + row * n, mode);
    }
  });
}

// Inputs: the forward result y and dy.
template <typename T, bool kLog>
absl::Status BackwardCpu(const KernelArgs& args) {
  const T* y = args.input(0).data<T>();
  const T* dy = args.input(1).data<T>();
  T* dx = args.outputs[0].mutable_data<T>();
  const StoreMode mode = StoreModeFor(args.input(0).num_elements() * sizeof(T));
  return ForRows(args.input(0), [&](int64_t row, int64_t rows, int64_t n) {
    const int64_t at = row * n;
    if (kLog) {
      LogSoftmaxBackward(rows, n, y + at, dy + at, dx + at, mode);
    } else {
      SoftmaxBackward(rows, n, y + at, dy + at, dx + at, mode);
    }
  });
}

template <bool kLog>
const Op& GradOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = kLog ? "log_softmax_grad" : "softmax_grad";
    def.infer = &InferForward;
    def.differentiable = false;  // called on constants only
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &BackwardCpu<float, kLog>,
                       &BackwardCpu<double, kLog>);
    return registered;
  }();
  return op;
}

template <bool kLog>
const Op& SoftmaxOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = kLog ? "log_softmax" : "softmax";
    def.infer = &InferForward;
    def.saved_inputs = 0;
    def.saved_outputs = 1;
    def.composite = [](CompositeArgs& args) {
      const Var& x = args.inputs[0];
      if (x.tensor().num_elements() == 0) {
        args.outputs[0] = Scale(x, 1.0);
        return;
      }
      // The result does not depend on the shift.
      const Var shifted = Sub(x, Max(x.Detach(), {-1}, {/*keep_dims=*/true}));
      const Var exponentials = Exp(shifted);
      const Var sum = Sum(exponentials, {-1}, {/*keep_dims=*/true});
      args.outputs[0] = kLog ? Sub(shifted, Log(sum)) : Div(exponentials, sum);
    };
    def.vjp = [](VjpArgs& args) {
      args.grads[0] =
          Apply(GradOp<kLog>(), {&args.outputs[0], &args.cotangents[0]});
    };
    def.vjp_is_differentiable = false;
    def.jvp = [](JvpArgs& args) {
      const Var& y = args.outputs[0];
      const Var& t = args.tangents[0];
      // softmax: its Jacobian is symmetric. log-softmax: t - sum softmax t.
      args.output_tangents[0] =
          kLog ? Sub(t, Sum(Mul(Exp(y), t), {-1}, {/*keep_dims=*/true}))
               : Apply(GradOp<false>(), {&y, &t});
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float, kLog>,
                       &ForwardCpu<double, kLog>);
    return registered;
  }();
  return op;
}

Var Along(const Op& op, const Var& x, int64_t axis) {
  if (!x.ok() || !x.defined() || x.rank() == 0) return Apply(op, {&x});
  absl::StatusOr<int> resolved = ResolveAxis(axis, x.rank());
  if (!resolved.ok()) {
    return AnnotateStatus(
        resolved.status(),
        absl::StrCat(op.name(), " of x, ", x.tensor().DebugString()));
  }
  const int last = x.rank() - 1;
  if (*resolved == last) return Apply(op, {&x});
  int64_t axes[kMaxRank];
  for (int i = 0; i <= last; ++i) axes[i] = i;
  std::swap(axes[*resolved], axes[last]);  // its own inverse
  const absl::Span<const int64_t> order = absl::MakeConstSpan(axes, last + 1);
  const Var moved = Permute(x, order);
  return Permute(Apply(op, {&moved}), order);
}

}  // namespace

Var Softmax(const Var& x, int64_t axis) {
  return Along(SoftmaxOp<false>(), x, axis);
}

Var LogSoftmax(const Var& x, int64_t axis) {
  return Along(SoftmaxOp<true>(), x, axis);
}

}  // namespace septet
