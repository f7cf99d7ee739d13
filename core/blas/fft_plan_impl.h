// SPDX-License-Identifier: Apache-2.0
// One-dimensional Fourier transforms of several lines side by side, in double:
// what core/blas/fft.h cuts its work into.
//
// A line is an array of n complex numbers. Lines lie in lanes: element e of
// lane l has its real part at data[2 e lanes + l] and its imaginary part at
// data[(2 e + 1) lanes + l], so that one vector instruction serves all lanes
// and a line's bits do not depend on what lies beside it. There are kFftLanes
// lanes, or one.
//
// Stockham's self-sorting algorithm in radices 4, 2, 3, 5 and other primes up
// to kLargestRadix; a length with a larger prime factor is done as a
// convolution (Bluestein, 1970), so that every length costs O(n log n).
#ifndef SEPTET_CORE_BLAS_FFT_PLAN_IMPL_H_
#define SEPTET_CORE_BLAS_FFT_PLAN_IMPL_H_

#include <cstdint>
#include <memory>
#include <vector>

namespace septet {
namespace fft_internal {

// A 512-bit vector of double.
inline constexpr int64_t kFftLanes = 8;
inline constexpr int64_t kLargestRadix = 31;

// exp(-2 pi i k / n) as (cos, sin), correctly rounded but for some last bits:
// angles are reduced in integers.
struct Root {
  double re;
  double im;
};
Root RootOfUnity(int64_t k, int64_t n);

// Immutable; may be used from any number of threads.
class FftPlan {
 public:
  explicit FftPlan(int64_t n);  // n >= 1

  int64_t n() const { return n_; }
  // Complex numbers that the plan holds.
  int64_t size() const;
  // Elements of double that Forward needs beside the data.
  int64_t WorkspaceSize(int64_t lanes) const;
  // data <- sum_j data[j] exp(-2 pi i j k / n), in place; lanes is kFftLanes or
  // 1. The inverse comes by exchanging real and imaginary parts before and
  // after.
  void Forward(int64_t lanes, double* data, double* workspace) const;

 private:
  void Stockham(int64_t lanes, double* data, double* workspace) const;

  const int64_t n_;
  std::vector<int64_t> radices_;
  std::vector<double> roots_;  // exp(-2 pi i k / n), k < n
  // Of the convolution; null without one.
  std::unique_ptr<FftPlan> inner_;
  std::vector<double> chirp_;     // exp(-pi i j^2 / n), j < n
  std::vector<double> spectrum_;  // of its conjugate, over the inner length
};

// The plan of a length, made once and kept for later calls; the cache is
// emptied before a plan is added to more than kMostNumbers complex numbers (64
// MiB). May be called from any number of threads; several that ask for a new
// length at once make it each, and get the same one.
inline constexpr int64_t kMostNumbers = int64_t{1} << 22;
std::shared_ptr<const FftPlan> GetFftPlan(int64_t n);
// RootOfUnity(k, n) for k < count, kept in the same way: one costs as much as
// some hundred operations of a transform.
std::shared_ptr<const std::vector<Root>> GetRoots(int64_t count, int64_t n);

}  // namespace fft_internal
}  // namespace septet

#endif  // SEPTET_CORE_BLAS_FFT_PLAN_IMPL_H_
