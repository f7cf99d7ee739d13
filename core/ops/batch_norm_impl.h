// SPDX-License-Identifier: Apache-2.0
// What the ops of batch normalisation share: checks of [..., C] arguments, and
// the kernels of batch_norm_kernels.h over chunks of rows in the current pool.
#ifndef SEPTET_CORE_OPS_BATCH_NORM_IMPL_H_
#define SEPTET_CORE_OPS_BATCH_NORM_IMPL_H_

#include <algorithm>
#include <cstdint>
#include <limits>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/ops/batch_norm_kernels.h"
#include "septet/core/ops/op_util.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace batch_norm_internal {

inline int64_t Channels(const Tensor& x) { return x.dim(x.rank() - 1); }
inline int64_t Rows(const Tensor& x) { return x.num_elements() / Channels(x); }

// x [..., C] of f32 or f64 with C >= 1.
inline absl::Status RequireChannelsLast(const Tensor& x) {
  SEPTET_RETURN_IF_ERROR(RequireReal("x", x));
  SEPTET_RETURN_IF_ERROR(RequireRank("x", x, 2, kMaxRank));
  if (Channels(x) > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "x is ", x.DebugString(), ", expected a last axis (channels) >= 1"));
}

// The same with a row at least, for statistics.
inline absl::Status RequireBatch(const Tensor& x) {
  SEPTET_RETURN_IF_ERROR(RequireChannelsLast(x));
  if (Rows(x) > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "x is ", x.DebugString(), ", expected at least one element a channel"));
}

// `parameter` [C] of x's dtype.
inline absl::Status RequireChannels(absl::string_view name, const Tensor& x,
                                    const Tensor& parameter) {
  SEPTET_RETURN_IF_ERROR(RequireSameDType("x", x, name, parameter));
  SEPTET_RETURN_IF_ERROR(RequireRank(name, parameter, 1, 1));
  return RequireExtent(name, parameter, 0, Channels(x), "the last axis of x");
}

inline absl::Status RequireEps(double eps) {
  if (eps >= 0 && eps <= std::numeric_limits<float>::max()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("eps is ", eps, ", expected a finite number >= 0"));
}

// Rows of a chunk: by the number of channels alone, whole blocks of the
// kernels, some tens of microseconds of work.
inline int64_t ChunkRows(int64_t channels) {
  constexpr int64_t kBlock = 64;
  return std::max<int64_t>(kBlock,
                           kElementwiseGrain / channels / kBlock * kBlock);
}

// Two numbers a channel for each chunk: [chunks, 2, C], combined pairwise into
// the first chunk's. fn(begin, end, first, second) computes those of some rows;
// combine(n_a, a, n_b, b) adds the pair of n_b rows at b to that at a.
// Returns the pair, [2, C].
template <typename T, typename Fn, typename Combine>
absl::StatusOr<Tensor> ReduceChunks(const Tensor& x, const Fn& fn,
                                    const Combine& combine) {
  const int64_t channels = Channels(x);
  const int64_t rows = Rows(x);
  const int64_t chunk = ChunkRows(channels);
  const int64_t chunks = NumBlocks(rows, chunk);
  SEPTET_ASSIGN_OR_RETURN(
      Tensor parts,
      Tensor::Empty(Shape({chunks, 2, channels}), x.dtype(), x.device()));
  T* const pairs = parts.mutable_data<T>();
  ParallelFor(rows, chunk, [&](int64_t begin, int64_t end) {
    T* pair = pairs + begin / chunk * 2 * channels;
    fn(begin, end, pair, pair + channels);
  });
  const auto rows_of = [&](int64_t first, int64_t count) {
    return std::min(rows, (first + count) * chunk) - first * chunk;
  };
  for (int64_t stride = 1; stride < chunks; stride *= 2) {
    for (int64_t i = 0; i + stride < chunks; i += 2 * stride) {
      combine(rows_of(i, stride), pairs + i * 2 * channels,
              rows_of(i + stride, stride), pairs + (i + stride) * 2 * channels);
    }
  }
  return parts.Slice(0, 0, 1);
}

// [1, 2, C]: the mean, and the sum of squared differences to it.
template <typename T>
absl::StatusOr<Tensor> Statistics(const Tensor& x) {
  const int64_t c = Channels(x);
  const T* px = x.data<T>();
  return ReduceChunks<T>(
      x,
      [&](int64_t begin, int64_t end, T* mean, T* m2) {
        BatchNormStatistics(end - begin, c, px + begin * c, mean, m2);
      },
      [&](int64_t n_a, T* a, int64_t n_b, const T* b) {
        BatchNormMerge(c, n_a, a, a + c, n_b, b, b + c);
      });
}

// [1, 2, C]: the sums of dy and of dy (x - shift).
template <typename T>
absl::StatusOr<Tensor> BackwardSums(const Tensor& x, const T* shift,
                                    const Tensor& dy) {
  const int64_t c = Channels(x);
  const T* px = x.data<T>();
  const T* pdy = dy.data<T>();
  return ReduceChunks<T>(
      x,
      [&](int64_t begin, int64_t end, T* sum_dy, T* sum_dy_x) {
        BatchNormBackwardSums(end - begin, c, px + begin * c, shift,
                              pdy + begin * c, sum_dy, sum_dy_x);
      },
      [&](int64_t /*n_a*/, T* a, int64_t /*n_b*/, const T* b) {
        for (int64_t i = 0; i < 2 * c; ++i) a[i] += b[i];
      });
}

template <typename T>
void Apply(const Tensor& x, const T* shift, const T* multiplier, const T* bias,
           const Tensor& y) {
  const int64_t c = Channels(x);
  const T* px = x.data<T>();
  T* py = y.mutable_data<T>();
  const StoreMode mode = StoreModeFor(x.num_elements() * sizeof(T));
  ParallelFor(Rows(x), ChunkRows(c), [&](int64_t begin, int64_t end) {
    BatchNormApply(end - begin, c, px + begin * c, shift, multiplier, bias,
                   py + begin * c, mode);
  });
}

template <typename T>
void BackwardApply(const Tensor& x, const T* mean, const Tensor& dy, const T* p,
                   const T* dy_mean, const T* q, const Tensor& dx) {
  const int64_t c = Channels(x);
  const T* px = x.data<T>();
  const T* pdy = dy.data<T>();
  T* pdx = dx.mutable_data<T>();
  const StoreMode mode = StoreModeFor(x.num_elements() * sizeof(T));
  ParallelFor(Rows(x), ChunkRows(c), [&](int64_t begin, int64_t end) {
    BatchNormBackwardApply(end - begin, c, px + begin * c, mean,
                           pdy + begin * c, p, dy_mean, q, pdx + begin * c,
                           mode);
  });
}

// running <- (1 - momentum) running + momentum factor batch, in double.
// `running` may be written, is contiguous, and of batch's dtype and shape.
absl::Status UpdateRunning(absl::string_view op, absl::string_view name,
                           const Tensor& batch, double factor, double momentum,
                           const Tensor& running);

}  // namespace batch_norm_internal
}  // namespace septet

#endif  // SEPTET_CORE_OPS_BATCH_NORM_IMPL_H_
