// SPDX-License-Identifier: Apache-2.0
#include "septet/core/blas/eigs.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/blas/eigh.h"
#include "septet/core/blas/gemm.h"
#include "septet/core/blas/linalg_impl.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

absl::Status OutOfRange(const char* name, double value, const char* expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("eigs: ", name, " is ", value, ", expected ", expected));
}

// What Eigh takes.
constexpr int64_t kMaxBasis = 32766;

// Squares that leave the range of double are scaled first.
double Norm(int64_t n, const double* v) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += v[i] * v[i];
  if (sum > 1e-270 && sum < 1e300) return std::sqrt(sum);
  double largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(v[i]));
  if (largest == 0) return 0;
  sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += (v[i] / largest) * (v[i] / largest);
  return largest * std::sqrt(sum);
}

// The state of one run. Vectors are rows, [vectors, n].
class Lanczos {
 public:
  Lanczos(int64_t n, LinearOperator apply, const EigsOptions& options,
          RandomStream random)
      : n_(n),
        apply_(apply),
        options_(options),
        random_(random),
        block_(std::min(options.block, n)) {
    const int64_t k = options.k;
    capacity_ = options.max_basis > 0 ? options.max_basis
                                      : std::max(2 * k, k + 24) + 2 * block_;
    capacity_ = std::min({n, capacity_, kMaxBasis});
  }

