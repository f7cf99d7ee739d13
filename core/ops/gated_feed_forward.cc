// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/gated_feed_forward.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/blas/gemm.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/elementwise_kernels.h"
#include "septet/core/ops/gated_activation.h"
#include "septet/core/ops/gated_activation_kernels.h"
#include "septet/core/ops/matmul.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct FeedForwardAttrs {
  ActivationKind kind;
};

// Hidden values of a block: five arrays of them take at most this, what a
// second-level cache holds; fewer rows a product would cost more than they
// save.
constexpr int64_t kBlockBytes = 1 << 20;
// Weights beyond this are read from beyond that cache once a block, which only
// many rows pay for.
constexpr int64_t kSmallWeightBytes = 256 << 10;
constexpr int64_t kLongBlock = 1024;

// Extents, and how the rows are divided: into parts of whole blocks.
struct Extents {
  int64_t rows, d, f, e;
  int64_t block = 1;
  int64_t blocks = 0;
  int64_t parts = 0;

  Extents(const Tensor& x, const Tensor& w1, const Tensor& w2)
      : rows(x.num_elements() / x.dim(x.rank() - 1)),
        d(w1.dim(0)),
        f(w1.dim(1)),
        e(w2.dim(1)) {
    const auto size = static_cast<int64_t>(DTypeSize(x.dtype()));
    // Multiples of 32 rows, whatever the kernel's tile.
    const int64_t fitting = kBlockBytes / (5 * size) / f / 32 * 32;
    // Extents of views may have products beyond 63 bits.
    const bool small =
        static_cast<double>(f) *
            (2 * static_cast<double>(d) + static_cast<double>(e)) *
            static_cast<double>(size) <=
        static_cast<double>(kSmallWeightBytes);
    block = small ? std::max<int64_t>(fitting, 32) : kLongBlock;
    blocks = rows / block + (rows % block != 0 ? 1 : 0);
    parts = std::min(blocks, kGatedFeedForwardParts);
  }

  // Blocks of a part: [PartBegin(i), PartBegin(i + 1)).
  int64_t PartBegin(int64_t part) const { return blocks * part / parts; }
};

// Calls run(i) for i in [0, n) on the threads of the current pool.
absl::Status ForEach(int64_t n, absl::FunctionRef<absl::Status(int64_t)> run) {
  std::mutex mutex;
  absl::Status status;
  ParallelFor(n, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      absl::Status own = run(i);
      if (own.ok()) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      status.Update(std::move(own));
    }
  });
  return status;
}

// c [m, n] = op(a) op(b) + beta c, all row-major without gaps.
template <typename T>
absl::Status Times(int64_t m, int64_t n, int64_t k, const T* a, bool ta,
                   const T* b, bool tb, T* c, double beta) {
  return Gemm({m, n, k, ta, tb}, a, ta ? m : k, b, tb ? k : n, c, n,
              GemmScale{1.0, beta});
}

// Inputs x, w1, wg, w2; outputs y, x w1, x wg.
absl::Status InferForward(const InferArgs& args) {
  const Tensor& x = args.input(0);
  const Tensor& w1 = args.input(1);
  const Tensor& wg = args.input(2);
  const Tensor& w2 = args.input(3);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 1, kMaxRank));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "w1", w1));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "wg", wg));
  SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, "w2", w2));
  SEPTET_RETURN_IF_ERROR(RequireRank("w1", w1, 2, 2));
  SEPTET_RETURN_IF_ERROR(RequireRank("wg", wg, 2, 2));
  SEPTET_RETURN_IF_ERROR(RequireRank("w2", w2, 2, 2));
  const int last = x.rank() - 1;
  SEPTET_RETURN_IF_ERROR(RequireExtent("w1", w1, 0, x.dim(last),
                                       "the features of x, its last axis"));
  SEPTET_RETURN_IF_ERROR(
      RequireExtent("wg", wg, 0, w1.dim(0), "as w1 has them"));
  SEPTET_RETURN_IF_ERROR(
      RequireExtent("wg", wg, 1, w1.dim(1), "as w1 has them"));
  SEPTET_RETURN_IF_ERROR(
      RequireExtent("w2", w2, 0, w1.dim(1), "the outputs of w1"));
  for (const int64_t extent : {w1.dim(0), w1.dim(1), w2.dim(1)}) {
    if (extent > 0) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("w1 is ", w1.DebugString(), ", w2 is ", w2.DebugString(),
                     ", expected extents of at least 1"));
  }
  const Extents n(x, w1, w2);
  SEPTET_ASSIGN_OR_RETURN(const Shape hidden, Shape::Create({n.rows, n.f}));
  std::array<int64_t, kMaxRank> dims;
  std::copy_n(x.shape().dims().begin(), last, dims.begin());
  dims[static_cast<size_t>(last)] = n.e;
  SEPTET_ASSIGN_OR_RETURN(
      const Shape y,
      Shape::Create(absl::MakeConstSpan(dims).subspan(0, last + 1)));
  args.outputs[0] = {y, x.dtype()};
  args.outputs[1] = {hidden, x.dtype()};
  args.outputs[2] = args.outputs[1];
  return absl::OkStatus();
}

