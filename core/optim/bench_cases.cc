// SPDX-License-Identifier: Apache-2.0
// Updates of parameters out of cache, beside the plainest update in place: each
// byte that is read or written counts once. That one writes as much as it
// reads; Adam writes three parts of seven, and may be a little faster.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
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
#include "septet/core/optim/adam.h"
#include "septet/core/optim/clip.h"
#include "septet/core/optim/ema.h"
#include "septet/core/optim/sgd.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr int64_t kCount = 1 << 23;

template <typename T>
std::string Name(const char* group) {
  return absl::StrCat(group, "/", DTypeName(kDTypeOf<T>), "/", kCount);
}

template <typename T>
absl::StatusOr<Tensor> Values(int64_t start) {
  return Tensor::FromValues<T>({kCount}, BenchValues<T>(kCount, -1, 1, start));
}

// Two steps, each of which rounds |p| <= 2 and some terms below it.
template <typename T>
CloseOptions Close() {
  return {std::is_same_v<T, float> ? 2e-6 : 4e-15, 0};
}

// `expected(p, g)` is the parameter after two steps along g.
template <typename T, typename Optimizer>
absl::StatusOr<BenchKernel> PrepareSteps(
    Optimizer (*create)(const std::vector<Tensor>& params),
    double (*expected)(double p, double g)) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor p, Values<T>(0));
  SEPTET_ASSIGN_OR_RETURN(const Tensor g, Values<T>(7));
  std::vector<T> want = p.ToVector<T>();
  for (size_t i = 0; i < want.size(); ++i) {
    want[i] = static_cast<T>(expected(static_cast<double>(want[i]),
                                      static_cast<double>(g.data<T>()[i])));
  }
  const std::vector<Tensor> params = {p}, grads = {g};
  auto optimizer = std::make_shared<Optimizer>(create(params));
  for (int step = 0; step < 2; ++step) {
    SEPTET_RETURN_IF_ERROR(optimizer->Step(params, grads));
  }
  SEPTET_RETURN_IF_ERROR(
      CheckClose<T>("parameters", p.ToVector<T>(), want, Close<T>()));
  return BenchKernel([optimizer, params, grads] {
    SEPTET_CHECK(optimizer->Step(params, grads).ok());
  });
}

void Register(std::string name, double bytes,
              std::function<absl::StatusOr<BenchKernel>()> prepare) {
  BenchCase c;
  c.name = std::move(name);
  c.limit = BenchLimit::UpdatedBytes(bytes);
  c.elements = kCount;
  c.prepare = std::move(prepare);
  RegisterBenchCase(std::move(c));
}

// Along a constant gradient both corrected moments are g and g^2.
double TwoAdamSteps(double p, double g, double decay) {
  for (int step = 0; step < 2; ++step) {
    p -= 1e-3 * decay * p;
    p -= 1e-3 * g / (std::abs(g) + 1e-8);
  }
  return p;
}

double TwoSgdSteps(double p, double g) {
  double m = g + 1e-4 * p;
  p -= 0.1 * m;
  m = 0.9 * m + g + 1e-4 * p;
  return p - 0.1 * m;
}

template <typename T>
bool RegisterAll() {
  const double size = sizeof(T) * static_cast<double>(kCount);
  Register(Name<T>("adam"), 7 * size, [] {
    return PrepareSteps<T, Adam>(
        [](const std::vector<Tensor>& params) {
          return *Adam::Create({}, params);
        },
        [](double p, double g) { return TwoAdamSteps(p, g, 0); });
  });
  Register(Name<T>("adamw"), 7 * size, [] {
    return PrepareSteps<T, Adam>(
        [](const std::vector<Tensor>& params) {
          AdamOptions options;
          options.weight_decay = 0.01;
          return *Adam::Create(options, params);
        },
        [](double p, double g) { return TwoAdamSteps(p, g, 0.01); });
  });
  Register(Name<T>("sgd_momentum"), 5 * size, [] {
    return PrepareSteps<T, Sgd>(
        [](const std::vector<Tensor>& params) {
          SgdOptions options;
          options.lr = 0.1;
          options.momentum = 0.9;
          options.weight_decay = 1e-4;
          return *Sgd::Create(options, params);
        },
        &TwoSgdSteps);
  });
  Register(Name<T>("ema"), 3 * size, []() -> absl::StatusOr<BenchKernel> {
    SEPTET_ASSIGN_OR_RETURN(const Tensor x, Values<T>(0));
    SEPTET_ASSIGN_OR_RETURN(const Tensor y, Values<T>(7));
    std::vector<T> want = y.ToVector<T>();
    for (size_t i = 0; i < want.size(); ++i) {
      want[i] = static_cast<T>(0.005 * static_cast<double>(x.data<T>()[i]) +
                               0.995 * static_cast<double>(want[i]));
    }
    SEPTET_RETURN_IF_ERROR(UpdateEma({x}, {0.005}, {y}));
    SEPTET_RETURN_IF_ERROR(
        CheckClose<T>("target", y.ToVector<T>(), want, Close<T>()));
    return BenchKernel(
        [x, y] { SEPTET_CHECK(UpdateEma({x}, {0.005}, {y}).ok()); });
  });
  BenchCase norm;
  norm.name = Name<T>("global_norm");
  norm.limit = BenchLimit::ReadBytes(size);
  norm.elements = kCount;
  norm.prepare = []() -> absl::StatusOr<BenchKernel> {
    SEPTET_ASSIGN_OR_RETURN(const Tensor g, Values<T>(0));
    double sum = 0;
    for (int64_t i = 0; i < kCount; ++i) {
      const double x = static_cast<double>(g.data<T>()[i]);
      sum += x * x;
    }
    SEPTET_ASSIGN_OR_RETURN(const double got, GlobalNorm({g}));
    SEPTET_RETURN_IF_ERROR(
        CheckClose<double>("norm", {got}, {std::sqrt(sum)}, {0, 1e-10}));
    return BenchKernel([g] { SEPTET_CHECK(GlobalNorm({g}).ok()); });
  };
  return RegisterBenchCase(std::move(norm));
}

[[maybe_unused]] const bool kF32 = RegisterAll<float>();
[[maybe_unused]] const bool kF64 = RegisterAll<double>();

}  // namespace
}  // namespace septet