  absl::StatusOr<EigsResult> Run() {
    SEPTET_ASSIGN_OR_RETURN(const Shape shape,
                            Shape::Create({2, capacity_, n_}), _ << "eigs");
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor vectors, Tensor::Empty(shape, DType::kF64),
        _ << "eigs: the bases of " << capacity_ << " vectors");
    basis_ = vectors.mutable_data<double>();
    images_ = basis_ + capacity_ * n_;
    projected_.resize(static_cast<size_t>(capacity_ * capacity_));
    next_.resize(static_cast<size_t>(block_ * n_));
    pending_ = block_;
    for (int64_t i = 0; i < block_; ++i) RandomRow(&next_[i * n_]);
    SEPTET_RETURN_IF_ERROR(Orthonormalize());
    while (true) {
      SEPTET_RETURN_IF_ERROR(Expand());
      const bool full = count_ + pending_ > capacity_ || pending_ == 0;
      const bool looks =
          count_ >= options_.k &&
          count_ - looked_at_ >= std::max(block_, (capacity_ - kept_) / 3);
      const bool last = calls_ >= options_.max_calls;
      if (!full && !looks && !last) continue;
      SEPTET_RETURN_IF_ERROR(RayleighRitz());
      if (converged_ == options_.k) return Result();
      // Nor does the whole space converge where rounding does not allow it.
      if (last || count_ == n_) return NotConverged();
      if (full) {
        SEPTET_RETURN_IF_ERROR(Restart());
      }
    }
  }

 private:
  void RandomRow(double* row) {
    for (int64_t i = 0; i < n_; ++i) row[i] = random_.Unit(drawn_++) - 0.5;
  }

  // next_ -= (next_ basis^T) basis.
  absl::Status Project() {
    if (count_ == 0) return absl::OkStatus();
    coefficients_.resize(static_cast<size_t>(block_ * capacity_));
    SEPTET_RETURN_IF_ERROR(Gemm({pending_, count_, n_, false, true},
                                next_.data(), n_, basis_, n_,
                                coefficients_.data(), count_));
    return Gemm({pending_, n_, count_}, coefficients_.data(), count_, basis_,
                n_, next_.data(), n_, {-1.0, 1.0});
  }

  // Makes the rows of next_ orthonormal, to the basis too. A row that depends
  // on the others is replaced by a random one: the Krylov space is exhausted
  // there, and repeated eigenvalues may wait elsewhere. Fewer rows remain where
  // the whole space is.
  absl::Status Orthonormalize() {
    pending_ = std::min(block_, n_ - count_);
    if (pending_ == 0) return absl::OkStatus();
    // Rounding leaves of a projection eps times what was there: a row that lost
    // most of its length is cleaned by a second pass, and a third for rows that
    // were replaced in the second.
    int64_t clean_passes = 0;
    for (int pass = 0; clean_passes < 2; ++pass) {
      std::vector<double> before(static_cast<size_t>(pending_));
      for (int64_t i = 0; i < pending_; ++i) {
        before[i] = Norm(n_, &next_[i * n_]);
      }
      SEPTET_RETURN_IF_ERROR(Project());
      bool replaced = false;
      for (int64_t i = 0; i < pending_; ++i) {
        double* row = &next_[i * n_];
        for (int64_t j = 0; j < i; ++j) {
          const double* other = &next_[j * n_];
          const double dot = std::inner_product(row, row + n_, other, 0.0);
          for (int64_t t = 0; t < n_; ++t) row[t] -= dot * other[t];
        }
        const double norm = Norm(n_, row);
        if (norm > 1e-10 * before[i]) {
          for (int64_t t = 0; t < n_; ++t) row[t] /= norm;
          continue;
        }
        replaced = true;
        RandomRow(row);
        const double length = Norm(n_, row);
        for (int64_t t = 0; t < n_; ++t) row[t] /= length;
      }
      clean_passes = replaced ? 0 : clean_passes + 1;
      if (pass > 20) {
        return absl::InternalError(
            "eigs: could not find vectors orthogonal to the basis");
      }
    }
    return absl::OkStatus();
  }

  // images = A next_, both appended to the basis; the next block from them.
  absl::Status Expand() {
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor block,
        Tensor::FromValues<double>(
            Shape({pending_, n_}),
            absl::MakeConstSpan(next_.data(),
                                static_cast<size_t>(pending_ * n_))));
    SEPTET_ASSIGN_OR_RETURN(const Tensor x, block.To(options_.dtype));
    SEPTET_ASSIGN_OR_RETURN(const Tensor raw, apply_(x), _ << "eigs: operator");
    ++calls_;
    if (!raw.defined() || raw.shape() != x.shape() ||
        raw.dtype() != x.dtype()) {
      return absl::InvalidArgumentError(
          absl::StrCat("eigs: the operator returned ",
                       raw.defined() ? raw.DebugString() : "no tensor",
                       ", expected ", x.DebugString()));
    }
    SEPTET_ASSIGN_OR_RETURN(
        const linalg_internal::Matrices checked,
        linalg_internal::ToMatrices("eigs", "the operator's result", raw));
    SEPTET_RETURN_IF_ERROR(linalg_internal::RequireFinite(
        "eigs", "the operator's result", checked));
    SEPTET_ASSIGN_OR_RETURN(const Tensor y, checked.data.To(DType::kF64));
    double* image = &images_[count_ * n_];
    std::copy_n(next_.data(), pending_ * n_, &basis_[count_ * n_]);
    std::copy_n(y.data<double>(), pending_ * n_, image);
    const int64_t grown = count_ + pending_;
    // The new rows and columns of basis A basis^T.
    std::vector<double> products(static_cast<size_t>(grown * pending_));
    SEPTET_RETURN_IF_ERROR(Gemm({grown, pending_, n_, false, true}, basis_, n_,
                                image, n_, products.data(), pending_));
    SEPTET_RETURN_IF_ERROR(CheckSymmetry(products));
    for (int64_t i = 0; i < grown; ++i) {
      for (int64_t j = 0; j < pending_; ++j) {
        const int64_t column = count_ + j;
        double value = products[i * pending_ + j];
        if (i >= count_) {
          value = 0.5 * (value + products[column * pending_ + i - count_]);
        }
        projected_[i * capacity_ + column] = value;
        projected_[column * capacity_ + i] = value;
      }
    }
    std::copy_n(image, pending_ * n_, next_.data());
    count_ = grown;
    return Orthonormalize();
  }

  // Within the new block both v^T A w and w^T A v are at hand.
  absl::Status CheckSymmetry(const std::vector<double>& products) {
    double largest = 0, asymmetry = 0;
    for (int64_t i = 0; i < pending_; ++i) {
      for (int64_t j = 0; j < pending_; ++j) {
        const double a = products[(count_ + i) * pending_ + j];
        const double b = products[(count_ + j) * pending_ + i];
        largest = std::max(largest, std::abs(a));
        asymmetry = std::max(asymmetry, std::abs(a - b));
      }
    }
    // Of all images, so that a block within a null space is not measured by
    // its own rounding.
    for (int64_t i = 0; i < pending_; ++i) {
      largest = std::max(largest, Norm(n_, &images_[(count_ + i) * n_]));
    }
    scale_ = std::max(scale_, largest);
    const double allowed = options_.dtype == DType::kF32 ? 1e-4 : 1e-8;
    if (asymmetry <= allowed * scale_) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(
        "eigs: the operator is not symmetric: v^T A w and w^T A v differ by ",
        asymmetry, " for unit vectors, expected at most ", allowed * scale_));
  }

  // The wanted pairs within the basis, their images and residuals.
  absl::Status RayleighRitz() {
    looked_at_ = count_;
    const int64_t m = count_;
    std::vector<double> compact(static_cast<size_t>(m * m));
    for (int64_t i = 0; i < m; ++i) {
      std::copy_n(&projected_[i * capacity_], m, &compact[i * m]);
    }
    SEPTET_ASSIGN_OR_RETURN(const Tensor h,
                            Tensor::FromValues<double>(Shape({m, m}), compact));
    SEPTET_ASSIGN_OR_RETURN(const EighResult pairs, Eigh(h), _ << "eigs");
    const double* w = pairs.values.data<double>();
    std::vector<int64_t> order(static_cast<size_t>(m));
    std::iota(order.begin(), order.end(), 0);
    switch (options_.which) {
      case EigsWhich::kSmallest:
        break;
      case EigsWhich::kLargest:
        std::reverse(order.begin(), order.end());
        break;
      case EigsWhich::kLargestMagnitude:
        std::stable_sort(order.begin(), order.end(), [w](int64_t a, int64_t b) {
          return std::abs(w[a]) > std::abs(w[b]);
        });
        break;
    }
    values_.resize(static_cast<size_t>(m));
    rotation_.resize(static_cast<size_t>(m * m));
    const double* z = pairs.vectors.data<double>();
    for (int64_t r = 0; r < m; ++r) {
      values_[r] = w[order[r]];
      for (int64_t i = 0; i < m; ++i)
        rotation_[r * m + i] = z[i * m + order[r]];
    }
    const int64_t k = std::min(options_.k, m);
    std::vector<double> images(static_cast<size_t>(k * n_));
    vectors_.resize(static_cast<size_t>(k * n_));
    SEPTET_RETURN_IF_ERROR(Rotate(k, basis_, &vectors_));
    SEPTET_RETURN_IF_ERROR(Rotate(k, images_, &images));
    const double largest = std::max(std::abs(w[0]), std::abs(w[m - 1]));
    residuals_.assign(static_cast<size_t>(k), 0.0);
    converged_ = 0;
    for (int64_t r = 0; r < k; ++r) {
      double* image = &images[r * n_];
      for (int64_t i = 0; i < n_; ++i) {
        image[i] -= values_[r] * vectors_[r * n_ + i];
      }
      residuals_[r] = Norm(n_, image);
      if (residuals_[r] <= options_.tolerance * largest) ++converged_;
    }
    return absl::OkStatus();
  }

  // The first `rows` pairs: rotation rows times the basis or its images.
  absl::Status Rotate(int64_t rows, const double* from,
                      std::vector<double>* to) {
    return Gemm({rows, n_, count_}, rotation_.data(), count_, from, n_,
                to->data(), n_);
  }

  // The best pairs begin the next basis; next_ is orthogonal to them already.
  absl::Status Restart() {
    const int64_t k = std::min(options_.k, count_);
    kept_ = std::min(count_ - block_,
                     k + std::max<int64_t>(block_, (count_ - k) / 3));
    // Room for a block at least.
    kept_ = std::max(
        k, std::min(kept_, capacity_ - std::max<int64_t>(pending_, 1)));
    for (double* rows : {basis_, images_}) {
      std::vector<double> rotated(static_cast<size_t>(kept_ * n_));
      SEPTET_RETURN_IF_ERROR(Rotate(kept_, rows, &rotated));
      std::copy(rotated.begin(), rotated.end(), rows);
    }
    count_ = kept_;
    looked_at_ = kept_;
    for (int64_t i = 0; i < kept_; ++i) {
      for (int64_t j = 0; j < kept_; ++j) {
        projected_[i * capacity_ + j] = i == j ? values_[i] : 0.0;
      }
    }
    if (pending_ > capacity_ - count_) pending_ = capacity_ - count_;
    return absl::OkStatus();
  }

  absl::StatusOr<EigsResult> Result() {
    const int64_t k = options_.k;
    for (int64_t r = 0; r < k; ++r) {
      double* v = &vectors_[r * n_];
      const double norm = Norm(n_, v);
      for (int64_t i = 0; i < n_; ++i) v[i] /= norm;
      if (linalg_internal::HasWrongSign(n_, v, 1)) {
        linalg_internal::Negate(n_, v, 1);
      }
    }
    values_.resize(static_cast<size_t>(k));
    std::vector<double> columns(static_cast<size_t>(k * n_));
    linalg_internal::Transpose(k, n_, vectors_.data(), columns.data());
    EigsResult result;
    SEPTET_ASSIGN_OR_RETURN(const Tensor values,
                            Tensor::FromValues<double>(Shape({k}), values_));
    SEPTET_ASSIGN_OR_RETURN(const Tensor vectors, Tensor::FromValues<double>(
                                                      Shape({n_, k}), columns));
    SEPTET_ASSIGN_OR_RETURN(result.values, values.To(options_.dtype));
    SEPTET_ASSIGN_OR_RETURN(result.vectors, vectors.To(options_.dtype));
    SEPTET_ASSIGN_OR_RETURN(result.residuals,
                            Tensor::FromValues<double>(Shape({k}), residuals_));
    result.calls = calls_;
    return result;
  }

  absl::Status NotConverged() const {
    const double largest =
        values_.empty()
            ? 0.0
            : std::abs(*std::max_element(values_.begin(), values_.end(),
                                         [](double a, double b) {
                                           return std::abs(a) < std::abs(b);
                                         }));
    return absl::DeadlineExceededError(absl::StrCat(
        "eigs: ", converged_, " of ", options_.k, " pairs converged within ",
        calls_, " calls of the operator; residuals ",
        absl::StrJoin(residuals_, ", "), ", expected at most ",
        options_.tolerance * largest));
  }

  const int64_t n_;
  const LinearOperator apply_;
  const EigsOptions& options_;
  const RandomStream random_;
  const int64_t block_;
  int64_t capacity_ = 0;
  int64_t count_ = 0;      // vectors of the basis
  int64_t pending_ = 0;    // rows of next_
  int64_t kept_ = 0;       // of the last restart
  int64_t looked_at_ = 0;  // count_ at the last Rayleigh-Ritz
  int64_t calls_ = 0;
  uint64_t drawn_ = 0;
  double scale_ = 0;
  double* basis_ = nullptr;  // [capacity, n], while Run does
  double* images_ = nullptr;
  std::vector<double> projected_;  // [capacity, capacity]
  std::vector<double> next_;       // [block, n]
  std::vector<double> coefficients_;
  // Of the last Rayleigh-Ritz, in the order asked for.
  std::vector<double> values_, rotation_;
  std::vector<double> vectors_;  // [k, n]
  std::vector<double> residuals_;
  int64_t converged_ = 0;
};

}  // namespace

