// SPDX-License-Identifier: Apache-2.0
// The fixed tree of sums, as a template over what is summed: for kernels that
// need a sum inside (softmax, layer normalisation). The tree is described in
// reduce_kernels.h.
//
//   const T sum = TreeReduce<SumOp, T>(
//       n, [x](auto d, size_t i, size_t count) SEPTET_LAMBDA {
//         return LoadSome(d, x + i, count);
//       });
#if defined(SEPTET_CORE_OPS_REDUCE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef SEPTET_CORE_OPS_REDUCE_INL_H_
#undef SEPTET_CORE_OPS_REDUCE_INL_H_
#else
#define SEPTET_CORE_OPS_REDUCE_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "hwy/highway.h"
#include "septet/core/ops/reduce_tree.h"
#include "septet/core/ops/simd-inl.h"
#include "septet/core/ops/store_mode.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Vectors of at most a quarter of the virtual lanes, so that four accumulators
// fill a whole number of passes on every target.
template <typename T>
using ReduceTag = hn::CappedTag<T, kReduceLanes<T> / 4>;

struct SumOp {
  template <typename T>
  static constexpr T Identity() {
    return T{0};
  }
  template <class D, class V>
  static HWY_INLINE V Combine(D /*d*/, V a, V b) {
    return hn::Add(a, b);
  }
  template <typename T>
  static HWY_INLINE T CombineScalar(T a, T b) {
    return a + b;
  }
};
// NaN where there is one; otherwise the larger, and the first of equals.
struct MaxOp {
  template <typename T>
  static constexpr T Identity() {
    return -std::numeric_limits<T>::infinity();
  }
  template <class D, class V>
  static HWY_INLINE V Combine(D /*d*/, V a, V b) {
    return hn::IfThenElse(hn::Or(hn::Ge(a, b), hn::IsNaN(a)), a, b);
  }
  template <typename T>
  static HWY_INLINE T CombineScalar(T a, T b) {
    return a >= b || a != a ? a : b;
  }
};
struct MinOp {
  template <typename T>
  static constexpr T Identity() {
    return std::numeric_limits<T>::infinity();
  }
  template <class D, class V>
  static HWY_INLINE V Combine(D /*d*/, V a, V b) {
    return hn::IfThenElse(hn::Or(hn::Le(a, b), hn::IsNaN(a)), a, b);
  }
  template <typename T>
  static HWY_INLINE T CombineScalar(T a, T b) {
    return a <= b || a != a ? a : b;
  }
};

// Combines the values of blocks in pairs of neighbours, pairs in pairs, ...
template <typename T, class Op>
class BlockStack {
 public:
  void Push(T value) {
    for (uint64_t bits = count_; bits % 2 == 1; bits /= 2) {
      value = Op::CombineScalar(values_[--size_], value);
    }
    values_[size_++] = value;
    ++count_;
  }
  // At least one value was pushed.
  T Total() const {
    T total = values_[size_ - 1];
    for (size_t k = size_ - 1; k > 0; --k) {
      total = Op::CombineScalar(values_[k - 1], total);
    }
    return total;
  }

 private:
  T values_[kReduceLevels];
  size_t size_ = 0;
  uint64_t count_ = 0;
};

// Lane l with lane l + half, until one is left.
template <class Op, class D, class V>
HWY_INLINE hn::TFromD<D> FoldLanes(D d, V v) {
  if constexpr (hn::MaxLanes(d) == 1) {
    return hn::GetLane(v);
  } else {
#if HWY_TARGET == HWY_SCALAR
    return hn::GetLane(v);
#else
    const hn::Half<D> dh;
    return FoldLanes<Op>(
        dh, Op::Combine(dh, hn::LowerHalf(dh, v), hn::UpperHalf(dh, v)));
#endif
  }
}

