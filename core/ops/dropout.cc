// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/dropout.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/dropout_kernels.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/random/fill.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/variates.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct DropoutAttrs {
  double p;
  uint64_t offset;
  uint32_t key[2];

  PhiloxKey philox() const { return {key[0], key[1]}; }
};

absl::Status Infer(const InferArgs& args) {
  const double p = args.attrs.Get<DropoutAttrs>().p;
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  if (!(p >= 0 && p <= 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("p is ", p, ", expected a number in [0, 1]"));
  }
  args.outputs[0] = {x.shape(), x.dtype()};
  return absl::OkStatus();
}

// The least word that is kept, of 2^32: w 2^-32 >= p just where w is at least
// p 2^32, which is exact, rounded up.
uint64_t Threshold(double p) {
  return static_cast<uint64_t>(std::ceil(p * 0x1p32));
}

// Words are drawn this many elements at a time: they stay in a first-level
// cache.
constexpr int64_t kChunk = 1024;

template <typename T>
void DropoutRange(const DropoutAttrs& attrs, uint32_t threshold, int64_t begin,
                  int64_t end, const T* x, T* y) {
  const T scale = static_cast<T>(1.0 / (1.0 - attrs.p));
  uint32_t words[kChunk + 8];
  for (int64_t i = begin; i < end; i += kChunk) {
    const int64_t n = std::min(kChunk, end - i);
    const uint64_t first = attrs.offset + static_cast<uint64_t>(i);
    // Words of whole blocks, those before the first element among them. Counts
    // wrap around at 2^64 elements, which is at 2^62 blocks.
    const auto skipped = static_cast<int64_t>(first % 4);
    uint64_t block = first / 4;
    int64_t blocks = (skipped + n + 3) / 4;
    uint32_t* to = words;
    const uint64_t rest = (uint64_t{1} << 62) - block;
    if (static_cast<uint64_t>(blocks) > rest) {
      PhiloxFillWords(attrs.philox(), block,
                      absl::MakeSpan(to, static_cast<size_t>(4 * rest)));
      to += 4 * rest;
      blocks -= static_cast<int64_t>(rest);
      block = 0;
    }
    PhiloxFillWords(attrs.philox(), block,
                    absl::MakeSpan(to, static_cast<size_t>(4 * blocks)));
    DropoutKernel(n, words + skipped, threshold, scale, x + i, y + i);
  }
}

template <typename T>
absl::Status DropoutCpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<DropoutAttrs>();
  const Tensor& x = args.input(0);
  const int64_t n = x.num_elements();
  T* y = args.outputs[0].mutable_data<T>();
  const uint64_t threshold = Threshold(attrs.p);
  if (threshold > 0xffffffff) {
    std::fill_n(y, n, T(0));
    return absl::OkStatus();
  }
  const T* px = x.data<T>();
  ParallelFor(n, kElementwiseGrain / 2, [&](int64_t begin, int64_t end) {
    DropoutRange(attrs, static_cast<uint32_t>(threshold), begin, end, px, y);
  });
  return absl::OkStatus();
}

// The rule of the header, element by element.
void Composite(CompositeArgs& args) {
  const auto& attrs = args.attrs.Get<DropoutAttrs>();
  const Var& x = args.inputs[0];
  absl::StatusOr<Tensor> keep = Tensor::Empty(x.shape(), DType::kBool);
  if (!keep.ok()) {
    args.outputs[0] = keep.status();
    return;
  }
  for (int64_t i = 0; i < keep->num_elements(); ++i) {
    const uint64_t e = attrs.offset + static_cast<uint64_t>(i);
    const uint32_t word = PhiloxElement(attrs.philox(), e / 4)[e % 4];
    keep->mutable_data<bool>()[i] = UnitFromWord(word) >= attrs.p;
  }
  const Var zero = Tensor::Scalar(0.0, x.dtype());
  // At p = 1 nothing is left to be scaled.
  const double scale = attrs.p < 1 ? 1.0 / (1.0 - attrs.p) : 0.0;
  args.outputs[0] = Where(*keep, Scale(x, scale), zero);
}

const Op& DropoutOp();

const Op& DropoutOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "dropout";
    def.infer = &Infer;
    def.composite = &Composite;
    def.saved_inputs = 0;
    // Linear: the derivatives are the same op, on the same elements.
    def.vjp = [](VjpArgs& args) {
      args.grads[0] = Apply(DropoutOp(), {&args.cotangents[0]}, args.attrs);
    };
    def.jvp = [](JvpArgs& args) {
      args.output_tangents[0] =
          Apply(DropoutOp(), {&args.tangents[0]}, args.attrs);
    };
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "highway", &DropoutCpu<float>,
                       &DropoutCpu<double>);
    return registered;
  }();
  return op;
}

}  // namespace

Var Dropout(const Var& x, double p, PhiloxKey key, uint64_t offset) {
  if (p == 0 && x.ok() && x.defined() && RequireReal("x", x.tensor()).ok()) {
    return x;
  }
  return Apply(DropoutOp(), {&x}, DropoutAttrs{p, offset, {key[0], key[1]}});
}

}  // namespace septet
