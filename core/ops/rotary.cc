// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/rotary.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/rotary_kernels.h"
#include "septet/core/ops/rotary_layout.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct RotaryAttrs {
  RotaryLayout layout;
  int time_axis;  // as given
  bool inverse;
  double offset;
  double position_scale;
  int64_t rows;
};

// The time axis counted from the beginning; out of range where it was.
int TimeAxis(const Tensor& x, const RotaryAttrs& attrs) {
  return attrs.time_axis < 0 ? attrs.time_axis + x.rank() : attrs.time_axis;
}

// The time of row t, without the offset.
double TimeOf(const Tensor& times, int64_t t) {
  return static_cast<double>(times.defined() ? times.data<int64_t>()[t] : t);
}

// Inputs x, frequencies, times.
absl::Status Infer(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<RotaryAttrs>();
  const Tensor& x = args.input(0);
  const Tensor& frequencies = args.input(1);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 2, kMaxRank));
  const int time_axis = TimeAxis(x, attrs);
  if (time_axis < 0 || time_axis + 1 >= x.rank()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "time_axis is ", attrs.time_axis, ", expected an axis of x, ",
        x.DebugString(), ", other than the last"));
  }
  SEPTET_RETURN_IF_ERROR(RequireRank("frequencies", frequencies, 1, 1));
  if (frequencies.dtype() != DType::kF64) {
    return absl::InvalidArgumentError(absl::StrCat(
        "frequencies is ", frequencies.DebugString(), ", expected f64"));
  }
  const int64_t pairs = frequencies.dim(0);
  const int64_t width = x.dim(x.rank() - 1);
  if (pairs > width / 2) {
    return absl::InvalidArgumentError(absl::StrCat(
        "frequencies is ", frequencies.DebugString(), ", expected at most ",
        width / 2, ", a pair each, for the last axis of x, ", x.DebugString()));
  }
  const int64_t stride = pairs > 1 ? frequencies.stride(0) : 1;
  for (int64_t i = 0; i < pairs; ++i) {
    const double value = frequencies.data<double>()[i * stride];
    if (std::isfinite(value)) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "frequencies[", i, "] is ", value, ", expected a finite number"));
  }
  if (!std::isfinite(attrs.offset)) {
    return absl::InvalidArgumentError(
        absl::StrCat("offset is ", attrs.offset, ", expected a finite number"));
  }
  if (!std::isfinite(attrs.position_scale)) {
    return absl::InvalidArgumentError(
        absl::StrCat("position_scale is ", attrs.position_scale,
                     ", expected a finite number"));
  }
  if (attrs.rows != -1) {
    if (time_axis + 3 != x.rank()) {
      return absl::InvalidArgumentError(
          absl::StrCat("rows is ", attrs.rows, ", expected -1 with time_axis ",
                       attrs.time_axis, " of x, ", x.DebugString()));
    }
    const int64_t all = x.dim(x.rank() - 2);
    if (attrs.rows < 0 || attrs.rows > all) {
      return absl::InvalidArgumentError(
          absl::StrCat("rows is ", attrs.rows, ", expected -1 to ", all,
                       ", for x, ", x.DebugString()));
    }
  }
  const Tensor& times = args.input(2);
  if (times.defined()) {
    if (times.dtype() != DType::kI64) {
      return absl::InvalidArgumentError(
          absl::StrCat("times is ", times.DebugString(), ", expected i64"));
    }
    SEPTET_RETURN_IF_ERROR(RequireRank("times", times, 1, 1));
    SEPTET_RETURN_IF_ERROR(RequireExtent("times", times, 0, x.dim(time_axis),
                                         "the time axis of x"));
  }
  args.outputs[0] = {x.shape(), x.dtype()};
  return absl::OkStatus();
}