template <typename T>
absl::Status ForwardCpu(const KernelArgs& args) {
  const ActivationKind kind = args.attrs.Get<FeedForwardAttrs>().kind;
  const Extents n(args.input(0), args.input(1), args.input(3));
  const T* x = args.input(0).data<T>();
  const T* w1 = args.input(1).data<T>();
  const T* wg = args.input(2).data<T>();
  const T* w2 = args.input(3).data<T>();
  T* y = args.outputs[0].mutable_data<T>();
  T* a = args.outputs[1].mutable_data<T>();
  T* g = args.outputs[2].mutable_data<T>();
  return ForEach(n.blocks, [&](int64_t i) -> absl::Status {
    const int64_t first = i * n.block;
    const int64_t rows = std::min(n.block, n.rows - first);
    SEPTET_ASSIGN_OR_RETURN(const Tensor hidden,
                            Tensor::Empty(Shape({rows, n.f}), kDTypeOf<T>));
    T* h = hidden.mutable_data<T>();
    T* ai = a + first * n.f;
    T* gi = g + first * n.f;
    const T* xi = x + first * n.d;
    SEPTET_RETURN_IF_ERROR(Times(rows, n.f, n.d, xi, false, w1, false, ai, 0));
    SEPTET_RETURN_IF_ERROR(Times(rows, n.f, n.d, xi, false, wg, false, gi, 0));
    GatedActivationForward(kind, rows * n.f, ai, gi, h);
    return Times(rows, n.e, n.f, static_cast<const T*>(h), false, w2, false,
                 y + first * n.e, 0);
  });
}

// Inputs x, w1, wg, w2, x w1, x wg, dy; outputs dx, dw1, dwg, dw2.
absl::Status InferBackward(const InferArgs& args) {
  for (int i = 0; i < 4; ++i) {
    args.outputs[i] = {args.input(i).shape(), args.input(i).dtype()};
  }
  return absl::OkStatus();
}

