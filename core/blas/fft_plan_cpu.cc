// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "septet/core/base/check.h"
#include "septet/core/blas/fft_plan_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/blas/fft_plan_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace septet {
namespace fft_internal {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

// A vector of complex numbers is passed as its two parts; classes may not hold
// vectors whose size is known at run time alone.
#define SEPTET_FFT_LOAD(name, from)           \
  const V name##r = hn::LoadU(d, (from) + l); \
  const V name##i = hn::LoadU(d, (from) + kLanes + l)

// (r, i) times the number (wr, wi), stored.
template <size_t kLanes, class D, class V>
HWY_INLINE void StoreTimes(D d, V r, V i, const double* w, double* to) {
  const V wr = hn::Set(d, w[0]);
  const V wi = hn::Set(d, w[1]);
  hn::StoreU(hn::MulSub(r, wr, hn::Mul(i, wi)), d, to);
  hn::StoreU(hn::MulAdd(r, wi, hn::Mul(i, wr)), d, to + kLanes);
}

// One pass of radix r over lines whose remaining length is n, with s = N / n
// independent transforms interleaved: y[q + s (r p + k)] = w_n^(p k)
// sum_j x[q + s (p + j n / r)] w_r^(j k). `roots` are those of N.
template <size_t kLanes>
void Pass(size_t radix, size_t n, size_t s, const double* HWY_RESTRICT roots,
          const double* HWY_RESTRICT x, double* HWY_RESTRICT y) {
  const hn::CappedTag<double, kLanes> d;
  using V = hn::Vec<decltype(d)>;
  const size_t step = hn::Lanes(d);
  constexpr size_t kElement = 2 * kLanes;
  const size_t m = n / radix;
  const size_t total = n * s;
  const size_t across = s * m * kElement;  // from x_j to x_(j + 1)
  for (size_t p = 0; p < m; ++p) {
    const double* w1 = roots + 2 * p * s;
    const double* w2 = roots + 4 * p * s;
    const double* w3 = roots + 6 * p * s;
    const double* w4 = radix == 5 ? roots + 8 * p * s : roots;
    for (size_t q = 0; q < s; ++q) {
      const double* from = x + (q + s * p) * kElement;
      double* to = y + (q + s * radix * p) * kElement;
      const size_t apart = s * kElement;  // from y_k to y_(k + 1)
      for (size_t l = 0; l < kLanes; l += step) {
        switch (radix) {
          case 2: {
            SEPTET_FFT_LOAD(a, from);
            SEPTET_FFT_LOAD(b, from + across);
            hn::StoreU(hn::Add(ar, br), d, to + l);
            hn::StoreU(hn::Add(ai, bi), d, to + kLanes + l);
            StoreTimes<kLanes>(d, hn::Sub(ar, br), hn::Sub(ai, bi), w1,
                               to + apart + l);
            break;
          }
          case 3: {
            SEPTET_FFT_LOAD(a, from);
            SEPTET_FFT_LOAD(b, from + across);
            SEPTET_FFT_LOAD(c, from + 2 * across);
            const V half = hn::Set(d, 0.5);
            const V sine = hn::Set(d, 0.86602540378443864676);
            const V sr = hn::Add(br, cr), si = hn::Add(bi, ci);
            const V mr = hn::NegMulAdd(half, sr, ar);
            const V mi = hn::NegMulAdd(half, si, ai);
            // -i sin(60 degrees) (b - c)
            const V dr = hn::Mul(sine, hn::Sub(bi, ci));
            const V di = hn::Mul(sine, hn::Sub(cr, br));
            hn::StoreU(hn::Add(ar, sr), d, to + l);
            hn::StoreU(hn::Add(ai, si), d, to + kLanes + l);
            StoreTimes<kLanes>(d, hn::Add(mr, dr), hn::Add(mi, di), w1,
                               to + apart + l);
            StoreTimes<kLanes>(d, hn::Sub(mr, dr), hn::Sub(mi, di), w2,
                               to + 2 * apart + l);
            break;
          }
          case 4: {
            SEPTET_FFT_LOAD(a, from);
            SEPTET_FFT_LOAD(b, from + across);
            SEPTET_FFT_LOAD(c, from + 2 * across);
            SEPTET_FFT_LOAD(e, from + 3 * across);
            const V acr = hn::Add(ar, cr), aci = hn::Add(ai, ci);
            const V amr = hn::Sub(ar, cr), ami = hn::Sub(ai, ci);
            const V ber = hn::Add(br, er), bei = hn::Add(bi, ei);
            // -i (b - e)
            const V bmr = hn::Sub(bi, ei), bmi = hn::Sub(er, br);
            hn::StoreU(hn::Add(acr, ber), d, to + l);
            hn::StoreU(hn::Add(aci, bei), d, to + kLanes + l);
            StoreTimes<kLanes>(d, hn::Add(amr, bmr), hn::Add(ami, bmi), w1,
                               to + apart + l);
            StoreTimes<kLanes>(d, hn::Sub(acr, ber), hn::Sub(aci, bei), w2,
                               to + 2 * apart + l);
            StoreTimes<kLanes>(d, hn::Sub(amr, bmr), hn::Sub(ami, bmi), w3,
                               to + 3 * apart + l);
            break;
          }
          case 5: {
            SEPTET_FFT_LOAD(a, from);
            SEPTET_FFT_LOAD(b, from + across);
            SEPTET_FFT_LOAD(c, from + 2 * across);
            SEPTET_FFT_LOAD(e, from + 3 * across);
            SEPTET_FFT_LOAD(f, from + 4 * across);
            const V c1 = hn::Set(d, 0.30901699437494742410);
            const V c2 = hn::Set(d, -0.80901699437494742410);
            const V s1 = hn::Set(d, 0.95105651629515357212);
            const V s2 = hn::Set(d, 0.58778525229247312917);
            const V bfr = hn::Add(br, fr), bfi = hn::Add(bi, fi);
            const V cer = hn::Add(cr, er), cei = hn::Add(ci, ei);
            const V bmr = hn::Sub(br, fr), bmi = hn::Sub(bi, fi);
            const V cmr = hn::Sub(cr, er), cmi = hn::Sub(ci, ei);
            const V p1r = hn::MulAdd(c1, bfr, hn::MulAdd(c2, cer, ar));
            const V p1i = hn::MulAdd(c1, bfi, hn::MulAdd(c2, cei, ai));
            const V p2r = hn::MulAdd(c2, bfr, hn::MulAdd(c1, cer, ar));
            const V p2i = hn::MulAdd(c2, bfi, hn::MulAdd(c1, cei, ai));
            // -i times the sines' sums
            const V q1r = hn::MulAdd(s1, bmi, hn::Mul(s2, cmi));
            const V q1i = hn::Neg(hn::MulAdd(s1, bmr, hn::Mul(s2, cmr)));
            const V q2r = hn::MulSub(s2, bmi, hn::Mul(s1, cmi));
            const V q2i = hn::Neg(hn::MulSub(s2, bmr, hn::Mul(s1, cmr)));
            hn::StoreU(hn::Add(ar, hn::Add(bfr, cer)), d, to + l);
            hn::StoreU(hn::Add(ai, hn::Add(bfi, cei)), d, to + kLanes + l);
            StoreTimes<kLanes>(d, hn::Add(p1r, q1r), hn::Add(p1i, q1i), w1,
                               to + apart + l);
            StoreTimes<kLanes>(d, hn::Add(p2r, q2r), hn::Add(p2i, q2i), w2,
                               to + 2 * apart + l);
            StoreTimes<kLanes>(d, hn::Sub(p2r, q2r), hn::Sub(p2i, q2i), w3,
                               to + 3 * apart + l);
            StoreTimes<kLanes>(d, hn::Sub(p1r, q1r), hn::Sub(p1i, q1i), w4,
                               to + 4 * apart + l);
            break;
          }
          default:
            for (size_t k = 0; k < radix; ++k) {
              V sr = hn::LoadU(d, from + l);
              V si = hn::LoadU(d, from + kLanes + l);
              for (size_t j = 1; j < radix; ++j) {
                const double* w = roots + 2 * (j * k % radix) * (total / radix);
                const V wr = hn::Set(d, w[0]);
                const V wi = hn::Set(d, w[1]);
                SEPTET_FFT_LOAD(a, from + j * across);
                sr = hn::MulAdd(ar, wr, hn::NegMulAdd(ai, wi, sr));
                si = hn::MulAdd(ar, wi, hn::MulAdd(ai, wr, si));
              }
              StoreTimes<kLanes>(d, sr, si, roots + 2 * p * k * s,
                                 to + k * apart + l);
            }
        }
      }
    }
  }
}
#undef SEPTET_FFT_LOAD

// y[e] = x[e] factors[e]; with `swap` its parts exchanged.
template <size_t kLanes>
void Scale(size_t n, bool swap, const double* factors, const double* x,
           double* y) {
  const hn::CappedTag<double, kLanes> d;
  using V = hn::Vec<decltype(d)>;
  const size_t step = hn::Lanes(d);
  for (size_t e = 0; e < n; ++e) {
    const V wr = hn::Set(d, factors[2 * e]);
    const V wi = hn::Set(d, factors[2 * e + 1]);
    for (size_t l = 0; l < kLanes; l += step) {
      const V r = hn::LoadU(d, x + 2 * e * kLanes + l);
      const V i = hn::LoadU(d, x + (2 * e + 1) * kLanes + l);
      const V pr = hn::MulSub(r, wr, hn::Mul(i, wi));
      const V pi = hn::MulAdd(r, wi, hn::Mul(i, wr));
      double* to = y + 2 * e * kLanes + l;
      hn::StoreU(swap ? pi : pr, d, to);
      hn::StoreU(swap ? pr : pi, d, to + kLanes);
    }
  }
}

void Pass8(size_t radix, size_t n, size_t s, const double* roots,
           const double* x, double* y) {
  Pass<kFftLanes>(radix, n, s, roots, x, y);
}
void Pass1(size_t radix, size_t n, size_t s, const double* roots,
           const double* x, double* y) {
  Pass<1>(radix, n, s, roots, x, y);
}
void Scale8(size_t n, bool swap, const double* factors, const double* x,
            double* y) {
  Scale<kFftLanes>(n, swap, factors, x, y);
}
void Scale1(size_t n, bool swap, const double* factors, const double* x,
            double* y) {
  Scale<1>(n, swap, factors, x, y);
}

}  // namespace
// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace fft_internal
}  // namespace septet
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace septet {
namespace fft_internal {
namespace {

HWY_EXPORT(Pass8);
HWY_EXPORT(Pass1);
HWY_EXPORT(Scale8);
HWY_EXPORT(Scale1);

void RunPass(int64_t lanes, int64_t radix, int64_t n, int64_t s,
             const double* roots, const double* x, double* y) {
  if (lanes == 1) {
    HWY_DYNAMIC_DISPATCH(Pass1)
    (static_cast<size_t>(radix), static_cast<size_t>(n), static_cast<size_t>(s),
     roots, x, y);
  } else {
    HWY_DYNAMIC_DISPATCH(Pass8)
    (static_cast<size_t>(radix), static_cast<size_t>(n), static_cast<size_t>(s),
     roots, x, y);
  }
}

void RunScale(int64_t lanes, int64_t n, bool swap, const double* factors,
              const double* x, double* y) {
  if (lanes == 1) {
    HWY_DYNAMIC_DISPATCH(Scale1)
    (static_cast<size_t>(n), swap, factors, x, y);
  } else {
    HWY_DYNAMIC_DISPATCH(Scale8)
    (static_cast<size_t>(n), swap, factors, x, y);
  }
}

// Factors in the order of the passes; the rest is 1 unless a prime is too
// large.
int64_t Factorize(int64_t n, std::vector<int64_t>* radices) {
  for (const int64_t radix : {int64_t{4}, int64_t{2}, int64_t{3}, int64_t{5}}) {
    for (; n % radix == 0; n /= radix) radices->push_back(radix);
  }
  for (int64_t radix = 7; radix <= kLargestRadix; radix += 2) {
    for (; n % radix == 0; n /= radix) radices->push_back(radix);
  }
  return n;
}

// The least length of at least n without a factor but 2 and one 3.
int64_t EasyLength(int64_t n) {
  int64_t power = 1;
  while (power < n) power *= 2;
  return power / 4 * 3 >= n ? power / 4 * 3 : power;
}

}  // namespace

Root RootOfUnity(int64_t k, int64_t n) {
  k %= n;
  // An eighth of the circle is enough; 8 k fits, since n complex numbers do.
  const int64_t octant = 8 * k / n;
  const int64_t quarter = (octant + 1) / 2;  // the nearest axis
  // Angle to it, in units of a turn over 4 n.
  const long double angle = 2 * 3.14159265358979323846264338327950288L *
                            static_cast<long double>(4 * k - quarter * n) /
                            (4 * static_cast<long double>(n));
  const double c = static_cast<double>(std::cos(angle));
  const double s = static_cast<double>(std::sin(angle));
  switch (quarter % 4) {
    case 0:
      return {c, -s};
    case 1:
      return {-s, -c};
    case 2:
      return {-c, s};
    default:
      return {s, c};
  }
}

FftPlan::FftPlan(int64_t n) : n_(n) {
  SEPTET_CHECK_GE(n, 1);
  if (Factorize(n, &radices_) == 1) {
    roots_.resize(static_cast<size_t>(2 * n));
    for (int64_t k = 0; k < n; ++k) {
      const Root root = RootOfUnity(k, n);
      roots_[2 * k] = root.re;
      roots_[2 * k + 1] = root.im;
    }
    return;
  }
  radices_.clear();
  const int64_t length = EasyLength(2 * n - 1);
  inner_ = std::make_unique<FftPlan>(length);
  chirp_.resize(static_cast<size_t>(2 * n));
  spectrum_.assign(static_cast<size_t>(2 * length), 0.0);
  int64_t square = 0;  // j^2 modulo 2 n
  for (int64_t j = 0; j < n; ++j) {
    const Root root = RootOfUnity(square, 2 * n);
    chirp_[2 * j] = root.re;
    chirp_[2 * j + 1] = root.im;
    for (const int64_t at : {j, (length - j) % length}) {
      spectrum_[2 * at] = root.re / static_cast<double>(length);
      spectrum_[2 * at + 1] = -root.im / static_cast<double>(length);
    }
    square = (square + 2 * j + 1) % (2 * n);
  }
  std::vector<double> workspace(static_cast<size_t>(inner_->WorkspaceSize(1)));
  inner_->Forward(1, spectrum_.data(), workspace.data());
}

int64_t FftPlan::size() const {
  const size_t own = roots_.size() + chirp_.size() + spectrum_.size();
  return static_cast<int64_t>(own) / 2 +
         (inner_ == nullptr ? 0 : inner_->size());
}

int64_t FftPlan::WorkspaceSize(int64_t lanes) const {
  if (inner_ == nullptr) return 2 * n_ * lanes;
  return 2 * inner_->n() * lanes + inner_->WorkspaceSize(lanes);
}

void FftPlan::Stockham(int64_t lanes, double* data, double* workspace) const {
  double* from = data;
  double* to = workspace;
  int64_t n = n_, s = 1;
  for (const int64_t radix : radices_) {
    RunPass(lanes, radix, n, s, roots_.data(), from, to);
    std::swap(from, to);
    n /= radix;
    s *= radix;
  }
  if (from != data) std::copy_n(from, 2 * n_ * lanes, data);
}

void FftPlan::Forward(int64_t lanes, double* data, double* workspace) const {
  if (inner_ == nullptr) {
    Stockham(lanes, data, workspace);
    return;
  }
  // j k = (j^2 + k^2 - (j - k)^2) / 2: a convolution with the chirp.
  const int64_t length = inner_->n();
  double* padded = workspace;
  double* rest = workspace + 2 * length * lanes;
  RunScale(lanes, n_, false, chirp_.data(), data, padded);
  std::fill(padded + 2 * n_ * lanes, rest, 0.0);
  inner_->Forward(lanes, padded, rest);
  RunScale(lanes, length, true, spectrum_.data(), padded, padded);
  inner_->Forward(lanes, padded, rest);
  // The parts come back exchanged.
  for (int64_t e = 0; e < n_; ++e) {
    double* element = padded + 2 * e * lanes;
    std::swap_ranges(element, element + lanes, element + lanes);
  }
  RunScale(lanes, n_, false, chirp_.data(), padded, data);
}

namespace {

// Values made once and kept until there are too many numbers in them.
template <typename Key, typename Value>
class Cache {
 public:
  // make() is called without the lock; size(value) in complex numbers.
  template <typename Make, typename Size>
  std::shared_ptr<const Value> Get(const Key& key, const Make& make,
                                   const Size& size) {
    {
      absl::MutexLock lock(&mutex_);
      const auto found = values_.find(key);
      if (found != values_.end()) return found->second;
    }
    auto value = std::make_shared<const Value>(make());
    absl::MutexLock lock(&mutex_);
    if (held_ > kMostNumbers) {
      values_.clear();
      held_ = 0;
    }
    const auto [at, added] = values_.emplace(key, std::move(value));
    if (added) held_ += size(*at->second);
    return at->second;
  }

 private:
  absl::Mutex mutex_;
  std::map<Key, std::shared_ptr<const Value>> values_ ABSL_GUARDED_BY(mutex_);
  int64_t held_ ABSL_GUARDED_BY(mutex_) = 0;  // the sum of their sizes
};

}  // namespace

std::shared_ptr<const FftPlan> GetFftPlan(int64_t n) {
  static auto* const cache = new Cache<int64_t, FftPlan>();
  return cache->Get(
      n, [n] { return FftPlan(n); },
      [](const FftPlan& plan) { return plan.size(); });
}

std::shared_ptr<const std::vector<Root>> GetRoots(int64_t count, int64_t n) {
  static auto* const cache =
      new Cache<std::pair<int64_t, int64_t>, std::vector<Root>>();
  return cache->Get(
      {count, n},
      [count, n] {
        std::vector<Root> roots;
        roots.reserve(static_cast<size_t>(count));
        for (int64_t k = 0; k < count; ++k) roots.push_back(RootOfUnity(k, n));
        return roots;
      },
      [](const std::vector<Root>& roots) {
        return static_cast<int64_t>(roots.size());
      });
}

}  // namespace fft_internal
}  // namespace septet
#endif  // HWY_ONCE
