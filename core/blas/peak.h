// SPDX-License-Identifier: Apache-2.0
// What one core of this machine can do at most, measured: fused multiply-adds
// in registers, and reading and copying memory. The limits that benchmarks
// name.
//
//   const double peak = PeakFlops<float>();            // FLOP/s
//   const double bandwidth = PeakReadBandwidth(64 << 20);   // bytes/s
//   const double copy = PeakCopyBandwidth(64 << 20);   // bytes/s, both ways
//
// All run for about 10 ms in the calling thread and count its CPU time, so
// that other load on the machine disturbs them little. Frequencies change:
// measure before and after what is compared; core/bench does, with the loops
// at the end of this header.
#ifndef SEPTET_CORE_BLAS_PEAK_H_
#define SEPTET_CORE_BLAS_PEAK_H_

#include <cstdint>
#include <memory>

namespace septet {

// CPU time of the calling thread, in seconds.
double ThreadCpuSeconds();

// Multiplications and additions per second, T = float or double, with the
// widest vectors of the machine. A fused multiply-add counts as two.
template <typename T>
double PeakFlops();

// Bytes per second read by sums over a buffer of that many bytes (which is
// allocated and filled): the best of one walk, of one that fetches a page
// ahead, and of four side by side, which the prefetchers of some machines serve
// half as fast again, best of several passes.
double PeakReadBandwidth(int64_t bytes);

// Bytes per second read and written, both counted, by copying one half of a
// working set of that many bytes to the other: the best of ordinary stores,
// streaming stores (as STREAM has it), and streaming stores in four walks, best
// of several passes.
double PeakCopyBandwidth(int64_t bytes);

// Bytes per second read and written, both counted, by scaling a buffer in place
// that is half as many bytes long: what is written has been read, and is not
// fetched for that. The better of one walk and of four, best of several passes.
double PeakUpdateBandwidth(int64_t bytes);

// The loops themselves, for harnesses that have a clock of their own.
//
// 12 independent chains of `rounds` multiply-adds on whole vectors; returns the
// operations done. T: float, double.
template <typename T>
double MultiplyAddLoop(int64_t rounds);
// n floats, all 1, in memory such as tensors have (core/tensor/allocator.h):
// huge pages, where there are some, are worth a tenth of the rate and more.
std::shared_ptr<float[]> LoopBuffer(int64_t n);
// The sum of n floats, in some order; in one walk, in one that fetches ahead,
// or in four side by side.
float ReadLoop(int64_t n, const float* x);
float ReadAheadLoop(int64_t n, const float* x);
float ReadFourLoop(int64_t n, const float* x);
// x <- factor x, likewise.
void UpdateLoop(int64_t n, float factor, float* x);
void UpdateFourLoop(int64_t n, float factor, float* x);
// y = x. Streaming stores go around the caches and are complete on return; x
// and y need an alignment of kLoopAlignment bytes then.
constexpr int64_t kLoopAlignment = 64;
void CopyLoop(int64_t n, const float* x, float* y);
void StreamingCopyLoop(int64_t n, const float* x, float* y);
void StreamingCopyFourLoop(int64_t n, const float* x, float* y);

}  // namespace septet

#endif  // SEPTET_CORE_BLAS_PEAK_H_
