// SPDX-License-Identifier: Apache-2.0
// What the kernels of retention compute, and how it is cut into tasks.
//
// A sequence has rows t = 0 .. T-1 at positions n = position + t. With k
// scaled, d = exp(log_gamma) and chunks of C rows, of which row j of chunk c is
//
//   o_j = f_j (sum_{m <= j} d^(j-m) (q_j k_m) v_m + x d^(j+1) q_j R)
//   R <- d^C R + y sum_j d^(C-1-j) k_j^T v_j
//
// where R [dk, dv] is the state before the chunk, and f, x and y belong to the
// score norm (retnet.md 3.3 and 3.4). Every norm but those of torchscale has
// x = y = 1 and gives the same for every C: the parallel form is one chunk of
// all rows, the recurrent one chunks of one row.
#ifndef SEPTET_RETENTION_RETENTION_PROBLEM_H_
#define SEPTET_RETENTION_RETENTION_PROBLEM_H_

#include <algorithm>
#include <cstdint>

namespace septet {

// f_j, with c_n = sum_{i <= n} d^i, a = scaled scores times decay:
enum class RetentionNorm {
  kNone,   // 1
  kDecay,  // 1 / sqrt(c_n)
  // 1 / (sqrt(c_n) m), m = max(|q z_n| / sqrt(c_n), 1), z = sum of decayed keys
  kPaper,
  // One chunk of all rows from position 0, without state:
  // m = clamp(sum |a| / sqrt(c_n), 1, 5e4)
  kTorchscaleParallel,
  // likewise, m = max(|sum a| / sqrt(c_n), 1)
  kTorchscaleParallelLegacy,
  // From position 0, without state. w_j = c_j within the chunk:
  // f_j = 1 / (sqrt(w_j) m), m = max(sum |a| / sqrt(w_j), 1, b), b the largest
  // column sum of |R|; x = w_{C-1}, y = 1 / x
  kTorchscaleChunkwise,
  // likewise, x = sqrt(w_{C-1})
  kTorchscaleChunkwiseLegacy,
};

constexpr bool RetentionIsChunkwiseTorchscale(RetentionNorm norm) {
  return norm == RetentionNorm::kTorchscaleChunkwise ||
         norm == RetentionNorm::kTorchscaleChunkwiseLegacy;
}
// Whether f depends on q and k: then the m are kept for the gradient, in which
// they are constants.
constexpr bool RetentionHasDivisors(RetentionNorm norm) {
  return norm != RetentionNorm::kNone && norm != RetentionNorm::kDecay;
}

// Element (sequence, t, head, i) is data[sequence batch + t time + head head +
// i], t counted from the sequence's first row; sequences that are packed one
// behind the other count t from the first row of all, and have batch = 0.
template <typename T>
struct RetentionOperand {
  T* data = nullptr;
  int64_t batch = 0;
  int64_t time = 0;
  int64_t head = 0;
};

template <typename T>
struct RetentionProblem {
  int64_t sequences = 0;
  int64_t heads = 0;
  int64_t key_dim = 0;    // dk
  int64_t value_dim = 0;  // dv
  int64_t rows = 0;       // of each sequence; of all of them where packed
  // [sequences + 1], packed: sequence s has the rows offsets[s] ..
  // offsets[s + 1] - 1. Null: [batch, rows, ...].
  const int64_t* offsets = nullptr;
  const int64_t* positions = nullptr;  // [sequences], null: 0
  RetentionOperand<const T> q, k, v;
  const double* log_gamma = nullptr;  // [heads], <= 0
  double scale = 1;                   // of k
  int64_t chunk = 64;                 // C, >= 1
  RetentionNorm norm = RetentionNorm::kDecay;
  const T* state = nullptr;    // [sequences, heads, dk, dv], null: 0
  const T* key_sum = nullptr;  // [sequences, heads, dk], kPaper; null: 0

