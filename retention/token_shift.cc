// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/token_shift.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/concat.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/retention/token_shift_kernels.h"

namespace septet {
namespace {

// Inputs x, mix, before; kMaxTokenShifts outputs, of which those behind the
// number of mixtures are empty.
absl::Status InferForward(const InferArgs& args) {
  const Tensor& x = args.input(0);
  const Tensor& mix = args.input(1);
  const Tensor& before = args.input(2);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 3, 3));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "mix", mix));
  SEPTET_RETURN_IF_ERROR(RequireRank("mix", mix, 2, 2));
  SEPTET_RETURN_IF_ERROR(
      RequireExtent("mix", mix, 1, x.dim(2), "the channels of x"));
  if (mix.dim(0) < 1 || mix.dim(0) > kMaxTokenShifts) {
    return absl::InvalidArgumentError(absl::StrCat("mix is ", mix.DebugString(),
                                                   ", expected 1 to ",
                                                   kMaxTokenShifts, " rows"));
  }
  if (before.defined()) {
    const Shape shape({x.dim(0), x.dim(2)});
    SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "before", before));
    if (before.shape() != shape) {
      return absl::InvalidArgumentError(absl::StrCat(
          "before is ", before.DebugString(), ", expected ", shape.ToString()));
    }
  }
  for (int m = 0; m < kMaxTokenShifts; ++m) {
    args.outputs[m] = {m < mix.dim(0) ? x.shape() : Shape({0}), x.dtype()};
  }
  return absl::OkStatus();
}

template <typename T>
TokenShiftProblem<T> MakeProblem(const KernelArgs& args) {
  const Tensor& x = args.input(0);
  TokenShiftProblem<T> p;
  p.sequences = x.dim(0);
  p.rows = x.dim(1);
  p.channels = x.dim(2);
  p.mixtures = static_cast<int>(args.input(1).dim(0));
  p.x = x.data<T>();
  p.mix = args.input(1).data<T>();
  p.before = OptionalData<T>(args.input(2));
  return p;
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const TokenShiftProblem<T> p = MakeProblem<T>(args);
  T* y[kMaxTokenShifts] = {};
  for (int m = 0; m < p.mixtures; ++m) {
    y[m] = args.outputs[m].mutable_data<T>();
  }
  const StoreMode mode =
      StoreModeFor(p.mixtures * args.input(0).num_elements() *
                   static_cast<int64_t>(sizeof(T)));
  const int64_t grain = std::max<int64_t>(
      1, kElementwiseGrain / std::max<int64_t>(1, p.channels));
  ParallelFor(p.sequences * p.rows, grain, [&](int64_t begin, int64_t end) {
    TokenShiftForward(p, begin, end, y, mode);
  });
  return absl::OkStatus();
}

// Inputs x, mix, before, and gradients that may not be given; outputs dx, dmix.
absl::Status InferBackward(const InferArgs& args) {
  for (int i = 0; i < 2; ++i) {
    args.outputs[i] = {args.input(i).shape(), args.input(i).dtype()};
  }
  return absl::OkStatus();
}

// Rows of a block, each of which has a sum of dmix of its own. With as many
// blocks as rows in a block, both sums are short.
int64_t BackwardGrain(int64_t rows, int64_t channels) {
  const int64_t least = kElementwiseGrain / std::max<int64_t>(1, channels);
  return std::max<int64_t>({1, least, (rows + 63) / 64});
}

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  const TokenShiftProblem<T> p = MakeProblem<T>(args);
  const T* dy[kMaxTokenShifts] = {};
  for (int m = 0; m < p.mixtures; ++m) {
    dy[m] = OptionalData<T>(args.input(3 + m));
  }
  T* const dx = args.outputs[0].mutable_data<T>();
  T* const dmix = args.outputs[1].mutable_data<T>();
  const int64_t rows = p.sequences * p.rows;
  const int64_t grain = BackwardGrain(rows, p.channels);
  const int64_t blocks = NumBlocks(rows, grain);
  const int64_t width = p.mixtures * p.channels;
  SEPTET_ASSIGN_OR_RETURN(const Tensor storage,
                          Tensor::Empty(Shape({blocks, width}), kDTypeOf<T>));
  const StoreMode mode = StoreModeFor(args.input(0).num_elements() *
                                      static_cast<int64_t>(sizeof(T)));
  T* const sums = storage.mutable_data<T>();
  ParallelFor(rows, grain, [&](int64_t begin, int64_t end) {
    T* const sum = sums + begin / grain * width;
    std::fill_n(sum, width, T{0});
    TokenShiftBackward(p, begin, end, dy, dx, sum, mode);
  });
  std::fill_n(dmix, width, T{0});
  for (int64_t b = 0; b < blocks; ++b) {
    for (int64_t i = 0; i < width; ++i) dmix[i] += sums[b * width + i];
  }
  return absl::OkStatus();
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "token_shift_grad";
    def.num_outputs = 2;
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
  const Var& x = args.inputs[0];
  const Var& mix = args.inputs[1];
  const Var& before = args.inputs[2];
  const int64_t time = x.dim(1);
  Var shifted = x;  // if there are no rows
  if (time > 0) {
    const Var first =
        before.defined()
            ? Unsqueeze(before, 1)
            : Var(Tensor::Zeros(Shape({x.dim(0), 1, x.dim(2)}), x.dtype()));
    shifted = Concat({first, Slice(x, 1, 0, time - 1)}, 1);
  }
  const Var change = Sub(x, shifted);
  for (int64_t m = 0; m < kMaxTokenShifts; ++m) {
    args.outputs[m] = m < mix.dim(0)
                          ? Add(shifted, Mul(Slice(mix, 0, m, m + 1), change))
                          : Var(Tensor::Zeros(Shape({0}), x.dtype()));
  }
}

void Vjp(VjpArgs& args) {
  VarVector grads =
      ApplyMulti(BackwardOp(), {&args.inputs[0], &args.inputs[1],
                                &args.inputs[2], &args.cotangents[0],
                                &args.cotangents[1], &args.cotangents[2]});
  args.grads[0] = grads[0];
  args.grads[1] = grads[1];
}

const Op& TokenShiftOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "token_shift";
    def.num_outputs = kMaxTokenShifts;
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

std::vector<Var> TokenShift(const Var& x, const Var& mix,
                            const Tensor& before) {
  const Var previous = before;
  VarVector outputs = ApplyMulti(TokenShiftOp(), {&x, &mix, &previous});
  if (!outputs[0].ok()) {
    const bool known = mix.ok() && mix.defined() && mix.rank() == 2 &&
                       mix.dim(0) >= 1 && mix.dim(0) <= kMaxTokenShifts;
    return std::vector<Var>(known ? mix.dim(0) : 1, outputs[0]);
  }
  return std::vector<Var>(outputs.begin(), outputs.begin() + mix.dim(0));
}

}  // namespace septet
