// SPDX-License-Identifier: Apache-2.0
#include "septet/core/random/distributions.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/random/fill.h"
#include "septet/core/random/stream.h"
#include "septet/core/random/variates.h"

namespace septet {
namespace {

// Values a block: some 20 microseconds for uniform numbers, 80 for normal ones.
constexpr int64_t kGrain = 1 << 14;

absl::Status Error(absl::string_view what, const RandomStream& stream,
                   absl::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, " of stream '", stream.name(), "': ", problem));
}

template <typename T>
constexpr absl::string_view TypeName() {
  return sizeof(T) == sizeof(float) ? "float" : "double";
}

// Whether x is finite, also after rounding to T. A NaN is not.
template <typename T>
bool FiniteIn(double x) {
  return std::abs(x) <= std::numeric_limits<T>::max();
}

template <typename T>
absl::Status FillUniformOf(const RandomStream& stream, double lo, double hi,
                           absl::Span<T> out, uint64_t first) {
  if (!(lo <= hi) || !FiniteIn<T>(lo) || !FiniteIn<T>(hi) ||
      !std::isfinite(hi - lo)) {
    return Error("uniform numbers", stream,
                 absl::StrCat("the range is ", lo, " to ", hi,
                              ", want lo <= hi, both and their difference "
                              "finite in ",
                              TypeName<T>()));
  }
  ParallelFor(static_cast<int64_t>(out.size()), kGrain,
              [&](int64_t begin, int64_t end) {
                PhiloxFillUniform(
                    stream.key(), first + static_cast<uint64_t>(begin), lo, hi,
                    out.subspan(static_cast<size_t>(begin),
                                static_cast<size_t>(end - begin)));
              });
  return absl::OkStatus();
}

template <typename T>
absl::Status FillNormalOf(const RandomStream& stream, double mean, double std,
                          absl::Span<T> out, uint64_t first) {
  if (!(std >= 0) || !FiniteIn<T>(std::abs(mean) + kMaxNormal * std)) {
    return Error("normal numbers", stream,
                 absl::StrCat("mean ", mean, " and standard deviation ", std,
                              ", want a standard deviation >= 0 and values "
                              "that are finite in ",
                              TypeName<T>()));
  }
  ParallelFor(static_cast<int64_t>(out.size()), kGrain,
              [&](int64_t begin, int64_t end) {
                PhiloxFillNormal(stream.key(),
                                 first + static_cast<uint64_t>(begin), mean,
                                 std,
                                 out.subspan(static_cast<size_t>(begin),
                                             static_cast<size_t>(end - begin)));
              });
  return absl::OkStatus();
}

// Divides the row by its norm.
template <typename T>
void Normalise(absl::Span<const double> row, T* out) {
  double sum = 0;
  for (const double x : row) sum += x * x;
  if (sum == 0) {
    std::fill_n(out, row.size(), T{0});
    out[0] = T{1};
    return;
  }
  const double norm = std::sqrt(sum);
  for (size_t d = 0; d < row.size(); ++d)
    out[d] = static_cast<T>(row[d] / norm);
}

template <typename T>
absl::Status FillUnitSphereOf(const RandomStream& stream, int64_t dim,
                              absl::Span<T> out, uint64_t first_row) {
  const auto size = static_cast<int64_t>(out.size());
  if (dim < 1 || size % dim != 0) {
    return Error("points on the sphere", stream,
                 absl::StrCat("dimension ", dim,
                              ", want one >= 1 that divides "
                              "the size of the array, ",
                              size));
  }
  const int64_t rows = size / dim;
  const int64_t grain = std::max<int64_t>(1, kGrain / dim);
  ParallelFor(rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<double> normals(static_cast<size_t>((end - begin) * dim));
    PhiloxFillNormal(
        stream.key(),
        (first_row + static_cast<uint64_t>(begin)) * static_cast<uint64_t>(dim),
        0.0, 1.0, absl::MakeSpan(normals));
    for (int64_t r = begin; r < end; ++r) {
      Normalise(
          absl::MakeConstSpan(normals).subspan(
              static_cast<size_t>((r - begin) * dim), static_cast<size_t>(dim)),
          out.data() + r * dim);
    }
  });
  return absl::OkStatus();
}

template <typename T>
absl::StatusOr<int64_t> CategoricalOf(const RandomStream& stream, uint64_t i,
                                      absl::Span<const T> logits) {
  const auto n = static_cast<int64_t>(logits.size());
  if (n == 0) return Error("category", stream, "there are no logits");
  double largest = -std::numeric_limits<double>::infinity();
  for (int64_t id = 0; id < n; ++id) {
    const double x = logits[id];
    if (!(x <= std::numeric_limits<double>::max())) {
      return Error("category", stream,
                   absl::StrCat("logit ", id, " of ", n, " is ", x,
                                ", want a finite number or -inf"));
    }
    largest = std::max(largest, x);
  }
  if (std::isinf(largest)) {
    return Error("category", stream,
                 absl::StrCat("all ", n, " logits are -inf"));
  }
  double total = 0;
  for (const T x : logits) total += std::exp(x - largest);
  const double u = stream.Unit(i);
  double cumulative = 0;
  int64_t last = 0;
  for (int64_t id = 0; id < n; ++id) {
    const double p = std::exp(logits[id] - largest) / total;
    if (p == 0) continue;
    cumulative += p;
    if (cumulative > u) return id;
    last = id;
  }
  // Rounding left the sum of all below u.
  return last;
}

}  // namespace

absl::Status FillUniform(const RandomStream& stream, double lo, double hi,
                         absl::Span<float> out, uint64_t first) {
  return FillUniformOf(stream, lo, hi, out, first);
}

absl::Status FillUniform(const RandomStream& stream, double lo, double hi,
                         absl::Span<double> out, uint64_t first) {
  return FillUniformOf(stream, lo, hi, out, first);
}

absl::Status FillNormal(const RandomStream& stream, double mean, double std,
                        absl::Span<float> out, uint64_t first) {
  return FillNormalOf(stream, mean, std, out, first);
}

absl::Status FillNormal(const RandomStream& stream, double mean, double std,
                        absl::Span<double> out, uint64_t first) {
  return FillNormalOf(stream, mean, std, out, first);
}

absl::Status FillUnitSphere(const RandomStream& stream, int64_t dim,
                            absl::Span<float> out, uint64_t first_row) {
  return FillUnitSphereOf(stream, dim, out, first_row);
}

absl::Status FillUnitSphere(const RandomStream& stream, int64_t dim,
                            absl::Span<double> out, uint64_t first_row) {
  return FillUnitSphereOf(stream, dim, out, first_row);
}

absl::StatusOr<std::vector<int64_t>> Permutation(const RandomStream& stream,
                                                 uint64_t e, int64_t n) {
  if (n < 0 || n > std::numeric_limits<uint32_t>::max()) {
    return Error("permutation", stream,
                 absl::StrCat("of ", n, " items, want 0 to 2^32 - 1"));
  }
  std::vector<int64_t> permutation(static_cast<size_t>(n));
  std::iota(permutation.begin(), permutation.end(), int64_t{0});
  SEPTET_RETURN_IF_ERROR(stream.Shuffle(e, absl::MakeSpan(permutation)));
  return permutation;
}

absl::StatusOr<int64_t> Categorical(const RandomStream& stream, uint64_t i,
                                    absl::Span<const float> logits) {
  return CategoricalOf(stream, i, logits);
}

absl::StatusOr<int64_t> Categorical(const RandomStream& stream, uint64_t i,
                                    absl::Span<const double> logits) {
  return CategoricalOf(stream, i, logits);
}

}  // namespace septet