// Bytes of the tables that a block of times takes, which all its rows find in
// the second-level cache; x is then read in runs that are long enough for the
// machine to read ahead.
constexpr int64_t kTableBlockBytes = 64 << 10;

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<RotaryAttrs>();
  const Tensor& x = args.input(0);
  if (x.num_elements() == 0) return absl::OkStatus();
  const int time_axis = TimeAxis(x, attrs);
  int64_t outer = 1;
  int64_t inner = 1;
  for (int axis = 0; axis < time_axis; ++axis) outer *= x.dim(axis);
  for (int axis = time_axis + 1; axis + 1 < x.rank(); ++axis) {
    inner *= x.dim(axis);
  }
  const int64_t times = x.dim(time_axis);
  const int64_t rows = attrs.rows < 0 ? inner : attrs.rows;
  const int64_t width = x.dim(x.rank() - 1);
  const int64_t pairs = args.input(1).dim(0);
  const double* frequencies = args.input(1).data<double>();
  const int64_t table_width = RotaryTableWidth(attrs.layout, pairs);
  SEPTET_ASSIGN_OR_RETURN(
      Tensor storage,
      Tensor::Empty(Shape({2, times, table_width}), x.dtype(), x.device()));
  T* cos = storage.mutable_data<T>();
  T* sin = cos + times * table_width;
  // A sine and cosine cost as much as some sixteen elements of other work.
  ParallelFor(
      times, std::max<int64_t>(1, kElementwiseGrain / (16 * (pairs + 1))),
      [&](int64_t begin, int64_t end) {
        const auto fill = [&](int64_t first, int64_t last, double offset) {
          RotaryTable(attrs.layout, first, last, pairs, frequencies, offset,
                      attrs.position_scale, attrs.inverse,
                      cos + first * table_width, sin + first * table_width);
        };
        if (!args.input(2).defined()) return fill(begin, end, attrs.offset);
        for (int64_t t = begin; t < end; ++t) {
          // The kernel counts rows itself.
          fill(
              t, t + 1,
              attrs.offset + TimeOf(args.input(2), t) - static_cast<double>(t));
        }
      });
  // Tasks: a block of times for each outer index, the latter running fastest.
  const int64_t block =
      std::clamp<int64_t>(kTableBlockBytes / static_cast<int64_t>(sizeof(T)) /
                              (2 * table_width + 1),
                          1, times);
  const T* px = x.data<T>();
  T* y = args.outputs[0].mutable_data<T>();
  const StoreMode mode = StoreModeFor(x.num_elements() * sizeof(T));
  ParallelFor(outer * NumBlocks(times, block),
              std::max<int64_t>(1, kElementwiseGrain / (block * inner * width)),
              [&](int64_t begin, int64_t end) {
                for (int64_t task = begin; task < end; ++task) {
                  const int64_t first = task / outer * block;
                  const int64_t count = std::min(block, times - first);
                  const int64_t at =
                      (task % outer * times + first) * inner * width;
                  RotaryFirstRows(attrs.layout, count, inner, rows, width,
                                  pairs, px + at, cos + first * table_width,
                                  sin + first * table_width, y + at, mode);
                }
              });
  return absl::OkStatus();
}

// x C + (x P) S: P moves the partner of each element to its place, negated for
// the first of a pair; C and S hold cosine and sine, 1 and 0 for elements that
// stay.
absl::StatusOr<Var> Formula(const Var& x, const Tensor& frequencies,
                            const Tensor& time_of_row,
                            const RotaryAttrs& attrs) {
  const int64_t width = x.dim(x.rank() - 1);
  const int64_t pairs = frequencies.dim(0);
  const int time_axis = TimeAxis(x.tensor(), attrs);
  const int64_t times = x.dim(time_axis);
  std::vector<int64_t> dims(static_cast<size_t>(x.rank() - time_axis), 1);
  dims.front() = times;
  dims.back() = width;
  SEPTET_ASSIGN_OR_RETURN(const Shape shape, Shape::Create(dims));
  SEPTET_ASSIGN_OR_RETURN(const Tensor cosines,
                          Tensor::Full(shape, 1.0, DType::kF64));
  SEPTET_ASSIGN_OR_RETURN(const Tensor sines,
                          Tensor::Zeros(shape, DType::kF64));
  SEPTET_ASSIGN_OR_RETURN(const Tensor partners,
                          Tensor::Zeros(Shape({width, width}), DType::kF64));
  for (int64_t i = 0; i < pairs; ++i) {
    const bool half = attrs.layout == RotaryLayout::kHalf;
    const int64_t a = half ? i : 2 * i;
    const int64_t b = half ? i + pairs : 2 * i + 1;
    partners.mutable_data<double>()[b * width + a] = -1;
    partners.mutable_data<double>()[a * width + b] = 1;
    const double frequency = frequencies.data<double>()[i];
    for (int64_t t = 0; t < times; ++t) {
      const double angle = (attrs.offset + TimeOf(time_of_row, t)) *
                           attrs.position_scale * frequency;
      for (const int64_t at : {t * width + a, t * width + b}) {
        cosines.mutable_data<double>()[at] = std::cos(angle);
        sines.mutable_data<double>()[at] =
            attrs.inverse ? -std::sin(angle) : std::sin(angle);
      }
    }
  }
  return Add(Mul(x, Cast(cosines, x.dtype())),
             Mul(MatMul(x, Cast(partners, x.dtype())), Cast(sines, x.dtype())));
}

