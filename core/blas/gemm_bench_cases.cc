// SPDX-License-Identifier: Apache-2.0
// Matrix products beside the peak of multiply-adds or, where a matrix meets one
// row, beside reading as many bytes.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/blas/gemm.h"
#include "septet/core/blas/packed_matrix.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

template <typename T>
constexpr const char* kType = std::is_same_v<T, float> ? "f32" : "f64";

// A copy of the numbers in memory such as tensors have.
template <typename T>
Tensor Stored(const std::vector<T>& values) {
  Tensor tensor =
      *Tensor::Empty(Shape({static_cast<int64_t>(values.size())}), kDTypeOf<T>);
  std::copy(values.begin(), values.end(), tensor.mutable_data<T>());
  return tensor;
}

// `count` products of one shape, of matrices one after the other.
template <typename T>
struct Operands {
  GemmShape shape;
  GemmBatch batch;
  Tensor a_memory, b_memory, c_memory;
  const T* a;
  const T* b;
  T* c;

  Operands(const GemmShape& s, int64_t count)
      : shape(s),
        batch{count, s.m * s.k, s.k * s.n, s.m * s.n},
        a_memory(Stored(BenchValues<T>(count * s.m * s.k))),
        b_memory(Stored(BenchValues<T>(count * s.k * s.n, -1, 1, 1000003))),
        c_memory(
            Stored(std::vector<T>(static_cast<size_t>(count * s.m * s.n)))),
        a(a_memory.data<T>()),
        b(b_memory.data<T>()),
        c(c_memory.mutable_data<T>()) {}
  int64_t lda() const { return shape.transpose_a ? shape.m : shape.k; }
  int64_t ldb() const { return shape.transpose_b ? shape.k : shape.n; }
};

// The result against the definition, some columns of each row.
template <typename T>
absl::Status Check(const Operands<T>& x) {
  const GemmShape& s = x.shape;
  std::vector<T> got, want;
  for (int64_t i = 0; i < x.batch.count * s.m; ++i) {
    const int64_t matrix = i / s.m;
    const int64_t row = i % s.m;
    const int64_t step = s.m * s.n > 4096 ? 37 : 1;
    for (int64_t j = i % step; j < s.n; j += step) {
      double sum = 0;
      const T* a = x.a + matrix * x.batch.stride_a;
      const T* b = x.b + matrix * x.batch.stride_b;
      for (int64_t l = 0; l < s.k; ++l) {
        sum += static_cast<double>(s.transpose_a ? a[l * s.m + row]
                                                 : a[row * s.k + l]) *
               static_cast<double>(s.transpose_b ? b[j * s.k + l]
                                                 : b[l * s.n + j]);
      }
      want.push_back(static_cast<T>(sum));
      got.push_back(x.c[i * s.n + j]);
    }
  }
  // k products of numbers below 1.
  const double k = static_cast<double>(s.k);
  return CheckClose<T>("C", got, want,
                       {std::numeric_limits<T>::epsilon() * k * k / 2, 0});
}

template <typename T>
absl::StatusOr<BenchKernel> Prepare(const GemmShape& shape, int64_t count) {
  auto x = std::make_shared<Operands<T>>(shape, count);
  const BenchKernel kernel = [x] {
    const absl::Status status =
        x->batch.count == 1
            ? Gemm(x->shape, x->a, x->lda(), x->b, x->ldb(), x->c, x->shape.n)
            : GemmBatched(x->shape, x->batch, x->a, x->lda(), x->b, x->ldb(),
                          x->c, x->shape.n);
    SEPTET_CHECK(status.ok()) << status.ToString();
  };
  kernel();
  SEPTET_RETURN_IF_ERROR(Check(*x));
  return kernel;
}

template <typename T>
absl::StatusOr<BenchKernel> PreparePacked(const GemmShape& shape) {
  auto x = std::make_shared<Operands<T>>(shape, 1);
  SEPTET_ASSIGN_OR_RETURN(const PackedMatrix<T> packed,
                          PackedMatrix<T>::Create(shape.k, shape.n, x->b,
                                                  x->ldb(), shape.transpose_b));
  const BenchKernel kernel = [x, packed] {
    const absl::Status status =
        packed.Multiply(x->shape.m, x->a, x->lda(), x->c, x->shape.n);
    SEPTET_CHECK(status.ok()) << status.ToString();
  };
  kernel();
  SEPTET_RETURN_IF_ERROR(Check(*x));
  return kernel;
}