template <typename T>
absl::Status BackwardCpu(const KernelArgs& args) {
  const ActivationKind kind = args.attrs.Get<FeedForwardAttrs>().kind;
  const Extents n(args.input(0), args.input(1), args.input(3));
  const T* x = args.input(0).data<T>();
  const T* w1 = args.input(1).data<T>();
  const T* wg = args.input(2).data<T>();
  const T* w2 = args.input(3).data<T>();
  const T* a = args.input(4).data<T>();
  const T* g = args.input(5).data<T>();
  const T* dy = args.input(6).data<T>();
  T* dx = args.outputs[0].mutable_data<T>();
  T* const dw[] = {args.outputs[1].mutable_data<T>(),
                   args.outputs[2].mutable_data<T>(),
                   args.outputs[3].mutable_data<T>()};
  const int64_t sizes[] = {n.d * n.f, n.d * n.f, n.f * n.e};
  const int64_t weights = sizes[0] + sizes[1] + sizes[2];
  if (n.parts == 0) {
    for (int i = 0; i < 3; ++i) std::fill_n(dw[i], sizes[i], T{0});
    return absl::OkStatus();
  }
  // The first part's sums are the outputs, the others' are here.
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor sums,
      Tensor::Empty(Shape({n.parts - 1, weights}), kDTypeOf<T>));
  T* const others = sums.mutable_data<T>();
  SEPTET_RETURN_IF_ERROR(ForEach(n.parts, [&](int64_t part) -> absl::Status {
    T* const own = others + (part - 1) * weights;
    T* const dw1 = part == 0 ? dw[0] : own;
    T* const dwg = part == 0 ? dw[1] : own + sizes[0];
    T* const dw2 = part == 0 ? dw[2] : own + sizes[0] + sizes[1];
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor workspace,
        Tensor::Empty(Shape({3, std::min(n.block, n.rows), n.f}), kDTypeOf<T>));
    T* const da = workspace.mutable_data<T>();
    T* const dg = da + std::min(n.block, n.rows) * n.f;
    T* const h = dg + std::min(n.block, n.rows) * n.f;
    const int64_t begin = n.PartBegin(part);
    const int64_t end = n.PartBegin(part + 1);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i * n.block;
      const int64_t rows = std::min(n.block, n.rows - first);
      const T* xi = x + first * n.d;
      const T* dyi = dy + first * n.e;
      T* dxi = dx + first * n.d;
      const double beta = i == begin ? 0 : 1;
      // The gradient of the hidden values is where that of x w1 will be.
      SEPTET_RETURN_IF_ERROR(
          Times(rows, n.f, n.e, dyi, false, w2, true, da, 0));
      GatedActivationBackwardAndValue(kind, rows * n.f, a + first * n.f,
                                      g + first * n.f, da, da, dg, h);
      const T* cda = da;
      const T* cdg = dg;
      SEPTET_RETURN_IF_ERROR(Times(n.f, n.e, rows, static_cast<const T*>(h),
                                   true, dyi, false, dw2, beta));
      SEPTET_RETURN_IF_ERROR(
          Times(n.d, n.f, rows, xi, true, cda, false, dw1, beta));
      SEPTET_RETURN_IF_ERROR(
          Times(n.d, n.f, rows, xi, true, cdg, false, dwg, beta));
      SEPTET_RETURN_IF_ERROR(
          Times(rows, n.d, n.f, cda, false, w1, true, dxi, 0));
      SEPTET_RETURN_IF_ERROR(
          Times(rows, n.d, n.f, cdg, false, wg, true, dxi, 1));
    }
    return absl::OkStatus();
  }));
  for (int64_t part = 1; part < n.parts; ++part) {
    const T* own = others + (part - 1) * weights;
    for (int i = 0; i < 3; ++i) {
      AccumulateKernel(sizes[i], own, dw[i]);
      own += sizes[i];
    }
  }
  return absl::OkStatus();
}

const Op& BackwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "gated_feed_forward_grad";
    def.num_outputs = 4;
    def.infer = &InferBackward;
    def.differentiable = false;  // called on constants only
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "core/blas", &BackwardCpu<float>,
                       &BackwardCpu<double>);
    return registered;
  }();
  return op;
}

void Composite(CompositeArgs& args) {
  const Var a = Linear(args.inputs[0], args.inputs[1], Var());
  const Var g = Linear(args.inputs[0], args.inputs[2], Var());
  args.outputs[0] =
      Linear(GatedActivation(args.attrs.Get<FeedForwardAttrs>().kind, a, g),
             args.inputs[3], Var());
  if (!args.outputs[0].ok()) return;
  // Handed out to nobody: no derivative is taken through them.
  const int64_t f = args.inputs[1].dim(1);
  const int64_t rows = a.tensor().num_elements() / f;
  args.outputs[1] = Reshape(a.Detach(), {rows, f});
  args.outputs[2] = Reshape(g.Detach(), {rows, f});
}

void Vjp(VjpArgs& args) {
  // The hidden values are not handed out: only y has a cotangent.
  const VarVector grads = ApplyMulti(
      BackwardOp(),
      {&args.inputs[0], &args.inputs[1], &args.inputs[2], &args.inputs[3],
       &args.outputs[1], &args.outputs[2], &args.cotangents[0]},
      args.attrs);
  for (int i = 0; i < 4; ++i) {
    if (args.Needs(i)) args.grads[i] = grads[i];
  }
}

const Op& FeedForwardOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "gated_feed_forward";
    def.num_outputs = 3;
    def.infer = &InferForward;
    def.composite = &Composite;
    def.vjp = &Vjp;
    def.vjp_is_differentiable = false;
    def.saved_outputs = 6;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "core/blas", &ForwardCpu<float>,
                       &ForwardCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var GatedFeedForward(ActivationKind kind, const Var& x, const Var& w1,
                     const Var& wg, const Var& w2) {
  return ApplyMulti(FeedForwardOp(), {&x, &w1, &wg, &w2},
                    FeedForwardAttrs{kind})[0];
}

}  // namespace septet
