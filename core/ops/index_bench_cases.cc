// SPDX-License-Identifier: Apache-2.0
// Embedding and its gradient, cross-entropy and its gradient, dropout.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/ops/cross_entropy_kernels.h"
#include "septet/core/ops/dropout.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/variates.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

template <typename T>
constexpr const char* kType = sizeof(T) == 4 ? "f32" : "f64";

void Register(std::string name, BenchLimit limit, int64_t elements,
              double at_least,
              std::function<absl::StatusOr<BenchKernel>()> prepare) {
  BenchCase c;
  c.name = std::move(name);
  c.limit = std::move(limit);
  c.elements = static_cast<double>(elements);
  c.at_least = at_least;
  c.prepare = std::move(prepare);
  RegisterBenchCase(std::move(c));
}

// Numbers below n, far apart.
std::vector<int64_t> Ids(int64_t count, int64_t n) {
  std::vector<int64_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = Philox4x32({5, 6}, {static_cast<uint32_t>(i), 0, 0, 0})[0] % n;
  }
  return ids;
}

template <typename T>
struct CrossEntropyCase {
  int64_t rows;
  int64_t n;
  StoreMode mode;
  std::vector<T> x;
  std::vector<int64_t> classes;
  std::vector<T> loss, max, sum, g, dx;

  CrossEntropyCase(int64_t rows, int64_t n)
      : rows(rows),
        n(n),
        mode(StoreModeFor(rows * n * static_cast<int64_t>(sizeof(T)))),
        x(BenchValues<T>(rows * n, -8, 8)),
        classes(Ids(rows, n)),
        loss(static_cast<size_t>(rows)),
        max(loss.size()),
        sum(loss.size()),
        g(loss.size(), T(0.5)),
        dx(x.size()) {}

  void Forward() {
    CrossEntropyForward(rows, n, x.data(), classes.data(), -100, T(0),
                        loss.data(), max.data(), sum.data());
  }
  void Backward() {
    CrossEntropyBackward(rows, n, x.data(), classes.data(), -100, T(0),
                         max.data(), sum.data(), g.data(), 1, dx.data(), mode);
  }

  // The losses, or row 0 of the gradient, by definition.
  absl::Status Check(bool backward) const {
    std::vector<T> want;
    std::vector<T> got;
    for (int64_t r = 0; r < (backward ? 1 : rows); ++r) {
      const T* row = x.data() + r * n;
      double z = 0;
      for (int64_t i = 0; i < n; ++i)
        z += std::exp(static_cast<double>(row[i]));
      if (!backward) {
        want.push_back(static_cast<T>(std::log(z) - row[classes[r]]));
        got.push_back(loss[r]);
        continue;
      }
      for (int64_t i = 0; i < n; ++i) {
        const double p = std::exp(static_cast<double>(row[i])) / z;
        want.push_back(static_cast<T>(0.5 * (p - (i == classes[r] ? 1 : 0))));
        got.push_back(dx[i]);
      }
    }
    const double eps = sizeof(T) == 4 ? 6e-8 : 1.1e-16;
    // Numbers of at most 30 and 1 in size.
    return CheckClose<T>(backward ? "dx" : "loss", got, want,
                         {(backward ? 8 : 240) * eps, 0});
  }
};

template <typename T>
void RegisterCrossEntropy(int64_t rows, int64_t n, double forward_bar,
                          double backward_bar) {
  const double count = static_cast<double>(rows * n);
  for (const bool backward : {false, true}) {
    BenchLimit limit = backward ? BenchLimit::CopiedBytes(2 * sizeof(T) * count)
                                : BenchLimit::ReadBytes(sizeof(T) * count);
    limit.Call<T>(BenchFunction::kExp, count);
    Register(absl::StrCat(backward ? "cross_entropy_grad/" : "cross_entropy/",
                          kType<T>, "/", rows, "x", n),
             limit, rows * n, backward ? backward_bar : forward_bar,
             [rows, n, backward]() -> absl::StatusOr<BenchKernel> {
               auto data = std::make_shared<CrossEntropyCase<T>>(rows, n);
               data->Forward();
               if (backward) data->Backward();
               SEPTET_RETURN_IF_ERROR(data->Check(backward));
               return BenchKernel([data, backward] {
                 backward ? data->Backward() : data->Forward();
               });
             });
  }
}

