// SPDX-License-Identifier: Apache-2.0
// The scan over time of RWKV-4's time-mix (Peng et al., 2023, arXiv 2305.13048,
// eq. 16 and appendix D), forward and backward, on the CPU. For one channel,
//   N_{t+1} = exp(-w) N_t + exp(k_t) v_t,  D_{t+1} = exp(-w) D_t + exp(k_t),
//   y_t = (N_t + exp(u + k_t) v_t) / (D_t + exp(u + k_t)).
//
//   for (int64_t task = 0; task < WkvTasks(p); ++task) {
//     WkvForward(p, result, task);
//   }
//
// N and D are kept as a exp(m) and b exp(m), m the largest exponent so far, so
// that nothing overflows. The authors subtract w from m in every row, which in
// float32 drifts by up to 1e-3 in 4096 rows; here m = r - n w, with n rows
// since r was set, and one rounding.
//
// The gradients go through dL/dN_t, dL/dD_t, which are exp(-m') times bounded
// numbers: the sum of an exponent before and one behind a row is never
// positive.
//
// Plain functions, float or double: no allocation, no threads. Arrays are
// contiguous.
#ifndef SEPTET_RETENTION_WKV_KERNELS_H_
#define SEPTET_RETENTION_WKV_KERNELS_H_

#include <cstdint>

namespace septet {

// Channels of a task: four vectors of 64 bytes of floats, whose scans overlap.
inline constexpr int64_t kWkvColumns = 64;
// Rows from one checkpoint to the next, which the backward pass makes again at
// a time: their numbers take 36 KiB (f32), the checkpoints a quarter of y.
inline constexpr int64_t kWkvRows = 16;

template <typename T>
struct WkvProblem {
  int64_t sequences = 0;
  int64_t rows = 0;
  int64_t channels = 0;
  const T* k = nullptr;      // [sequences, rows, channels]
  const T* v = nullptr;      // of the shape of k
  const T* w = nullptr;      // [channels]
  const T* u = nullptr;      // [channels]
  const T* state = nullptr;  // a, b, m: [sequences, 3, channels], or null: none
};

template <typename T>
int64_t WkvCheckpoints(const WkvProblem<T>& p) {
  return (p.rows + kWkvRows - 1) / kWkvRows;
}

template <typename T>
struct WkvResult {
  T* y = nullptr;  // of the shape of k
  // a, b, r, n before every kWkvRows-th row, [sequences, WkvCheckpoints(p), 4,
  // channels].
  T* checkpoints = nullptr;
  T* state = nullptr;  // [sequences, 3, channels], or null
};

template <typename T>
struct WkvGradient {
  const T* checkpoints = nullptr;
  const T* dy = nullptr;
  T* dk = nullptr;
  T* dv = nullptr;
  T* dw = nullptr;  // of each sequence: [sequences, channels]
  T* du = nullptr;  // likewise
};

// The exponent of no rows. Not -infinity, the difference of two of which is not
// a number.
inline constexpr double kWkvNoExponent = -1e38;

template <typename T>
int64_t WkvTasks(const WkvProblem<T>& p) {
  return p.sequences * ((p.channels + kWkvColumns - 1) / kWkvColumns);
}
// Elements of workspace of one task of the backward pass.
inline constexpr int64_t kWkvWorkspace = 9 * kWkvRows * kWkvColumns;

void WkvForward(const WkvProblem<float>& p, const WkvResult<float>& result,
                int64_t task);
void WkvForward(const WkvProblem<double>& p, const WkvResult<double>& result,
                int64_t task);
void WkvBackward(const WkvProblem<float>& p, const WkvGradient<float>& gradient,
                 int64_t task, float* workspace);
void WkvBackward(const WkvProblem<double>& p,
                 const WkvGradient<double>& gradient, int64_t task,
                 double* workspace);

}  // namespace septet

#endif  // SEPTET_RETENTION_WKV_KERNELS_H_
