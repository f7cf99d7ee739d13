// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/upsample.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/upsample_kernels.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct ResizeAttrs {
  ResizeOptions options;
  int64_t out_h;
  int64_t out_w;
};

// Which places one place of the result reads, and with what weight: entries
// begin[i] to begin[i + 1].
struct AxisTable {
  std::vector<int64_t> begin = {0};
  std::vector<int64_t> place;
  std::vector<double> weight;

  void Add(int64_t at, double w) {
    if (w == 0) return;
    place.push_back(at);
    weight.push_back(w);
  }
  void Next() { begin.push_back(static_cast<int64_t>(place.size())); }
};

// `out` places that read from `in`.
AxisTable MakeTable(int64_t in, int64_t out, const ResizeOptions& options) {
  AxisTable table;
  for (int64_t i = 0; i < out; ++i) {
    if (options.mode == ResizeMode::kNearest) {
      table.Add(i * in / out, 1);
    } else {
      const double x = static_cast<double>(i);
      const double m = static_cast<double>(in);
      const double n = static_cast<double>(out);
      const double at = !options.align_corners
                            ? std::max(0.0, (x + 0.5) * m / n - 0.5)
                        : out > 1 ? x * (m - 1) / (n - 1)
                                  : 0.0;
      const int64_t low = std::min(static_cast<int64_t>(at), in - 1);
      const double part = low + 1 < in ? at - static_cast<double>(low) : 0.0;
      table.Add(low, 1 - part);
      table.Add(low + 1, part);
    }
    table.Next();
  }
  return table;
}

// The same weights seen from the `in` places that are read.
AxisTable Transposed(const AxisTable& table, int64_t in) {
  std::vector<std::vector<int64_t>> entries(static_cast<size_t>(in));
  std::vector<int64_t> owner;
  for (size_t i = 0; i + 1 < table.begin.size(); ++i) {
    for (int64_t e = table.begin[i]; e < table.begin[i + 1]; ++e) {
      entries[static_cast<size_t>(table.place[static_cast<size_t>(e)])]
          .push_back(e);
      owner.push_back(static_cast<int64_t>(i));
    }
  }
  AxisTable result;
  for (const std::vector<int64_t>& list : entries) {
    for (const int64_t e : list) {
      result.Add(owner[static_cast<size_t>(e)],
                 table.weight[static_cast<size_t>(e)]);
    }
    result.Next();
  }
  return result;
}

// y [n, rows, cols, c] from x [n, h, w, c].
template <typename T>
void Run(const Tensor& x, const AxisTable& rows, const AxisTable& cols,
         const Tensor& y) {
  const int64_t h = x.dim(1);
  const int64_t w = x.dim(2);
  const int64_t c = x.dim(3);
  const int64_t out_h = y.dim(1);
  const int64_t out_w = y.dim(2);
  const int64_t work = std::max<int64_t>(
      1, static_cast<int64_t>(cols.place.size()) * c *
             (static_cast<int64_t>(rows.place.size()) / out_h + 1));
  const T* const from = x.data<T>();
  T* const to = y.mutable_data<T>();
  ParallelFor(
      y.dim(0) * out_h, std::max<int64_t>(1, kElementwiseGrain / work),
      [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t n = i / out_h;
          const size_t first =
              static_cast<size_t>(rows.begin[static_cast<size_t>(i % out_h)]);
          const size_t last = static_cast<size_t>(
              rows.begin[static_cast<size_t>(i % out_h + 1)]);
          ResizeRow(from + n * h * w * c, w * c, c,
                    static_cast<int64_t>(last - first),
                    rows.place.data() + first, rows.weight.data() + first,
                    out_w, cols.begin.data(), cols.place.data(),
                    cols.weight.data(), to + i * out_w * c);
        }
      });
}

absl::Status RequireSizes(const Tensor& x, const char* a_name, int64_t a,
                          const char* b_name, int64_t b,
                          const ResizeOptions& options) {
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 4, 4));
  if (x.dim(1) == 0 || x.dim(2) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "x is ", x.DebugString(), ", expected images of at least one pixel"));
  }
  // So that products of two extents can be counted.
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  const auto check = [](const char* name, int64_t size) {
    if (size >= 1 && size <= kMost) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        name, " is ", size, ", expected at least 1 and at most 2^31 - 1"));
  };
  SEPTET_RETURN_IF_ERROR(check(a_name, a));
  SEPTET_RETURN_IF_ERROR(check(b_name, b));
  SEPTET_RETURN_IF_ERROR(check("the height of x", x.dim(1)));
  SEPTET_RETURN_IF_ERROR(check("the width of x", x.dim(2)));
  if (options.align_corners && options.mode == ResizeMode::kNearest) {
    return absl::InvalidArgumentError(
        "align_corners is true, expected false with nearest neighbours");
  }
  return absl::OkStatus();
}

