// SPDX-License-Identifier: Apache-2.0
// How many pairs the state of one head of retention remembers, and for how long
// under decay (retnet.md 8, D6). Nothing is trained.
//
//   RecallOptions options;
//   options.key_dim = 32;
//   options.value_dim = 64;
//   SEPTET_ASSIGN_OR_RETURN(double share, RecallAccuracy(options, 64));  //
//   0.96
//
// A trial draws L keys uniformly from the unit sphere, C codewords likewise,
// and one of the codewords for each key. Retention without a score norm writes
// the pairs into the state, one a position: S = sum_j gamma^(L-1-j) k_j^T v_j.
// Then each key is read, k_j S, and is recalled if the codeword nearest to what
// was read (of the largest inner product) is the key's.
//
// What is read for key j is gamma^(L-1-j) (v_j + sum over the other pairs of
// gamma^(j-m) (k_j k_m) v_m): how many pairs a head recalls is a matter of the
// ratio of the others' weights to its own alone. ExpectedHorizon follows from
// that and from the capacity without decay.
//
// In float32. Cost a trial: O(L (H dk dv + H C dv)). Random numbers are those
// of the streams "retention/recall/keys", ".../codewords" and ".../tokens";
// results do not depend on the number of threads.
#ifndef SEPTET_RETENTION_EXPERIMENTS_MEMORY_CAPACITY_H_
#define SEPTET_RETENTION_EXPERIMENTS_MEMORY_CAPACITY_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct RecallOptions {
  int64_t key_dim = 32;     // dk, 1 to 65536
  int64_t value_dim = 64;   // dv, 1 to 65536
  int64_t codewords = 256;  // C, 2 to 65536
  int64_t trials = 100;     // 1 to 2^30
  uint64_t seed = 1;        // its low 32 bits count, as in RandomStream
};

// Row h: for each delay d = 0, ..., L-1 the share of trials in which head h,
// whose ln gamma is log_gamma[h], recalls the pair that was written d pairs
// before the last. All heads see the same pairs. log_gamma: f64 [H], <= 0;
// pairs >= 1; H L at most 2^24.
// Errors: InvalidArgument naming the option or argument, what was expected and
// what came; those of Retention; Cancelled after SIGINT or SIGTERM.
absl::StatusOr<std::vector<std::vector<double>>> RecallByDelay(
    const RecallOptions& options, const Tensor& log_gamma, int64_t pairs);

// The share of all pairs that one head without decay recalls. Errors: as above.
absl::StatusOr<double> RecallAccuracy(const RecallOptions& options,
                                      int64_t pairs);

// The number of pairs at which accuracy falls to `level`, interpolated in the
// logarithm of the number; NaN where it does not fall through it between the
// first and the last. pairs ascend, and there is an accuracy for each.
double CapacityAt(double level, absl::Span<const int64_t> pairs,
                  absl::Span<const double> accuracy);

// How many of the newest pairs are recalled with at least `level`: where the
// falling sequence that is nearest to `by_delay` in squares falls below it.
int64_t HorizonAt(double level, absl::Span<const double> by_delay);

// What HorizonAt is to be after L pairs if `capacity` pairs are recalled at
// that level without decay. At delay d the others weigh (E - gamma^(2d)) /
// gamma^(2d), E = sum_{j<L} gamma^(2j), times as much as the pair itself, where
// without decay they weigh capacity - 1: so gamma^(2d) = E / capacity at the
// last delay. 0 if E is more than `capacity`. log_gamma <= 0.
int64_t ExpectedHorizon(double log_gamma, double capacity, int64_t pairs);

}  // namespace septet

#endif  // SEPTET_RETENTION_EXPERIMENTS_MEMORY_CAPACITY_H_
