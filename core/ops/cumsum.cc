// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/cumsum.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/index_util.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct CumSumAttrs {
  int64_t axis;  // not negative
  bool exclusive;
  bool reverse;
};

absl::Status Infer(const InferArgs& args) {
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 1, kMaxRank));
  args.outputs[0] = {x.shape(), x.dtype()};
  return absl::OkStatus();
}

// Lines that are carried together: their sums stay in the first-level cache.
constexpr int64_t kLines = 64;

// x [n, inner], columns [0, lines) of it; `inner` is the distance of rows.
template <typename T>
void Columns(int64_t n, int64_t inner, int64_t lines, bool exclusive,
             bool reverse, const T* x, T* y) {
  double sums[kLines] = {};
  for (int64_t i = 0; i < n; ++i) {
    const int64_t row = (reverse ? n - 1 - i : i) * inner;
    if (exclusive) {
      for (int64_t j = 0; j < lines; ++j) {
        const double term = static_cast<double>(x[row + j]);
        y[row + j] = static_cast<T>(sums[j]);
        sums[j] += term;
      }
    } else {
      for (int64_t j = 0; j < lines; ++j) {
        sums[j] += static_cast<double>(x[row + j]);
        y[row + j] = static_cast<T>(sums[j]);
      }
    }
  }
}

// Lines x [kCount, n] one after the other, walked side by side: each addition
// of a line waits for the one before it. Eight of them, in and out, would drive
// one another out of the first-level cache where n is a power of two.
constexpr int64_t kSideBySide = 4;

template <int kCount, typename T>
void Lines(int64_t n, bool exclusive, bool reverse, const T* x, T* y) {
  double sums[kCount] = {};
  for (int64_t i = 0; i < n; ++i) {
    const int64_t at = reverse ? n - 1 - i : i;
    for (int line = 0; line < kCount; ++line) {
      const double sum = sums[line] + static_cast<double>(x[line * n + at]);
      y[line * n + at] = static_cast<T>(exclusive ? sums[line] : sum);
      sums[line] = sum;
    }
  }
}

template <typename T>
void AllLines(int64_t count, int64_t n, bool exclusive, bool reverse,
              const T* x, T* y) {
  for (; count >= kSideBySide; count -= kSideBySide) {
    Lines<kSideBySide>(n, exclusive, reverse, x, y);
    x += kSideBySide * n;
    y += kSideBySide * n;
  }
  for (; count > 0; --count, x += n, y += n) {
    Lines<1>(n, exclusive, reverse, x, y);
  }
}

template <typename T>
absl::Status Cpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<CumSumAttrs>();
  const Tensor& x = args.input(0);
  if (x.num_elements() == 0) return absl::OkStatus();
  const AxisView view = ViewAxis(x.shape(), static_cast<int>(attrs.axis));
  const T* px = x.data<T>();
  T* py = args.outputs[0].mutable_data<T>();
  const int64_t tiles = NumBlocks(view.inner, kLines);
  const int64_t work = view.n * std::min(view.inner, kLines);
  ParallelFor(
      view.outer * tiles, std::max<int64_t>(1, kElementwiseGrain / work),
      [&](int64_t begin, int64_t end) {
        if (view.inner == 1) {
          AllLines(end - begin, view.n, attrs.exclusive, attrs.reverse,
                   px + begin * view.n, py + begin * view.n);
          return;
        }
        for (int64_t i = begin; i < end; ++i) {
          const int64_t first = i % tiles * kLines;
          const int64_t at = i / tiles * view.n * view.inner + first;
          Columns(view.n, view.inner, std::min(kLines, view.inner - first),
                  attrs.exclusive, attrs.reverse, px + at, py + at);
        }
      });
  return absl::OkStatus();
}

Var Again(const Var& x, const CumSumAttrs& attrs, bool reverse) {
  return CumSum(x, attrs.axis, {attrs.exclusive, reverse});
}

void Vjp(VjpArgs& args) {
  const auto& attrs = args.attrs.Get<CumSumAttrs>();
  args.grads[0] = Again(args.cotangents[0], attrs, !attrs.reverse);
}

void Jvp(JvpArgs& args) {
  const auto& attrs = args.attrs.Get<CumSumAttrs>();
  if (!args.tangents[0].defined()) return;
  args.output_tangents[0] = Again(args.tangents[0], attrs, attrs.reverse);
}

const Op& CumSumOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "cumsum";
    def.infer = &Infer;
    def.vjp = &Vjp;
    def.jvp = &Jvp;
    def.saved_inputs = 0;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "loop", &Cpu<float>, &Cpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var CumSum(const Var& x, int64_t axis, const CumSumOptions& options) {
  int64_t resolved = 0;
  if (x.ok() && x.defined() && x.rank() > 0) {
    const absl::StatusOr<int> found = ResolveAxis(axis, x.rank());
    if (!found.ok()) {
      return AnnotateStatus(
          found.status(),
          absl::StrCat("cumsum of x, ", x.tensor().DebugString()));
    }
    resolved = *found;
  }
  return Apply(CumSumOp(), {&x},
               CumSumAttrs{resolved, options.exclusive, options.reverse});
}

}  // namespace septet
