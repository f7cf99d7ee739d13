// SPDX-License-Identifier: Apache-2.0
// Batch normalisation out of cache, beside the copy of the same bytes: training
// must read x twice (the statistics are known after the first pass), and
// backward x and dy.
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/ops/batch_norm.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Twice the last-level caches we know, in each of input and output.
constexpr int64_t kBytes = int64_t{64} << 20;

enum class Form { kTraining, kBackward, kEvaluation };

// x, dy [rows, c] and parameters [c].
struct Arrays {
  Tensor x, dy, scale, bias, mean, variance;
};

template <typename T>
absl::StatusOr<Arrays> MakeArrays(int64_t rows, int64_t c) {
  Arrays a;
  const Shape matrix({rows, c}), vector({c});
  SEPTET_ASSIGN_OR_RETURN(
      a.x, Tensor::FromValues<T>(matrix, BenchValues<T>(rows * c, -4, 4)));
  SEPTET_ASSIGN_OR_RETURN(
      a.dy, Tensor::FromValues<T>(matrix, BenchValues<T>(rows * c, -1, 1, 17)));
  SEPTET_ASSIGN_OR_RETURN(
      a.scale, Tensor::FromValues<T>(vector, BenchValues<T>(c, 0.5, 2)));
  SEPTET_ASSIGN_OR_RETURN(
      a.bias, Tensor::FromValues<T>(vector, BenchValues<T>(c, -1, 1, 5)));
  SEPTET_ASSIGN_OR_RETURN(
      a.mean, Tensor::FromValues<T>(vector, BenchValues<T>(c, -1, 1, 6)));
  SEPTET_ASSIGN_OR_RETURN(
      a.variance, Tensor::FromValues<T>(vector, BenchValues<T>(c, 0.5, 2, 7)));
  return a;
}

// Column `j` of y against its definition, and of dx where it is given.
template <typename T>
absl::Status CheckColumn(const Arrays& a, Form form, int64_t j, const Tensor& y,
                         const Tensor* dx) {
  const int64_t rows = a.x.dim(0), c = a.x.dim(1);
  const auto at = [&](const Tensor& t, int64_t r) {
    return static_cast<double>(t.data<T>()[r * c + j]);
  };
  double mean = a.mean.data<T>()[j], variance = a.variance.data<T>()[j];
  const double count = static_cast<double>(rows);
  if (form != Form::kEvaluation) {
    mean = variance = 0;
    for (int64_t r = 0; r < rows; ++r) mean += at(a.x, r) / count;
    for (int64_t r = 0; r < rows; ++r) {
      variance += (at(a.x, r) - mean) * (at(a.x, r) - mean) / count;
    }
  }
  const double rstd = 1 / std::sqrt(variance + 1e-5);
  const double scale = a.scale.data<T>()[j], bias = a.bias.data<T>()[j];
  double sum_g = 0, sum_gu = 0;
  for (int64_t r = 0; r < rows; ++r) {
    sum_g += at(a.dy, r) / count;
    sum_gu += at(a.dy, r) * (at(a.x, r) - mean) * rstd / count;
  }
  std::vector<T> got, want;
  for (int64_t r = 0; r < rows; r += 101) {
    const double u = (at(a.x, r) - mean) * rstd;
    got.push_back(y.data<T>()[r * c + j]);
    want.push_back(static_cast<T>(u * scale + bias));
    if (dx == nullptr) continue;
    got.push_back(dx->data<T>()[r * c + j]);
    want.push_back(
        static_cast<T>(scale * rstd * (at(a.dy, r) - sum_g - u * sum_gu)));
  }
  // Some roundings of numbers up to 10.
  return CheckClose<T>("column", got, want, {sizeof(T) == 4 ? 2e-5 : 2e-13, 0});
}

template <typename T>
absl::StatusOr<BenchKernel> Prepare(Form form, int64_t rows, int64_t c) {
  SEPTET_ASSIGN_OR_RETURN(const Arrays made, MakeArrays<T>(rows, c));
  auto a = std::make_shared<Arrays>(made);
  const auto forward = [a, form](const Var& x) {
    return form == Form::kEvaluation
               ? BatchNormEvaluation(x, a->scale, a->bias, a->mean, a->variance,
                                     1e-5)
               : BatchNormTraining(x, a->scale, a->bias, 1e-5).y;
  };
  if (form != Form::kBackward) {
    const Var y = forward(a->x);
    SEPTET_RETURN_IF_ERROR(y.status());
    for (const int64_t j : {int64_t{0}, c / 2, c - 1}) {
      SEPTET_RETURN_IF_ERROR(CheckColumn<T>(*a, form, j, y.tensor(), nullptr));
    }
    return BenchKernel([a, forward] { SEPTET_CHECK(forward(a->x).ok()); });
  }
  // Backward alone: the tape is kept, and walked again each time.
  auto tape = std::make_shared<Tape>();
  const Var x = tape->Watch(a->x);
  const Var y = forward(x);
  SEPTET_RETURN_IF_ERROR(y.status());
  const auto backward = [tape, x, y, a] {
    return tape->GradVars({y}, {a->dy}, {x}, /*create_graph=*/false);
  };
  SEPTET_ASSIGN_OR_RETURN(const std::vector<Var> grads, backward());
  for (const int64_t j : {int64_t{0}, c / 2, c - 1}) {
    SEPTET_RETURN_IF_ERROR(
        CheckColumn<T>(*a, form, j, y.tensor(), &grads[0].tensor()));
  }
  return BenchKernel([backward] { SEPTET_CHECK(backward().ok()); });
}

template <typename T>
void Register(int64_t c) {
  const int64_t rows = kBytes / static_cast<int64_t>(sizeof(T)) / c;
  const double bytes = static_cast<double>(kBytes);
  const auto add = [&](const char* group, Form form, double passes) {
    BenchCase bench_case;
    bench_case.name =
        absl::StrCat(group, "/", DTypeName(kDTypeOf<T>), "/", rows, "x", c);
    bench_case.limit = BenchLimit::CopiedBytes(passes * bytes);
    bench_case.elements = static_cast<double>(rows * c);
    bench_case.prepare = [form, rows, c] { return Prepare<T>(form, rows, c); };
    RegisterBenchCase(std::move(bench_case));
  };
  add("batch_norm", Form::kTraining, 3);
  add("batch_norm_grad", Form::kBackward, 5);
  add("batch_norm_evaluation", Form::kEvaluation, 2);
}

[[maybe_unused]] const bool kRegistered = [] {
  for (const int64_t c : {3, 64, 512}) Register<float>(c);
  Register<double>(64);
  return true;
}();

}  // namespace
}  // namespace septet