// The lanes of a whole block, in memory.
template <class Op, typename T>
HWY_INLINE T FoldArray(T* HWY_RESTRICT lanes) {
  const ReduceTag<T> d;
  const size_t step = hn::Lanes(d);
  size_t half = kReduceLanes<T> / 2;
  for (; half >= step; half /= 2) {
    for (size_t l = 0; l < half; l += step) {
      hn::Store(
          Op::Combine(d, hn::Load(d, lanes + l), hn::Load(d, lanes + l + half)),
          d, lanes + l);
    }
  }
  if constexpr (!HWY_HAVE_SCALABLE) {
    return FoldLanes<Op>(d, hn::Load(d, lanes));
  } else {
    for (; half >= 1; half /= 2) {
      for (size_t l = 0; l < half; ++l) {
        lanes[l] = Op::CombineScalar(lanes[l], lanes[l + half]);
      }
    }
    return lanes[0];
  }
}

// The tree over n <= kReduceBlock<T> elements. `load(d, i, count)` gives
// elements i, i + 1, ..., as a vector; `count` of them are wanted, and the
// lanes beyond are ignored here. It is called once for each vector of elements,
// so it may also store. n must be > 0.
template <class Op, typename T, class Load>
HWY_INLINE T ReduceBlock(size_t n, const Load& load) {
  const ReduceTag<T> d;
  using V = hn::Vec<decltype(d)>;
  constexpr size_t kLanes = kReduceLanes<T>;
  const size_t step = hn::Lanes(d);
  const V identity = hn::Set(d, Op::template Identity<T>());
  const size_t whole = n / kLanes * kLanes;
  const auto partial = [&](size_t i) SEPTET_LAMBDA {
    if (i >= n) return identity;
    const size_t count = HWY_MIN(step, n - i);
    return hn::IfThenElse(hn::FirstN(d, count), load(d, i, count), identity);
  };
  // One pass where four vectors hold all lanes; else several passes over the
  // block, of four vectors of lanes each.
  HWY_ALIGN T lanes[kLanes];
  for (size_t first = 0; first < kLanes; first += 4 * step) {
    V v0 = identity, v1 = identity, v2 = identity, v3 = identity;
    for (size_t i = first; i < whole; i += kLanes) {
      v0 = Op::Combine(d, v0, load(d, i, step));
      v1 = Op::Combine(d, v1, load(d, i + step, step));
      v2 = Op::Combine(d, v2, load(d, i + 2 * step, step));
      v3 = Op::Combine(d, v3, load(d, i + 3 * step, step));
    }
    if (whole + first < n) {
      const size_t i = whole + first;
      v0 = Op::Combine(d, v0, partial(i));
      v1 = Op::Combine(d, v1, partial(i + step));
      v2 = Op::Combine(d, v2, partial(i + 2 * step));
      v3 = Op::Combine(d, v3, partial(i + 3 * step));
    }
    if constexpr (!HWY_HAVE_SCALABLE && hn::MaxLanes(d) * 4 == kLanes) {
      return FoldLanes<Op>(
          d, Op::Combine(d, Op::Combine(d, v0, v2), Op::Combine(d, v1, v3)));
    } else {
      hn::Store(v0, d, lanes + first);
      hn::Store(v1, d, lanes + first + step);
      hn::Store(v2, d, lanes + first + 2 * step);
      hn::Store(v3, d, lanes + first + 3 * step);
    }
  }
  return FoldArray<Op>(lanes);
}

// Rows of at most kReduceLanes elements, where four vectors hold all lanes: the
// whole row in kVectors registers. kShortRows says whether there are such.
template <typename T>
constexpr bool kShortRows =
    !HWY_HAVE_SCALABLE && hn::MaxLanes(ReduceTag<T>()) * 4 == kReduceLanes<T>;

template <int kVectors, typename T>
struct ShortRow {
  using D = ReduceTag<T>;
  using V = hn::Vec<D>;
  static constexpr size_t kStep = hn::MaxLanes(D());

