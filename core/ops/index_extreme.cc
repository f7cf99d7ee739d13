// SPDX-License-Identifier: Apache-2.0
// ArgMax and ArgMin.
#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/index_util.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/reduce_kernels.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct ArgAttrs {
  int64_t axis;  // not negative
  bool keep_dims;
};

absl::Status InferArg(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<ArgAttrs>();
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 1, kMaxRank));
  if (x.dtype() != DType::kI32 && x.dtype() != DType::kI64 &&
      x.dtype() != DType::kF32 && x.dtype() != DType::kF64) {
    return absl::InvalidArgumentError(absl::StrCat(
        "x is ", x.DebugString(), ", expected f32, f64, i32 or i64"));
  }
  const int axis = static_cast<int>(attrs.axis);
  if (x.dim(axis) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "x is ", x.DebugString(), ": axis ", axis, " has nothing to choose"));
  }
  int64_t dims[kMaxRank];
  int rank = 0;
  for (int i = 0; i < x.rank(); ++i) {
    if (i != axis) {
      dims[rank++] = x.dim(i);
    } else if (attrs.keep_dims) {
      dims[rank++] = 1;
    }
  }
  args.outputs[0] = {Shape(absl::MakeConstSpan(dims, rank)), DType::kI64};
  return absl::OkStatus();
}

// True where a comes before b: NaN before all, equals not.
template <bool kMax, typename T>
inline bool Before(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (a != a) return b == b;
  }
  return kMax ? a > b : a < b;
}

// The first place of `value`, which is there; NaN matches NaN.
template <typename T>
int64_t FirstPlace(const T* x, int64_t n, T value) {
  // Blocks without an exit inside run on vectors.
  constexpr int64_t kBlock = 64;
  int64_t i = 0;
  if (value == value) {
    for (; i + kBlock <= n; i += kBlock) {
      int found = 0;
      for (int64_t j = 0; j < kBlock; ++j) found |= x[i + j] == value;
      if (found != 0) break;
    }
    while (x[i] != value) ++i;
    return i;
  }
  while (x[i] == x[i]) ++i;
  return i;
}

template <bool kMax, typename T>
void ArgRows(int64_t rows, int64_t n, const T* x, int64_t* out) {
  for (int64_t r = 0; r < rows; ++r, x += n) {
    if constexpr (std::is_floating_point_v<T>) {
      T extreme;
      ReduceKernel(kMax ? ReduceKind::kMax : ReduceKind::kMin, 1, n, 1, x,
                   &extreme);
      out[r] = FirstPlace(x, n, extreme);
    } else {
      T extreme = x[0];
      for (int64_t i = 1; i < n; ++i) {
        extreme = kMax ? std::max(extreme, x[i]) : std::min(extreme, x[i]);
      }
      out[r] = FirstPlace(x, n, extreme);
    }
  }
}

// Of each column of x [n, inner].
template <bool kMax, typename T>
void ArgColumns(int64_t n, int64_t inner, const T* x, int64_t* out) {
  std::fill_n(out, inner, int64_t{0});
  for (int64_t i = 1; i < n; ++i) {
    for (int64_t j = 0; j < inner; ++j) {
      if (Before<kMax>(x[i * inner + j], x[out[j] * inner + j])) out[j] = i;
    }
  }
}

template <bool kMax, typename T>
absl::Status ArgCpu(const KernelArgs& args) {
  const Tensor& x = args.input(0);
  if (x.num_elements() == 0) return absl::OkStatus();
  const AxisView view =
      ViewAxis(x.shape(), static_cast<int>(args.attrs.Get<ArgAttrs>().axis));
  const int64_t size = view.n * view.inner;
  const T* px = x.data<T>();
  int64_t* out = args.outputs[0].mutable_data<int64_t>();
  ParallelFor(view.outer, std::max<int64_t>(1, kElementwiseGrain / size),
              [&](int64_t begin, int64_t end) {
                if (view.inner == 1) {
                  ArgRows<kMax>(end - begin, view.n, px + begin * size,
                                out + begin);
                  return;
                }
                for (int64_t o = begin; o < end; ++o) {
                  ArgColumns<kMax>(view.n, view.inner, px + o * size,
                                   out + o * view.inner);
                }
              });
  return absl::OkStatus();
}

template <bool kMax>
const Op& ArgOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = kMax ? "arg_max" : "arg_min";
    def.infer = &InferArg;
    def.differentiable = false;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ArgCpu<kMax, float>,
                       &ArgCpu<kMax, double>);
    RegisterKernel(def.name, DeviceType::kCpu, DType::kI32, "loop",
                   &ArgCpu<kMax, int32_t>);
    RegisterKernel(def.name, DeviceType::kCpu, DType::kI64, "loop",
                   &ArgCpu<kMax, int64_t>);
    return registered;
  }();
  return op;
}

template <bool kMax>
Var Arg(const Var& x, int64_t axis, const ArgOptions& options) {
  const Op& op = ArgOp<kMax>();
  int64_t resolved = 0;
  if (x.ok() && x.defined() && x.rank() > 0) {
    absl::StatusOr<int> found = ResolveAxis(axis, x.rank());
    if (!found.ok()) {
      return AnnotateStatus(
          found.status(),
          absl::StrCat(op.name(), ": axis of x, ", x.tensor().DebugString()));
    }
    resolved = *found;
  }
  return Apply(op, {&x}, ArgAttrs{resolved, options.keep_dims});
}

}  // namespace

Var ArgMax(const Var& x, int64_t axis, const ArgOptions& options) {
  return Arg<true>(x, axis, options);
}

Var ArgMin(const Var& x, int64_t axis, const ArgOptions& options) {
  return Arg<false>(x, axis, options);
}

}  // namespace septet