// Rows of a table [v, d] for `count` ids, and the gradient of the table.
void RegisterEmbedding(int64_t v, int64_t d, int64_t count, bool gradient,
                       double bar) {
  const double copied = gradient ? (v + count) * d : 2 * count * d;
  Register(
      absl::StrCat(gradient ? "embedding_grad/f32/" : "embedding/f32/", v, "x",
                   d, "x", count),
      BenchLimit::CopiedBytes(4 * copied), gradient ? v * d : count * d, bar,
      [=]() -> absl::StatusOr<BenchKernel> {
        const std::vector<float> table = BenchValues<float>(v * d);
        const std::vector<int64_t> places = Ids(count, v);
        SEPTET_ASSIGN_OR_RETURN(Tensor weight,
                                Tensor::FromValues<float>({v, d}, table));
        SEPTET_ASSIGN_OR_RETURN(Tensor ids,
                                Tensor::FromValues<int64_t>({count}, places));
        if (!gradient) {
          const Var y = Embedding(weight, ids);
          SEPTET_RETURN_IF_ERROR(y.status());
          std::vector<float> want;
          for (const int64_t id : places) {
            want.insert(want.end(), table.begin() + id * d,
                        table.begin() + (id + 1) * d);
          }
          SEPTET_RETURN_IF_ERROR(
              CheckClose<float>("y", y.tensor().ToVector<float>(), want, {}));
          return BenchKernel([weight, ids] { Embedding(weight, ids); });
        }
        const std::vector<float> g = BenchValues<float>(count * d, -1, 1, 3);
        SEPTET_ASSIGN_OR_RETURN(Tensor dy,
                                Tensor::FromValues<float>({count, d}, g));
        auto tape = std::make_shared<Tape>();
        const Var w = tape->Watch(weight);
        const Var y = Embedding(w, ids);
        SEPTET_ASSIGN_OR_RETURN(std::vector<Var> grads,
                                tape->GradVars({y}, {dy}, {w}, false));
        std::vector<double> sums(static_cast<size_t>(v * d));
        for (int64_t i = 0; i < count * d; ++i) {
          sums[places[i / d] * d + i % d] += g[i];
        }
        const std::vector<float> want(sums.begin(), sums.end());
        SEPTET_RETURN_IF_ERROR(CheckClose<float>(
            "dw", grads[0].tensor().ToVector<float>(), want, {2e-5, 1e-6}));
        return BenchKernel([tape, w, y, dy] {
          tape->GradVars({y}, {dy}, {w}, false).IgnoreError();
        });
      });
}

template <typename T>
void RegisterDropout(int64_t n) {
  Register(absl::StrCat("dropout/", kType<T>, "/", n),
           BenchLimit::CopiedBytes(2.0 * sizeof(T) * n), n, 0,
           [n]() -> absl::StatusOr<BenchKernel> {
             constexpr PhiloxKey kKey = {1, 2};
             const std::vector<T> values = BenchValues<T>(n);
             SEPTET_ASSIGN_OR_RETURN(Tensor x,
                                     Tensor::FromValues<T>({n}, values));
             const Var y = Dropout(x, 0.25, kKey);
             SEPTET_RETURN_IF_ERROR(y.status());
             std::vector<T> want(values.size());
             for (int64_t i = 0; i < n; ++i) {
               const uint32_t word = PhiloxElement(kKey, i / 4)[i % 4];
               want[i] = UnitFromWord(word) < 0.25
                             ? T(0)
                             : values[i] * static_cast<T>(1 / 0.75);
             }
             SEPTET_RETURN_IF_ERROR(
                 CheckClose<T>("y", y.tensor().ToVector<T>(), want, {}));
             return BenchKernel([x] { Dropout(x, 0.25, kKey); });
           });
}

[[maybe_unused]] const bool kRegistered = [] {
  // A large vocabulary out of cache; a row that stays in the first level.
  RegisterCrossEntropy<float>(512, 50257, 0.75, 0.75);
  RegisterCrossEntropy<double>(256, 50257, 0.75, 0.75);
  RegisterCrossEntropy<float>(64, 256, 0, 0);
  RegisterEmbedding(50257, 768, 8192, false, 0);
  RegisterEmbedding(50257, 768, 8192, true, 0.7);
  // Bytes: many repeats.
  RegisterEmbedding(256, 256, 4096, true, 0);
  RegisterDropout<float>(int64_t{1} << 14);
  RegisterDropout<float>(int64_t{1} << 24);
  RegisterDropout<double>(int64_t{1} << 14);
  return true;
}();

}  // namespace
}  // namespace septet