  V v[kVectors];

  // p[0, n) for (kVectors - 1) kStep < n <= kVectors kStep, then zeros.
  static HWY_INLINE ShortRow Load(const T* HWY_RESTRICT p, size_t n) {
    ShortRow row;
    for (int k = 0; k < kVectors; ++k) {
      const size_t i = static_cast<size_t>(k) * kStep;
      row.v[k] = LoadSome(D(), p + i, HWY_MIN(kStep, n - i));
    }
    return row;
  }
  // Elements beyond n become `value`.
  HWY_INLINE void FillBeyond(size_t n, V value) {
    const size_t used = n - (kVectors - 1) * kStep;
    v[kVectors - 1] =
        hn::IfThenElse(hn::FirstN(D(), used), v[kVectors - 1], value);
  }
  // As TreeReduce, if what is beyond the row is the identity (and no element a
  // negative zero, for a sum).
  template <class Op>
  HWY_INLINE T Reduce() const {
    const D d;
    if constexpr (kVectors == 1) return FoldLanes<Op>(d, v[0]);
    if constexpr (kVectors == 2) {
      return FoldLanes<Op>(d, Op::Combine(d, v[0], v[1]));
    }
    if constexpr (kVectors == 3) {
      return FoldLanes<Op>(d, Op::Combine(d, Op::Combine(d, v[0], v[2]), v[1]));
    }
    if constexpr (kVectors == 4) {
      return FoldLanes<Op>(d, Op::Combine(d, Op::Combine(d, v[0], v[2]),
                                          Op::Combine(d, v[1], v[3])));
    }
  }
  // p[0, n). `lines`: past the caches, p and n being whole lines.
  HWY_INLINE void Store(T* HWY_RESTRICT p, size_t n, bool lines) const {
    for (int k = 0; k < kVectors; ++k) {
      const size_t i = static_cast<size_t>(k) * kStep;
      if (lines) {
        hn::Stream(v[k], D(), p + i);
      } else {
        StoreSome(D(), v[k], p + i, HWY_MIN(kStep, n - i));
      }
    }
  }
  static bool StoresLines(const T* p, size_t n, StoreMode mode) {
    return mode == StoreMode::kStreaming &&
           (reinterpret_cast<uintptr_t>(p) | n * sizeof(T)) % 64 == 0;
  }
};

// Calls fn(std::integral_constant<int, k>) with the k registers that rows of n
// elements take; false if they are no short rows.
template <typename T, class Fn>
HWY_INLINE bool ForShortRows(size_t n, const Fn& fn) {
  if constexpr (kShortRows<T>) {
    switch ((n + kReduceLanes<T> / 4 - 1) / (kReduceLanes<T> / 4)) {
      case 1:
        fn(std::integral_constant<int, 1>());
        return true;
      case 2:
        fn(std::integral_constant<int, 2>());
        return true;
      case 3:
        fn(std::integral_constant<int, 3>());
        return true;
      case 4:
        fn(std::integral_constant<int, 4>());
        return true;
      default:
        break;
    }
  }
  return false;
}

// The tree over n elements; Identity where n is 0. `load` as for ReduceBlock,
// with i counted from the beginning.
template <class Op, typename T, class Load>
HWY_INLINE T TreeReduce(size_t n, const Load& load) {
  constexpr size_t kBlock = kReduceBlock<T>;
  if (n == 0) return Op::template Identity<T>();
  BlockStack<T, Op> stack;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t count = HWY_MIN(kBlock, n - begin);
    stack.Push(ReduceBlock<Op, T>(
        count, [&](auto d, size_t i, size_t wanted)
                   SEPTET_LAMBDA { return load(d, begin + i, wanted); }));
  }
  return stack.Total();
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace septet
HWY_AFTER_NAMESPACE();

#endif  // SEPTET_CORE_OPS_REDUCE_INL_H_
