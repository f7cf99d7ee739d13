// SPDX-License-Identifier: Apache-2.0
// Random arrays, permutations, categories and directions from a stream.
//
//   SEPTET_ASSIGN_OR_RETURN(RandomStream init,
//                           RandomStream::Create(seed, "init/layer3/wq"));
//   SEPTET_RETURN_IF_ERROR(FillNormal(init, 0.0, 0.02, absl::MakeSpan(wq)));
//
// Value i depends on the seed, the name of the stream and i alone. Arrays are
// filled by the threads of the current pool (ScopedThreadPool), with the same
// bits for any number of them, and also when they are filled in parts: `first`
// is the number of the part's first value (or row) in the whole. Uniform and
// normal numbers have the same bits on every machine. Categories, which need
// exp(), and directions may differ between machines by rounding.
//
// Values that the program computed or a user gave are checked, and answered by
// InvalidArgument; the messages name the stream. Nothing is written then.
#ifndef SEPTET_CORE_RANDOM_DISTRIBUTIONS_H_
#define SEPTET_CORE_RANDOM_DISTRIBUTIONS_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/random/stream.h"

namespace septet {

// out[i] = lo + (hi - lo) stream.Unit(first + i), computed in double and, for
// float, rounded at the end: in [lo, hi), or hi through rounding. Errors
// unless lo <= hi, both finite in the type of `out`, and hi - lo finite.
absl::Status FillUniform(const RandomStream& stream, double lo, double hi,
                         absl::Span<float> out, uint64_t first = 0);
absl::Status FillUniform(const RandomStream& stream, double lo, double hi,
                         absl::Span<double> out, uint64_t first = 0);

// out[i] = mean + std stream.Normal(first + i), computed in double and, for
// float, rounded at the end. Errors unless std >= 0 and all possible values
// (up to 6.67 std from the mean) are finite in the type of `out`.
absl::Status FillNormal(const RandomStream& stream, double mean, double std,
                        absl::Span<float> out, uint64_t first = 0);
absl::Status FillNormal(const RandomStream& stream, double mean, double std,
                        absl::Span<double> out, uint64_t first = 0);

// Rows of `dim` numbers, each row a point on the unit sphere, uniformly
// distributed: standard normals divided by their Euclidean norm. Row r (of the
// whole; `out` begins with row `first_row`) takes the elements
// dim r, ..., dim r + dim - 1. Sums in double; a row of zeros, whose chance is
// 2^-31 for dim = 1 and nil above, becomes (1, 0, ...). Errors unless dim >= 1
// and divides the size of `out`.
absl::Status FillUnitSphere(const RandomStream& stream, int64_t dim,
                            absl::Span<float> out, uint64_t first_row = 0);
absl::Status FillUnitSphere(const RandomStream& stream, int64_t dim,
                            absl::Span<double> out, uint64_t first_row = 0);

// Permutation number e of 0..n-1: what RandomStream::Shuffle makes of the
// ascending numbers. Errors unless 0 <= n < 2^32.
absl::StatusOr<std::vector<int64_t>> Permutation(const RandomStream& stream,
                                                 uint64_t e, int64_t n);

// A category by element i: the smallest id whose cumulative probability
// exceeds stream.Unit(i), where the probabilities are the softmax of `logits`.
// Softmax and sums in double, in the order of the ids. A logit of -infinity
// excludes its id. Two evaluations of exp an id at most; no allocation.
// Errors: no logits, a NaN or +infinity (the message has the first one's id),
// or every id excluded.
absl::StatusOr<int64_t> Categorical(const RandomStream& stream, uint64_t i,
                                    absl::Span<const float> logits);
absl::StatusOr<int64_t> Categorical(const RandomStream& stream, uint64_t i,
                                    absl::Span<const double> logits);

}  // namespace septet

#endif  // SEPTET_CORE_RANDOM_DISTRIBUTIONS_H_