absl::Status EigsOptions::Validate(int64_t n) const {
  if (n < 1) return OutOfRange("n", static_cast<double>(n), ">= 1");
  if (n > std::numeric_limits<int32_t>::max()) {
    return absl::InvalidArgumentError(
        absl::StrCat("eigs: n is ", n, ", expected at most 2^31 - 1"));
  }
  if (k < 1 || k > n) {
    return absl::InvalidArgumentError(
        absl::StrCat("eigs: k is ", k, ", expected 1 <= k <= ", n));
  }
  if (!(tolerance > 0 && tolerance < 1)) {
    return OutOfRange("tolerance", tolerance, "a number in (0, 1)");
  }
  if (max_calls < 1) {
    return OutOfRange("max_calls", static_cast<double>(max_calls), ">= 1");
  }
  if (block < 1) {
    return OutOfRange("block", static_cast<double>(block), ">= 1");
  }
  if (const int64_t least = std::min(n, k + 2 * std::min(block, n));
      least > kMaxBasis) {
    return absl::InvalidArgumentError(absl::StrCat(
        "eigs: k is ", k, " and block ", block, ", expected k and two blocks ",
        "to be at most ", kMaxBasis, ", the rows that Eigh takes"));
  }
  if (max_basis < 0 ||
      (max_basis > 0 && max_basis < std::min(n, k + 2 * std::min(block, n)))) {
    return absl::InvalidArgumentError(absl::StrCat(
        "eigs: max_basis is ", max_basis, ", expected 0 or at least ",
        std::min(n, k + 2 * std::min(block, n)), " (k and two blocks)"));
  }
  if (dtype != DType::kF32 && dtype != DType::kF64) {
    return absl::InvalidArgumentError(absl::StrCat(
        "eigs: dtype is ", DTypeName(dtype), ", expected f32 or f64"));
  }
  return absl::OkStatus();
}

absl::StatusOr<EigsResult> Eigs(int64_t n, LinearOperator apply,
                                const EigsOptions& options) {
  SEPTET_RETURN_IF_ERROR(options.Validate(n));
  SEPTET_ASSIGN_OR_RETURN(const RandomStream random,
                          RandomStream::Create(options.seed, "eigs"));
  return Lanczos(n, apply, options, random).Run();
}

}  // namespace septet
