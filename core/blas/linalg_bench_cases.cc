// SPDX-License-Identifier: Apache-2.0
// Transforms and decompositions beside the peak of multiply-adds, which none of
// them can be near to: transforms have few operations a byte, and half of a
// decomposition is products of a matrix and a vector.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/blas/eigh.h"
#include "septet/core/blas/fft.h"
#include "septet/core/blas/qr.h"
#include "septet/core/blas/solve.h"
#include "septet/core/blas/svd.h"
#include "septet/core/random/fill.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Real transforms of `count` fields [n, n].
template <typename T>
absl::StatusOr<BenchKernel> PrepareRealFft(int64_t count, int64_t n) {
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor x,
      Tensor::FromValues<T>({count, n, n}, BenchValues<T>(count * n * n)));
  SEPTET_ASSIGN_OR_RETURN(const Tensor y, RealFft(x, {1, 2}));
  // Some places of the last field by the definition.
  std::vector<T> got, want;
  const T* field = x.data<T>() + (count - 1) * n * n;
  for (int64_t k = 0; k < n; k += n / 4) {
    for (int64_t m = 0; m <= n / 2; m += n / 8) {
      double re = 0, im = 0;
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          const double angle = 2 * M_PI * static_cast<double>(k * i + m * j) /
                               static_cast<double>(n);
          re += field[i * n + j] * std::cos(angle);
          im -= field[i * n + j] * std::sin(angle);
        }
      }
      const T* at = y.data<T>() + (((count - 1) * n + k) * (n / 2 + 1) + m) * 2;
      got.insert(got.end(), {at[0], at[1]});
      want.insert(want.end(), {static_cast<T>(re), static_cast<T>(im)});
    }
  }
  const double size = static_cast<double>(n);
  SEPTET_RETURN_IF_ERROR(CheckClose<T>(
      "y", got, want, {sizeof(T) == 4 ? 1e-6 * size : 1e-13 * size, 1e-6}));
  return BenchKernel([x] { SEPTET_CHECK(RealFft(x, {1, 2}).ok()); });
}

template <typename T>
absl::StatusOr<BenchKernel> PrepareEigh(int64_t n) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor a,
                          Tensor::FromValues<T>({n, n}, BenchValues<T>(n * n)));
  SEPTET_ASSIGN_OR_RETURN(const EighResult e, Eigh(a));
  // A v = w v for some pairs.
  std::vector<T> got, want;
  const T* v = e.vectors.data<T>();
  for (int64_t k = 0; k < n; k += n / 8) {
    for (int64_t i = 0; i < n; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < n; ++j) {
        // The lower triangle is read.
        const T element =
            j <= i ? a.data<T>()[i * n + j] : a.data<T>()[j * n + i];
        sum += static_cast<double>(element) * static_cast<double>(v[j * n + k]);
      }
      got.push_back(static_cast<T>(sum));
      want.push_back(e.values.data<T>()[k] * v[i * n + k]);
    }
  }
  // Some eps of the norm, which is about n.
  SEPTET_RETURN_IF_ERROR(CheckClose<T>(
      "A v", got, want,
      {static_cast<double>(n) * (sizeof(T) == 4 ? 1e-5 : 1e-14), 0}));
  return BenchKernel([a] { SEPTET_CHECK(Eigh(a).ok()); });
}

// The product of two matrices at some places, against `want` [m, n].
template <typename T>
absl::Status CheckProduct(const Tensor& a, const Tensor& b, const Tensor& want,
                          double tolerance) {
  const int64_t m = a.dim(0), k = a.dim(1), n = b.dim(1);
  std::vector<T> got, expected;
  for (int64_t i = 0; i < m; i += 7) {
    for (int64_t j = i % 5; j < n; j += 5) {
      double sum = 0;
      for (int64_t l = 0; l < k; ++l) {
        sum += static_cast<double>(a.data<T>()[i * k + l]) *
               static_cast<double>(b.data<T>()[l * n + j]);
      }
      got.push_back(static_cast<T>(sum));
      expected.push_back(want.data<T>()[i * n + j]);
    }
  }
  return CheckClose<T>("product", got, expected, {tolerance, 0});
}