  int64_t First(int64_t sequence) const {
    return offsets == nullptr ? 0 : offsets[sequence];
  }
  int64_t Length(int64_t sequence) const {
    return offsets == nullptr ? rows
                              : offsets[sequence + 1] - offsets[sequence];
  }
  int64_t Position(int64_t sequence) const {
    return positions == nullptr ? 0 : positions[sequence];
  }
  int64_t TotalRows() const {
    return offsets == nullptr ? sequences * rows : rows;
  }
  // Among all rows, for what is kept by row.
  int64_t FlatRow(int64_t sequence) const {
    return offsets == nullptr ? sequence * rows : offsets[sequence];
  }
  template <typename U>
  U* At(const RetentionOperand<U>& x, int64_t sequence, int64_t head,
        int64_t t) const {
    return x.data + sequence * x.batch + (First(sequence) + t) * x.time +
           head * x.head;
  }
};

template <typename T>
struct RetentionResult {
  RetentionOperand<T> out;
  T* state = nullptr;     // [sequences, heads, dk, dv] after the last row
  T* key_sum = nullptr;   // [sequences, heads, dk]
  T* divisors = nullptr;  // m, [heads, TotalRows()]
};
// Null pointers are results that nobody wants, except for `divisors` where
// there are any and `out`.

template <typename T>
struct RetentionGradient {
  RetentionOperand<const T> dout;
  const T* dstate = nullptr;    // of the final state, null: 0
  const T* divisors = nullptr;  // as the forward pass left them
  RetentionOperand<T> dq, dk, dv;
  T* dinitial = nullptr;  // [sequences, heads, dk, dv], null: not wanted
  // [sequences, heads], to be added up over sequences; null: not wanted. Not
  // for the norms of torchscale. Needs `out`.
  double* dlog_gamma = nullptr;
  RetentionOperand<const T> out;
};

// A task is a head of a sequence.
template <typename T>
int64_t RetentionTasks(const RetentionProblem<T>& p) {
  return p.sequences * p.heads;
}

// Rows of a block of scores: with AVX-512, pairs of tiles of six.
inline constexpr int64_t kRetentionBlock = 72;

namespace retention_internal {
// Elements of a cache line: rows of buffers start at one.
template <typename T>
constexpr int64_t Pad(int64_t n) {
  constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));
  return (n + kLine - 1) / kLine * kLine;
}
template <typename T>
int64_t LongestChunk(const RetentionProblem<T>& p) {
  int64_t longest = 0;
  for (int64_t s = 0; s < p.sequences; ++s) {
    longest = std::max(longest, p.Length(s));
  }
  return std::max<int64_t>(1, std::min(p.chunk, longest));
}
template <typename T>
int64_t MostChunks(const RetentionProblem<T>& p) {
  int64_t most = 0;
  for (int64_t s = 0; s < p.sequences; ++s) {
    const int64_t length = p.Length(s);
    most = std::max(most, length / p.chunk + (length % p.chunk == 0 ? 0 : 1));
  }
  return most;
}
}  // namespace retention_internal

// Elements of the workspaces, which are aligned to 64 bytes. Linear in the rows
// of a chunk; that of the backward pass holds the states before all chunks of
// one head of a sequence.
template <typename T>
int64_t RetentionForwardWorkspace(const RetentionProblem<T>& p) {
  using retention_internal::Pad;
  const int64_t c = retention_internal::LongestChunk(p);
  const int64_t block = std::min(c, kRetentionBlock);
  return p.key_dim * Pad<T>(c)                // transposed keys
         + block * Pad<T>(c)                  // scores
         + block * Pad<T>(p.key_dim)          // decayed queries
         + c * Pad<T>(p.key_dim)              // decayed keys
         + c * Pad<T>(p.value_dim)            // values
         + p.key_dim * Pad<T>(p.value_dim)    // state
         + Pad<T>(p.key_dim)                  // key sum
         + 4 * Pad<T>(c + 1) + Pad<T>(2 * c)  // tables of a head, factors
         + Pad<T>(p.value_dim);               // column sums
}
template <typename T>
int64_t RetentionRecurrentWorkspace(const RetentionProblem<T>& p) {
  return p.key_dim * p.value_dim + p.key_dim;  // state, key sum
}
template <typename T>
int64_t RetentionBackwardWorkspace(const RetentionProblem<T>& p) {
  using retention_internal::Pad;
  const int64_t c = retention_internal::LongestChunk(p);
  const int64_t block = std::min(c, kRetentionBlock);
  const int64_t matrix = p.key_dim * Pad<T>(p.value_dim);
  return (p.key_dim + p.value_dim) * Pad<T>(c)  // transposed keys, values
         + 2 * block * Pad<T>(c)                // scores, their gradients
         + 3 * c * Pad<T>(p.key_dim)            // queries, keys, decayed keys
         + block * Pad<T>(p.key_dim)            // decayed queries
         + 2 * c * Pad<T>(p.value_dim)          // values, scaled dout
         // states before chunks, that behind the last, and the gradient
         + (retention_internal::MostChunks(p) + 2) * matrix +
         p.value_dim * Pad<T>(p.key_dim)      // a state transposed
         + 4 * Pad<T>(c + 1) + Pad<T>(2 * c)  // tables of a head, factors
         + Pad<T>(p.value_dim);               // column sums
}

}  // namespace septet

#endif  // SEPTET_RETENTION_RETENTION_PROBLEM_H_