std::string Extents(const GemmShape& s) {
  return absl::StrCat(s.m, "x", s.n, "x", s.k, s.transpose_a ? "/ta" : "",
                      s.transpose_b ? "/tb" : "");
}

double Flops(const GemmShape& s) {
  return 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) *
         static_cast<double>(s.k);
}

template <typename T>
void AddGemm(const GemmShape& s, double at_least, int threads = 1) {
  BenchCase c;
  c.name = absl::StrCat("gemm/", kType<T>, "/", Extents(s),
                        threads > 1 ? absl::StrCat("/threads:", threads) : "");
  c.threads = threads;
  c.limit = BenchLimit::Flops<T>(Flops(s));
  c.at_least = at_least;
  c.prepare = [s] { return Prepare<T>(s, 1); };
  RegisterBenchCase(std::move(c));
}

template <typename T>
void AddPacked(const GemmShape& s, double at_least) {
  BenchCase c;
  c.name = absl::StrCat("gemm_packed/", kType<T>, "/", Extents(s));
  c.limit = BenchLimit::Flops<T>(Flops(s));
  c.at_least = at_least;
  c.prepare = [s] { return PreparePacked<T>(s); };
  RegisterBenchCase(std::move(c));
}

template <typename T>
void AddBatched(const GemmShape& s, int64_t count) {
  BenchCase c;
  c.name = absl::StrCat("gemm_batched/", kType<T>, "/", count, "x", Extents(s));
  c.limit = BenchLimit::Flops<T>(Flops(s) * static_cast<double>(count));
  c.prepare = [s, count] { return Prepare<T>(s, count); };
  RegisterBenchCase(std::move(c));
}

// One row: the matrix is read once.
template <typename T>
void AddGemv(const GemmShape& s, double at_least) {
  BenchCase c;
  c.name = absl::StrCat("gemv/", kType<T>, "/", Extents(s));
  c.limit = BenchLimit::ReadBytes(static_cast<double>(s.k) *
                                  static_cast<double>(s.n) * sizeof(T));
  c.at_least = at_least;
  c.prepare = [s] { return Prepare<T>(s, 1); };
  RegisterBenchCase(std::move(c));
}

template <typename T>
void AddAll() {
  const bool f32 = std::is_same_v<T, float>;
  const double cube = f32 ? 0.9 : 0.8;
  AddGemm<T>({512, 512, 512}, cube);
  AddGemm<T>({512, 512, 512, false, true}, cube);
  AddGemm<T>({512, 512, 512, true, false}, cube);
  AddGemm<T>({512, 512, 512}, f32 ? 0.85 : 0, 2);
  for (const int64_t n : {16, 64, 128, 1024}) AddGemm<T>({n, n, n}, 0);
  for (const int64_t m : {2, 4, 8, 32}) {
    AddGemm<T>({m, 1024, 1024}, 0);
    AddGemm<T>({m, 1024, 1024, false, true}, 0);
  }
  AddPacked<T>({32, 1024, 1024}, f32 ? 0.8 : 0);
  AddPacked<T>({8, 1024, 1024}, 0);
  AddBatched<T>({64, 64, 64}, 32);
  AddBatched<T>({64, 64, 64, false, true}, 32);
  AddBatched<T>({8, 8, 8}, 1024);
  for (const bool transpose_b : {false, true}) {
    AddGemv<T>({1, 64, 64, false, transpose_b}, 0);
    AddGemv<T>({1, 1024, 1024, false, transpose_b}, 0.8);
    AddGemv<T>({1, 4096, 4096, false, transpose_b}, 0.8);
  }
}

const bool kRegistered = [] {
  AddAll<float>();
  AddAll<double>();
  return true;
}();

}  // namespace
}  // namespace septet