// Numbers without order, with a heavy diagonal: of a good condition.
template <typename T>
absl::StatusOr<Tensor> Matrix(int64_t m, int64_t n) {
  std::vector<T> values(static_cast<size_t>(m * n));
  PhiloxFillUniform({3, 4}, 0, -1, 1, absl::MakeSpan(values));
  for (int64_t i = 0; i < std::min(m, n); ++i) {
    values[static_cast<size_t>(i * n + i)] += static_cast<T>(n);
  }
  return Tensor::FromValues<T>({m, n}, values);
}

template <typename T>
constexpr double kTolerance = sizeof(T) == 4 ? 2e-3 : 4e-12;

template <typename T>
absl::StatusOr<BenchKernel> PrepareSvd(int64_t n) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor a, Matrix<T>(n, n));
  SEPTET_ASSIGN_OR_RETURN(const SvdResult f, Svd(a));
  SEPTET_ASSIGN_OR_RETURN(Tensor us, f.u.Clone());
  for (int64_t i = 0; i < n * n; ++i) {
    us.mutable_data<T>()[i] *= f.s.data<T>()[i % n];
  }
  SEPTET_RETURN_IF_ERROR(CheckProduct<T>(us, f.vt, a, kTolerance<T>));
  return BenchKernel([a] { SEPTET_CHECK(Svd(a).ok()); });
}

template <typename T>
absl::StatusOr<BenchKernel> PrepareQr(int64_t n) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor a, Matrix<T>(n, n));
  SEPTET_ASSIGN_OR_RETURN(const QrResult f, Qr(a));
  SEPTET_RETURN_IF_ERROR(CheckProduct<T>(f.q, f.r, a, kTolerance<T>));
  return BenchKernel([a] { SEPTET_CHECK(Qr(a).ok()); });
}

template <typename T>
absl::StatusOr<BenchKernel> PrepareSolve(int64_t n) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor a, Matrix<T>(n, n));
  SEPTET_ASSIGN_OR_RETURN(const Tensor b, Matrix<T>(n, 16));
  SEPTET_ASSIGN_OR_RETURN(const Tensor x, Solve(a, b));
  SEPTET_RETURN_IF_ERROR(CheckProduct<T>(a, x, b, kTolerance<T>));
  return BenchKernel([a, b] { SEPTET_CHECK(Solve(a, b).ok()); });
}

template <typename T>
void Register() {
  const auto type = DTypeName(kDTypeOf<T>);
  BenchCase fft;
  fft.name = absl::StrCat("real_fft/", type, "/64x64x64");
  // 2.5 n^2 log2(n^2) a field, in f64 whatever the type.
  fft.limit = BenchLimit::F64Flops(64 * 2.5 * 4096 * 12);
  fft.elements = 64 * 4096;
  fft.prepare = [] { return PrepareRealFft<T>(64, 64); };
  RegisterBenchCase(std::move(fft));
  BenchCase eigh;
  eigh.name = absl::StrCat("eigh/", type, "/512x512");
  // Reduction 4/3 n^3, and at least as much for each way back.
  eigh.limit = BenchLimit::Flops<T>(4.0 * 512 * 512 * 512);
  eigh.prepare = [] { return PrepareEigh<T>(512); };
  RegisterBenchCase(std::move(eigh));
  const auto decomposition = [type](const char* name, double flops,
                                    auto prepare) {
    BenchCase c;
    c.name = absl::StrCat(name, "/", type, "/512x512");
    c.limit = BenchLimit::Flops<T>(flops);
    c.prepare = [prepare] { return prepare(512); };
    RegisterBenchCase(std::move(c));
  };
  constexpr double kCube = 512.0 * 512 * 512;
  // Reduction to two diagonals 8/3 n^3, and as much for each way back.
  decomposition("svd", 8.0 * kCube, &PrepareSvd<T>);
  // Factors 4/3 n^3, and Q as much.
  decomposition("qr", 8.0 / 3 * kCube, &PrepareQr<T>);
  decomposition("solve", 2.0 / 3 * kCube, &PrepareSolve<T>);
}

[[maybe_unused]] const bool kRegistered = [] {
  Register<float>();
  Register<double>();
  return true;
}();

}  // namespace
}  // namespace septet
