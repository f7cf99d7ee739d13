// SPDX-License-Identifier: Apache-2.0
// Retention (Sun et al.: Retentive Network: A Successor to Transformer for
// Large Language Models, 2023, arXiv 2307.08621, eq. 5 to 7) as one
// differentiable op. With gamma = exp(log_gamma) of the head and k scaled,
//
//   S_n = gamma S_{n-1} + k_n^T v_n          S [dk, dv]
//   o_n = q_n S_n / norm_n
//
// in three forms that give the same result: recurrent, as written; parallel,
// all pairs of rows; chunkwise, pairs within a chunk and the state between
// chunks, which costs least for long sequences.
//
//   SEPTET_ASSIGN_OR_RETURN(Tensor log_gamma, LogDecay({}, heads));
//   Var o = Retention(q, k, v, log_gamma, {}).out;           // [B, T, H, dv]
//
//   // A long sequence in parts, or a prompt before decoding:
//   RetentionOutput a = Retention(q1, k1, v1, log_gamma, {}, {}, true);
//   RetentionOutput b = Retention(q2, k2, v2, log_gamma, {}, a.state, true);
//
// q and k come rotated (retention/positions.h); the scale of k is inside.
//
// Cost: chunkwise 2 C (dk + dv) / 2 + 4 dk dv operations a row and head
// forward, about 2.4 times that with the gradient (retnet.md 5); parallel
// T (dk + dv). Memory beside inputs and results is linear in T: the backward
// pass makes the states of one head of a sequence at a time again.
// Determinism: the same bits for any number of threads.
#ifndef SEPTET_RETENTION_RETENTION_H_
#define SEPTET_RETENTION_RETENTION_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "septet/core/autograd/var.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

enum class RetentionForm {
  // ChooseRetentionForm; with the norms of torchscale and a state before or
  // behind, the recurrent form, which alone has one
  kAuto,
  kParallel,
  kChunkwise,
  kRecurrent,
};

// What o_n = q_n S_n is divided by (retnet.md 3.4), c_n = sum_{i <= n}
// gamma^i at position n. Divisors that depend on q and k are constants in the
// gradient.
enum class ScoreNorm {
  kNone,   // 1 (flash-linear-attention)
  kDecay,  // sqrt(c_n): the recurrent form of torchscale, exact in all forms
  // sqrt(c_n) max(|q_n z_n| / sqrt(c_n), 1), z_n = gamma z_{n-1} + k_n: the
  // paper's, exact in all forms
  kPaper,
  // That of torchscale: another one in each form. The recurrent one is kDecay;
  // the other two begin at position 0, with no state before or after.
  kTorchscale,
  kTorchscaleLegacy,  // as before December 2023
};

struct RetentionOptions {
  RetentionForm form = RetentionForm::kAuto;
  ScoreNorm score_norm = ScoreNorm::kDecay;
  int64_t chunk_size = 64;  // >= 1; 256 for heads of width 256
  double scale = 0;         // of k, finite; 0: 1 / sqrt(dk)
  // kAuto chooses for training even if no input is on a tape: a pass that
  // Checkpoint() repeats must be the same both times.
  bool training = false;
};

// What doubles, in which c_n is computed, tell from the next one: 2^53.
inline constexpr int64_t kMaxRetentionPosition = int64_t{1} << 53;

// What N sequences have behind their last row.
struct RetentionState {
  Var s;        // [N, H, dk, dv], of the dtype of q; undefined: 0
  Var key_sum;  // z [N, H, dk], of kPaper alone; a constant in the gradient
  // N positions of the next row, 0 to 2^53; empty without s: 0.
  std::vector<int64_t> position;
};

struct RetentionOutput {
  Var out;
  RetentionState state;  // if asked for
};

// q, k [B, T, H, dk], v [B, T, H, dv], f32 or f64, of any strides, T >= 0:
// out [B, T, H, dv], and N = B. log_gamma: f64 [H], finite, <= 0.
//
// Packed: q, k [R, H, dk] and v [R, H, dv] with cu_seqlens, i64 [N + 1]:
// sequence i has the rows cu_seqlens[i] .. cu_seqlens[i + 1] - 1, perhaps none,
// in which case it keeps its state; out [R, H, dv].
//
// Errors, in `out`: InvalidArgument naming the argument, what was expected and
// what came: dtypes, shapes, a log_gamma out of range, chunk_size < 1, a scale
// that is not finite, cu_seqlens that descend or do not end at R, no rows and
// no state, a state or positions of other sequences, kPaper continued without
// key_sum, and a state before or behind the parallel and chunkwise forms of
// torchscale.
//
// Differentiable in q, k, v, log_gamma (not with torchscale's norms) and s:
// first derivatives are fused, higher ones and forward mode go through
// elementary ops, which do have a matrix of rows by rows. The gradient of
// log_gamma is worked out in chunks of at most 256 rows in any form, because
// f32 loses digits in longer ones.
RetentionOutput Retention(const Var& q, const Var& k, const Var& v,
                          const Var& log_gamma, const RetentionOptions& options,
                          const RetentionState& state = {},
                          bool return_state = false,
                          const Tensor& cu_seqlens = {});

// One row of each sequence, in place: q, k [N, H, dk], v [N, H, dv], s [N, H,
// dk, dv], key_sum [N, H, dk] (kPaper; else undefined), one position a
// sequence, which is counted up, and out [N, H, dv], all of one dtype and
// without gaps but q, k and v, whose rows [dk] and [dv] are without gaps. What
// is written may not overlap anything else. Nothing is allocated. kTorchscale
// is kDecay here. Cost: S is read and written once. Errors: InvalidArgument as
// above; then nothing has been changed.
absl::Status RetentionStep(const Tensor& q, const Tensor& k, const Tensor& v,
                           const Tensor& log_gamma,
                           const RetentionOptions& options, Tensor* s,
                           Tensor* key_sum, absl::Span<int64_t> positions,
                           Tensor* out);

// The form that kAuto stands for, `rows` of the longest sequence. Trained:
// parallel while that costs less than chunks do, up to max(C + 2 m, 4 m) rows
// with m = dk dv / (dk + dv), or 2 C without widths. Otherwise recurrent below
// 10 rows, else chunkwise. Measured on one core with AVX-512, where parallel
// and chunkwise training cost the same:
//
//   dk, dv     8, 16   32, 48   64, 64   64, 128   128, 128
//   C = 64        75       96      150       190      > 208   rows
//   C = 128      140      157      178       208        275
//   C = 256    < 288      285      305       315        355
//
// (256, 432: above 640 rows for C = 256), and recurrent and chunkwise inference
// at 7 rows for 32, 54, 8 for 256, 432 and 16 for 64, 128.
RetentionForm ChooseRetentionForm(int64_t rows, int64_t chunk_size,
                                  bool training, int64_t key_dim = 0,
                                  int64_t value_dim = 0);

}  // namespace septet

#endif  // SEPTET_RETENTION_RETENTION_H_
