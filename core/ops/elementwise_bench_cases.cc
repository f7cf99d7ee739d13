// SPDX-License-Identifier: Apache-2.0
// Elementary functions in the first-level cache, which are what limits of other
// kernels are made of, and dot products.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/ops/elementwise_kernels.h"
#include "septet/core/ops/reduce_kernels.h"

namespace septet {
namespace {

template <typename T>
constexpr const char* kType = sizeof(T) == 4 ? "f32" : "f64";
template <typename T>
constexpr double kEpsilon = sizeof(T) == 4 ? 0x1p-23 : 0x1p-52;

struct Function {
  const char* name;
  UnaryKind kind;
  double (*reference)(double);
};

constexpr int64_t kInCache = 1024;
constexpr int64_t kOutOfCache = 1 << 24;

template <typename T>
absl::StatusOr<BenchKernel> PrepareFunction(const Function& function) {
  struct Data {
    std::vector<T> x = BenchValues<T>(kInCache, 0.1, 4);
    std::vector<T> y = std::vector<T>(kInCache);
  };
  auto data = std::make_shared<Data>();
  const UnaryKind kind = function.kind;
  BenchKernel kernel = [data, kind] {
    UnaryKernel(kind, kInCache, data->x.data(), data->y.data());
  };
  kernel();
  std::vector<T> want;
  for (const T x : data->x) {
    want.push_back(static_cast<T>(function.reference(static_cast<double>(x))));
  }
  const double relative =
      (kind == UnaryKind::kErfc ? kErfcMaxUlpUnfused : kUnaryMaxUlp) + 1;
  SEPTET_RETURN_IF_ERROR(
      CheckClose<T>("y", data->y, want, {0, relative * kEpsilon<T>}));
  return kernel;
}

template <typename T>
absl::StatusOr<BenchKernel> PrepareDot() {
  struct Data {
    std::vector<T> a = BenchValues<T>(kOutOfCache);
    std::vector<T> b = BenchValues<T>(kOutOfCache, -1, 1, /*start=*/7);
    T result = 0;
  };
  auto data = std::make_shared<Data>();
  BenchKernel kernel = [data] {
    data->result = DotKernel(kOutOfCache, data->a.data(), data->b.data());
  };
  kernel();
  // The kernel's sum is pairwise: a plain one needs more digits than it.
  long double want = 0, size = 0;
  for (size_t i = 0; i < data->a.size(); ++i) {
    const long double product =
        static_cast<long double>(data->a[i]) * data->b[i];
    want += product;
    size += std::abs(product);
  }
  SEPTET_RETURN_IF_ERROR(CheckClose<double>(
      "dot", {static_cast<double>(data->result)}, {static_cast<double>(want)},
      {30 * kEpsilon<T> * static_cast<double>(size), 0}));
  return kernel;
}

template <typename T>
bool RegisterAll() {
  const Function kFunctions[] = {
      {"exp", UnaryKind::kExp, [](double x) { return std::exp(x); }},
      {"expm1", UnaryKind::kExpm1, [](double x) { return std::expm1(x); }},
      {"log", UnaryKind::kLog, [](double x) { return std::log(x); }},
      {"log1p", UnaryKind::kLog1p, [](double x) { return std::log1p(x); }},
      {"sin", UnaryKind::kSin, [](double x) { return std::sin(x); }},
      {"cos", UnaryKind::kCos, [](double x) { return std::cos(x); }},
      {"tanh", UnaryKind::kTanh, [](double x) { return std::tanh(x); }},
      {"erf", UnaryKind::kErf, [](double x) { return std::erf(x); }},
      {"erfc", UnaryKind::kErfc, [](double x) { return std::erfc(x); }},
  };
  for (const Function& function : kFunctions) {
    BenchCase c;
    c.name =
        absl::StrCat("function/", function.name, "/", kType<T>, "/", kInCache);
    c.elements = kInCache;
    c.prepare = [function] { return PrepareFunction<T>(function); };
    RegisterBenchCase(std::move(c));
  }
  BenchCase dot;
  dot.name = absl::StrCat("dot/", kType<T>, "/", kOutOfCache);
  dot.limit =
      BenchLimit::ReadBytes(2 * sizeof(T) * static_cast<double>(kOutOfCache));
  dot.elements = kOutOfCache;
  dot.prepare = &PrepareDot<T>;
  return RegisterBenchCase(std::move(dot));
}

[[maybe_unused]] const bool kF32 = RegisterAll<float>();
[[maybe_unused]] const bool kF64 = RegisterAll<double>();

}  // namespace
}  // namespace septet
