// SPDX-License-Identifier: Apache-2.0
#include "septet/core/ops/sort.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/index_util.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

struct ArgSortAttrs {
  int64_t axis;  // not negative
  int64_t k;     // how many of the order are wanted
  bool descending;
};

absl::Status Infer(const InferArgs& args) {
  const auto& attrs = args.attrs.Get<ArgSortAttrs>();
  const Tensor& x = args.input(0);
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 1, kMaxRank));
  if (x.dtype() != DType::kI32 && x.dtype() != DType::kI64 &&
      x.dtype() != DType::kF32 && x.dtype() != DType::kF64) {
    return absl::InvalidArgumentError(absl::StrCat(
        "x is ", x.DebugString(), ", expected f32, f64, i32 or i64"));
  }
  const int axis = static_cast<int>(attrs.axis);
  args.outputs[0] = {x.shape().WithDim(axis, attrs.k), DType::kI64};
  return absl::OkStatus();
}

// An unsigned number that grows with x; equal elements have equal ones. NaN has
// the largest of all.
template <typename T>
auto OrderedKey(T x, bool descending) {
  using U = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  constexpr U kTop = U{1} << (8 * sizeof(T) - 1);
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(x)) return std::numeric_limits<U>::max();
    x += T{0};  // -0 becomes 0
  }
  U bits;
  std::memcpy(&bits, &x, sizeof(T));
  if constexpr (std::is_floating_point_v<T>) {
    // Magnitudes of negative numbers grow downwards. Infinity is below NaN in
    // both directions.
    bits = bits & kTop ? ~bits : bits | kTop;
  } else {
    bits ^= kTop;
  }
  return descending ? static_cast<U>(~bits) : bits;
}

// Ordered by key, then by index, so that no two are equal.
template <typename U>
struct Entry {
  U key;
  int64_t index;
  friend bool operator<(const Entry& a, const Entry& b) {
    return a.key != b.key ? a.key < b.key : a.index < b.index;
  }
};

template <typename E>
void SortFirst(int64_t k, std::vector<E>& entries) {
  const auto middle = entries.begin() + k;
  if (middle != entries.end()) {
    std::nth_element(entries.begin(), middle, entries.end());
  }
  std::sort(entries.begin(), middle);
}

template <typename T>
absl::Status Cpu(const KernelArgs& args) {
  const auto& attrs = args.attrs.Get<ArgSortAttrs>();
  const Tensor& x = args.input(0);
  const int64_t k = attrs.k;
  if (args.outputs[0].num_elements() == 0) return absl::OkStatus();
  const AxisView view = ViewAxis(x.shape(), static_cast<int>(attrs.axis));
  const T* px = x.data<T>();
  int64_t* out = args.outputs[0].mutable_data<int64_t>();
  using U = decltype(OrderedKey(T{}, false));
  // About 30 ns an element.
  const int64_t grain = std::max<int64_t>(1, kElementwiseGrain / 64 / view.n);
  ParallelFor(view.outer * view.inner, grain, [&](int64_t begin, int64_t end) {
    const auto line = [&](int64_t i, const auto& entry, const auto& index,
                          auto& entries) {
      const int64_t o = i / view.inner, j = i % view.inner;
      const T* from = px + o * view.n * view.inner + j;
      for (int64_t t = 0; t < view.n; ++t) {
        entries[t] =
            entry(OrderedKey(from[t * view.inner], attrs.descending), t);
      }
      SortFirst(k, entries);
      int64_t* to = out + o * k * view.inner + j;
      for (int64_t t = 0; t < k; ++t) to[t * view.inner] = index(entries[t]);
    };
    if (sizeof(U) == 4 && view.n <= std::numeric_limits<uint32_t>::max()) {
      // Key and index in one word.
      std::vector<uint64_t> entries(static_cast<size_t>(view.n));
      for (int64_t i = begin; i < end; ++i) {
        line(
            i,
            [](uint64_t key, int64_t t) {
              return key << 32 | static_cast<uint64_t>(t);
            },
            [](uint64_t e) { return static_cast<int64_t>(e & 0xffffffffu); },
            entries);
      }
      return;
    }
    std::vector<Entry<U>> entries(static_cast<size_t>(view.n));
    for (int64_t i = begin; i < end; ++i) {
      line(
          i,
          [](U key, int64_t t) {
            return Entry<U>{key, t};
          },
          [](const Entry<U>& e) { return e.index; }, entries);
    }
  });
  return absl::OkStatus();
}

const Op& ArgSortOp() {
  static const Op& op = []() -> const Op& {
    OpDef def;
    def.name = "arg_sort";
    def.infer = &Infer;
    def.differentiable = false;
    const Op& registered = RegisterOp(def);
    RegisterCpuKernels(def.name, "loop", &Cpu<float>, &Cpu<double>);
    RegisterKernel(def.name, DeviceType::kCpu, DType::kI32, "loop",
                   &Cpu<int32_t>);
    RegisterKernel(def.name, DeviceType::kCpu, DType::kI64, "loop",
                   &Cpu<int64_t>);
    return registered;
  }();
  return op;
}

// The first k indices of the order, all where k is null.
Var Order(absl::string_view name, const Var& x, const int64_t* k, int64_t axis,
          bool descending) {
  ArgSortAttrs attrs = {0, 0, descending};
  if (x.ok() && x.defined() && x.rank() > 0) {
    const absl::StatusOr<int> found = ResolveAxis(axis, x.rank());
    if (!found.ok()) {
      return AnnotateStatus(
          found.status(),
          absl::StrCat(name, " of x, ", x.tensor().DebugString()));
    }
    attrs.axis = *found;
    const int64_t n = x.dim(*found);
    attrs.k = k == nullptr ? n : *k;
    if (attrs.k < 0 || attrs.k > n) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ": k is ", attrs.k, ", expected 0 <= k <= ", n,
                       ", axis ", *found, " of x, ", x.tensor().DebugString()));
    }
  }
  return Apply(ArgSortOp(), {&x}, attrs);
}

SortResult Take(const Var& x, int64_t axis, const Var& order) {
  if (!order.ok()) return {order, order};
  return {Gather(x, axis, order), order};
}

}  // namespace

SortResult Sort(const Var& x, int64_t axis, const SortOptions& options) {
  return Take(x, axis, Order("sort", x, nullptr, axis, options.descending));
}

Var ArgSort(const Var& x, int64_t axis, const SortOptions& options) {
  return Order("arg_sort", x, nullptr, axis, options.descending);
}

SortResult TopK(const Var& x, int64_t k, int64_t axis,
                const TopKOptions& options) {
  return Take(x, axis, Order("top_k", x, &k, axis, options.largest));
}

}  // namespace septet