void Composite(CompositeArgs& args) {
  const Var& x = args.inputs[0];
  if (x.tensor().num_elements() == 0) {
    args.outputs[0] = Scale(x, 1.0);
    return;
  }
  absl::StatusOr<Tensor> frequencies = args.inputs[1].tensor().Contiguous();
  if (!frequencies.ok()) {
    args.outputs[0] = frequencies.status();
    return;
  }
  const auto& attrs = args.attrs.Get<RotaryAttrs>();
  absl::StatusOr<Tensor> times = Tensor();
  if (args.inputs[2].defined()) times = args.inputs[2].tensor().Contiguous();
  if (!times.ok()) {
    args.outputs[0] = times.status();
    return;
  }
  const int axis = x.rank() - 2;
  const int64_t all = x.dim(axis);
  const bool some = attrs.rows >= 0 && attrs.rows < all;
  absl::StatusOr<Var> y = Formula(some ? Slice(x, axis, 0, attrs.rows) : x,
                                  *frequencies, *times, attrs);
  if (!y.ok()) {
    args.outputs[0] = y.status();
  } else if (some) {
    args.outputs[0] = Concat({*y, Slice(x, axis, attrs.rows, all)}, axis);
  } else {
    args.outputs[0] = *y;
  }
}

const Op& RotaryOp();

Var Rotate(const Var& x, const Var& frequencies, const Var& times,
           RotaryAttrs attrs, bool back) {
  if (back) attrs.inverse = !attrs.inverse;
  return Apply(RotaryOp(), {&x, &frequencies, &times}, attrs);
}

const Op& RotaryOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "rotary";
    def.infer = &Infer;
    def.composite = &Composite;
    def.vjp = [](VjpArgs& args) {
      args.grads[0] = Rotate(args.cotangents[0], args.inputs[1], args.inputs[2],
                             args.attrs.Get<RotaryAttrs>(), /*back=*/true);
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          Rotate(args.tangents[0], args.inputs[1], args.inputs[2],
                 args.attrs.Get<RotaryAttrs>(), /*back=*/false);
    };
    def.saved_inputs = 0b110;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var Rotary(const Var& x, const Tensor& frequencies,
           const RotaryOptions& options, const Tensor& times) {
  const RotaryAttrs attrs{options.layout,         options.time_axis,
                          /*inverse=*/false,      options.offset,
                          options.position_scale, options.rows};
  return Rotate(x, frequencies, times.defined() ? Var(times) : Var(), attrs,
                /*back=*/false);
}

absl::StatusOr<Tensor> RotaryFrequencies(
    int64_t rotary_dim, const RotaryFrequencyOptions& options) {
  if (rotary_dim < 2 || rotary_dim % 2 != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rotary_dim is ", rotary_dim, ", expected an even number >= 2"));
  }
  const struct {
    const char* name;
    double value;
  } kOptions[] = {{"base", options.base},
                  {"linear_scale", options.linear_scale},
                  {"ntk_factor", options.ntk_factor}};
  for (const auto& option : kOptions) {
    if (std::isfinite(option.value) && option.value > 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        option.name, " is ", option.value, ", expected a finite number > 0"));
  }
  const auto dim = static_cast<double>(rotary_dim);
  const double base =
      rotary_dim == 2
          ? options.base
          : options.base * std::pow(options.ntk_factor, dim / (dim - 2));
  SEPTET_ASSIGN_OR_RETURN(Tensor frequencies,
                          Tensor::Empty(Shape({rotary_dim / 2}), DType::kF64));
  double* data = frequencies.mutable_data<double>();
  for (int64_t i = 0; i < rotary_dim / 2; ++i) {
    data[i] = std::pow(base, -2.0 * static_cast<double>(i) / dim) /
              options.linear_scale;
  }
  return frequencies;
}

}  // namespace septet