absl::Status Infer(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<ResizeAttrs>();
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireSizes(x, "out_h", attrs.out_h, "out_w",
                                      attrs.out_w, attrs.options));
  SEPTET_ASSIGN_OR_RETURN(
      args.outputs[0].shape,
      Shape::Create({x.dim(0), attrs.out_h, attrs.out_w, x.dim(3)}));
  args.outputs[0].dtype = x.dtype();
  return absl::OkStatus();
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<ResizeAttrs>();
  const Tensor& x = args.input(0);
  // No table either: its length is the user's, whatever the tensors hold.
  if (args.outputs[0].num_elements() == 0) return absl::OkStatus();
  Run<T>(x, MakeTable(x.dim(1), attrs.out_h, attrs.options),
         MakeTable(x.dim(2), attrs.out_w, attrs.options), args.outputs[0]);
  return absl::OkStatus();
}

// The transpose: from dy, a result, to the size (out_h, out_w) of the image it
// was made from.
template <typename T>
absl::Status TransposeCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<ResizeAttrs>();
  const Tensor& dy = args.input(0);
  if (args.outputs[0].num_elements() == 0) return absl::OkStatus();
  Run<T>(
      dy,
      Transposed(MakeTable(attrs.out_h, dy.dim(1), attrs.options), attrs.out_h),
      Transposed(MakeTable(attrs.out_w, dy.dim(2), attrs.options), attrs.out_w),
      args.outputs[0]);
  return absl::OkStatus();
}

const Op& Registered(const OpDef& def, Kernel f32, Kernel f64) {
  const Op& op = RegisterOp(def);
  RegisterCpuKernels(def.name, "highway", f32, f64);
  return op;
}

// The gradient of an image of h x w for the gradient dy of its Resize2d.
Var Transpose(const Var& dy, int64_t h, int64_t w,
              const ResizeOptions& options) {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "resize2d_grad";
    def.infer = &Infer;
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      const Var& dy = args.inputs[0];
      args.grads[0] = Resize2d(args.cotangents[0], dy.dim(1), dy.dim(2),
                               args.attrs.Get<ResizeAttrs>().options);
    };
    def.jvp = [](JvpArgs& args) {
      const auto& attrs = args.attrs.Get<ResizeAttrs>();
      args.output_tangents[0] =
          Transpose(args.tangents[0], attrs.out_h, attrs.out_w, attrs.options);
    };
    return Registered(def, &TransposeCpu<float>, &TransposeCpu<double>);
  }();
  return Apply(op, {&dy}, ResizeAttrs{options, h, w});
}

}  // namespace

Var Resize2d(const Var& x, int64_t out_h, int64_t out_w,
             const ResizeOptions& options) {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "resize2d";
    def.infer = &Infer;
    def.saved_inputs = 0;
    def.vjp = [](VjpArgs& args) {
      const Var& x = args.inputs[0];
      args.grads[0] = Transpose(args.cotangents[0], x.dim(1), x.dim(2),
                                args.attrs.Get<ResizeAttrs>().options);
    };
    def.jvp = [](JvpArgs& args) {
      const auto& attrs = args.attrs.Get<ResizeAttrs>();
      args.output_tangents[0] =
          Resize2d(args.tangents[0], attrs.out_h, attrs.out_w, attrs.options);
    };
    return Registered(def, &ForwardCpu<float>, &ForwardCpu<double>);
  }();
  return Apply(op, {&x}, ResizeAttrs{options, out_h, out_w});
}

Var Upsample2d(const Var& x, int64_t factor_h, int64_t factor_w,
               const ResizeOptions& options) {
  if (!x.ok()) return x;
  const absl::Status status = RequireSizes(x.tensor(), "factor_h", factor_h,
                                           "factor_w", factor_w, options);
  if (!status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("upsample2d: ", status.message()));
  }
  // Both factors and extents are below 2^31.
  return Resize2d(x, factor_h * x.dim(1), factor_w * x.dim(2), options);
}

}  // namespace septet
