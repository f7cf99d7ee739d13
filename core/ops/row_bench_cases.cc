// SPDX-License-Identifier: Apache-2.0
// Normalisation, softmax, activations, rotation, sums and arithmetic: out of
// cache beside the copy of the same bytes (each input read once, each output
// written once), activations in the first-level cache by the element.
#include <algorithm>
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
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/ops/activation_kernels.h"
#include "septet/core/ops/activation_kind.h"
#include "septet/core/ops/elementwise_kernels.h"
#include "septet/core/ops/group_norm_kernels.h"
#include "septet/core/ops/layer_norm_kernels.h"
#include "septet/core/ops/reduce_kernels.h"
#include "septet/core/ops/rms_norm_kernels.h"
#include "septet/core/ops/rotary_kernels.h"
#include "septet/core/ops/rotary_layout.h"
#include "septet/core/ops/softmax_kernels.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Twice the last-level caches we know, in each of input and output.
constexpr int64_t kBytes = int64_t{64} << 20;

template <typename T>
constexpr const char* kType = sizeof(T) == 4 ? "f32" : "f64";

// Numbers where an op has them: in a tensor's storage.
template <typename T>
class Array {
 public:
  explicit Array(const std::vector<T>& values)
      : Array(static_cast<int64_t>(values.size())) {
    std::copy(values.begin(), values.end(), data_);
  }
  explicit Array(int64_t size)
      : tensor_(*Tensor::Zeros(Shape({size}), kDTypeOf<T>)),
        data_(tensor_.mutable_data<T>()) {}

  T* data() { return data_; }
  const T* data() const { return data_; }
  T operator[](size_t i) const { return data_[i]; }
  size_t size() const { return static_cast<size_t>(tensor_.num_elements()); }
  absl::Span<const T> span() const { return {data_, size()}; }

 private:
  Tensor tensor_;
  T* data_;
};

// Arrays that a case works on. x, dy [rows, n]; y, dx likewise.
template <typename T>
struct Rows {
  int64_t rows;
  int64_t n;
  StoreMode mode;
  Array<T> x, dy, y, scale, bias, mean, rstd, dscale, dbias, workspace;

  Rows(int64_t rows, int64_t n)
      : rows(rows),
        n(n),
        mode(StoreModeFor(rows * n * static_cast<int64_t>(sizeof(T)))),
        x(BenchValues<T>(rows * n, -4, 4)),
        dy(BenchValues<T>(rows * n, -1, 1, 17)),
        y(rows * n),
        scale(BenchValues<T>(n, 0.5, 2)),
        bias(BenchValues<T>(n, -1, 1, 5)),
        mean(rows),
        rstd(rows),
        dscale(n),
        dbias(n),
        workspace(LayerNormBackwardWorkspace(rows, n)) {}
};

// Of row r: want(x, dy) gives the row of y. Some sixty rows are compared.
template <typename T>
absl::Status CheckRows(
    const Rows<T>& a,
    const std::function<std::vector<double>(absl::Span<const T> x,
                                            absl::Span<const T> dy)>& want) {
  const T eps = sizeof(T) == 4 ? T{6e-8} : T{1.2e-16};
  for (int64_t r = 0; r < a.rows; r += std::max<int64_t>(1, a.rows / 61)) {
    const auto row = [&](const Array<T>& v) {
      return v.span().subspan(static_cast<size_t>(r * a.n),
                              static_cast<size_t>(a.n));
    };
    const std::vector<double> wanted = want(row(a.x), row(a.dy));
    SEPTET_RETURN_IF_ERROR(
        CheckClose<T>(absl::StrCat("row ", r), row(a.y),
                      std::vector<T>(wanted.begin(), wanted.end()),
                      {/*absolute=*/200.0 * eps, /*relative=*/100.0 * eps}));
  }
  return absl::OkStatus();
}

// (x - mean) rstd, or x rstd, of a row.
template <typename T>
std::vector<double> Normalized(absl::Span<const T> x, bool centre,
                               double* rstd) {
  const auto n = static_cast<double>(x.size());
  double mean = 0, variance = 0;
  if (centre) {
    for (const T v : x) mean += v / n;
  }
  for (const T v : x) variance += (v - mean) * (v - mean) / n;
  *rstd = 1 / std::sqrt(variance + 1e-5);
  std::vector<double> u;
  for (const T v : x) u.push_back((v - mean) * *rstd);
  return u;
}

template <typename T>
std::vector<double> NormGradient(absl::Span<const T> x, absl::Span<const T> dy,
                                 const Array<T>& scale, bool centre) {
  double rstd = 0;
  const std::vector<double> u = Normalized(x, centre, &rstd);
  const auto n = static_cast<double>(x.size());
  double mean_g = 0, mean_gu = 0;
  for (size_t i = 0; i < u.size(); ++i) {
    const double g = static_cast<double>(dy[i]) * scale[i];
    mean_g += centre ? g / n : 0;
    mean_gu += g * u[i] / n;
  }
  std::vector<double> dx;
  for (size_t i = 0; i < u.size(); ++i) {
    const double g = static_cast<double>(dy[i]) * scale[i];
    dx.push_back(rstd * (g - mean_g - u[i] * mean_gu));
  }
  return dx;
}

template <typename T>
std::vector<double> SoftmaxOfRow(absl::Span<const T> x) {
  double sum = 0;
  std::vector<double> y;
  for (const T v : x) {
    y.push_back(std::exp(static_cast<double>(v)));
    sum += y.back();
  }
  for (double& v : y) v /= sum;
  return y;
}

// What a case does to Rows, and what each row of y must be then.
template <typename T>
struct RowKernel {
  std::string name;
  double at_least = 0;
  // Arrays of the size of x that are read and written.
  int arrays = 2;
  std::function<void(Rows<T>&)> run;
  std::function<std::vector<double>(const Rows<T>&, absl::Span<const T> x,
                                    absl::Span<const T> dy)>
      want;
};

template <typename T>
std::vector<RowKernel<T>> RowKernels() {
  using Row = absl::Span<const T>;
  const auto plain = [](ActivationKind kind) {
    return [kind](Rows<T>& a) {
      ActivationForward(kind, a.rows * a.n, a.x.data(), a.y.data(), a.mode);
    };
  };
  const T eps = static_cast<T>(1e-5);
  return {
      {"layer_norm", 0.7, 2,
       [eps](Rows<T>& a) {
         LayerNormForward(a.rows, a.n, a.x.data(), a.scale.data(),
                          a.bias.data(), eps, a.y.data(), a.mean.data(),
                          a.rstd.data(), a.mode);
       },
       [](const Rows<T>& a, Row x, Row) {
         double rstd = 0;
         std::vector<double> y = Normalized(x, true, &rstd);
         for (size_t i = 0; i < y.size(); ++i) {
           y[i] = y[i] * a.scale[i] + a.bias[i];
         }
         return y;
       }},
      {"layer_norm_backward", 0, 3,
       [eps, ready = false](Rows<T>& a) mutable {
         if (!ready) {
           LayerNormForward(a.rows, a.n, a.x.data(), a.scale.data(),
                            a.bias.data(), eps, a.y.data(), a.mean.data(),
                            a.rstd.data());
           ready = true;
         }
         LayerNormBackward(a.rows, a.n, a.x.data(), a.scale.data(),
                           a.mean.data(), a.rstd.data(), a.dy.data(),
                           a.y.data(), a.dscale.data(), a.dbias.data(),
                           a.workspace.data(), a.mode);
       },
       [](const Rows<T>& a, Row x, Row dy) {
         return NormGradient(x, dy, a.scale, true);
       }},
      {"rms_norm", 0.7, 2,
       [eps](Rows<T>& a) {
         RmsNormForward(a.rows, a.n, a.x.data(), a.scale.data(), eps,
                        a.y.data(), a.rstd.data(), a.mode);
       },
       [](const Rows<T>& a, Row x, Row) {
         double rstd = 0;
         std::vector<double> y = Normalized(x, false, &rstd);
         for (size_t i = 0; i < y.size(); ++i) y[i] *= a.scale[i];
         return y;
       }},
      {"rms_norm_backward", 0, 3,
       [eps, ready = false](Rows<T>& a) mutable {
         if (!ready) {
           RmsNormForward(a.rows, a.n, a.x.data(), a.scale.data(), eps,
                          a.y.data(), a.rstd.data());
           ready = true;
         }
         RmsNormBackward(a.rows, a.n, a.x.data(), a.scale.data(), a.rstd.data(),
                         a.dy.data(), a.y.data(), a.dscale.data(),
                         a.workspace.data(), a.mode);
       },
       [](const Rows<T>& a, Row x, Row dy) {
         return NormGradient(x, dy, a.scale, false);
       }},
      {"softmax", 0.55, 2,
       [](Rows<T>& a) {
         SoftmaxForward(a.rows, a.n, a.x.data(), a.y.data(), a.mode);
       },
       [](const Rows<T>&, Row x, Row) { return SoftmaxOfRow(x); }},
      {"log_softmax", 0, 2,
       [](Rows<T>& a) {
         LogSoftmaxForward(a.rows, a.n, a.x.data(), a.y.data(), a.mode);
       },
       [](const Rows<T>&, Row x, Row) {
         std::vector<double> y = SoftmaxOfRow(x);
         for (double& v : y) v = std::log(v);
         return y;
       }},
      // Of x in the place of probabilities.
      {"softmax_backward", 0, 3,
       [](Rows<T>& a) {
         SoftmaxBackward(a.rows, a.n, a.x.data(), a.dy.data(), a.y.data(),
                         a.mode);
       },
       [](const Rows<T>&, Row x, Row dy) {
         double dot = 0;
         std::vector<double> dx;
         for (size_t i = 0; i < x.size(); ++i) {
           dot += static_cast<double>(x[i]) * dy[i];
         }
         for (size_t i = 0; i < x.size(); ++i)
           dx.push_back(x[i] * (dy[i] - dot));
         return dx;
       }},
      {"relu", 0.7, 2, plain(ActivationKind::kRelu),
       [](const Rows<T>&, Row x, Row) {
         std::vector<double> y;
         for (const T v : x) y.push_back(std::max(T{0}, v));
         return y;
       }},
      {"relu_backward", 0, 3,
       [](Rows<T>& a) {
         ActivationBackward(ActivationKind::kRelu, a.rows * a.n, a.x.data(),
                            a.dy.data(), a.y.data(), a.mode);
       },
       [](const Rows<T>&, Row x, Row dy) {
         std::vector<double> dx;
         for (size_t i = 0; i < x.size(); ++i)
           dx.push_back(x[i] > 0 ? dy[i] : 0);
         return dx;
       }},
      {"group_norm", 0, 2,
       [eps](Rows<T>& a) {
         GroupNormForward({a.rows, 1, a.n, 1}, a.x.data(), a.scale.data(),
                          a.bias.data(), eps, a.y.data(), a.mean.data(),
                          a.rstd.data(), a.workspace.data(), nullptr, a.mode);
       },
       [](const Rows<T>& a, Row x, Row) {
         double rstd = 0;
         std::vector<double> y = Normalized(x, true, &rstd);
         for (size_t i = 0; i < y.size(); ++i) {
           y[i] = y[i] * a.scale[i] + a.bias[i];
         }
         return y;
       }},
  };
}

template <typename T>
void RegisterRows(const RowKernel<T>& kernel, int64_t rows, int64_t n,
                  double at_least) {
  BenchCase c;
  c.name = absl::StrCat(kernel.name, "/", kType<T>, "/", rows, "x", n);
  c.elements = static_cast<double>(rows * n);
  c.limit = BenchLimit::CopiedBytes(kernel.arrays * c.elements * sizeof(T));
  c.at_least = at_least;
  c.prepare = [=]() -> absl::StatusOr<BenchKernel> {
    auto arrays = std::make_shared<Rows<T>>(rows, n);
    auto run = kernel.run;
    run(*arrays);
    SEPTET_RETURN_IF_ERROR(CheckRows<T>(
        *arrays, [&](absl::Span<const T> x, absl::Span<const T> dy) {
          return kernel.want(*arrays, x, dy);
        }));
    return BenchKernel([arrays, run]() mutable { run(*arrays); });
  };
  RegisterBenchCase(std::move(c));
}

template <typename T>
bool RegisterRowKernels() {
  const int64_t size = kBytes / static_cast<int64_t>(sizeof(T));
  for (const RowKernel<T>& kernel : RowKernels<T>()) {
    // The bars are those of f32 rows that a model has.
    RegisterRows(kernel, size / 1024, 1024,
                 sizeof(T) == 4 ? kernel.at_least : 0);
    if (kernel.name.find("relu") == 0 || kernel.name == "group_norm") continue;
    if (sizeof(T) == 8) continue;
    // Tiny rows, rows of odd length, rows longer than the second-level cache.
    RegisterRows(kernel, size / 32, 32, 0);
    RegisterRows(kernel, size / 999, 999, 0);
    RegisterRows(kernel, size / (1 << 19), 1 << 19, 0);
    // In cache.
    RegisterRows(kernel, 16, 1024, 0);
  }
  return true;
}

template <typename T>
bool RegisterActivations() {
  constexpr int64_t kCount = 4096;
  for (const ActivationKind kind : kAllActivationKinds) {
    const bool transcendental = kind != ActivationKind::kRelu &&
                                kind != ActivationKind::kLeakyRelu &&
                                kind != ActivationKind::kIdentity;
    for (const bool backward : {false, true}) {
      BenchCase c;
      c.name = absl::StrCat(backward ? "activation_backward/" : "activation/",
                            kType<T>, "/", std::string(ActivationName(kind)),
                            "/", kCount);
      c.elements = kCount;
      if (transcendental && !backward)
        c.at_most_ns = sizeof(T) == 4 ? 0.9 : 2.2;
      c.prepare = [=]() -> absl::StatusOr<BenchKernel> {
        auto x = std::make_shared<Array<T>>(BenchValues<T>(kCount, -4, 4));
        auto y = std::make_shared<Array<T>>(kCount);
        const std::vector<double> xd(x->data(), x->data() + kCount);
        const auto dy =
            std::make_shared<Array<T>>(BenchValues<T>(kCount, -1, 1, 17));
        // Against central differences of the kernel in double (backward), or
        // the kernel in double, which the tests hold against long double.
        std::vector<double> want(xd.size());
        if (backward) {
          constexpr double kStep = 1e-5;
          std::vector<double> at = xd, high(xd.size()), low(xd.size());
          for (double& v : at) v += kStep;
          ActivationForward(kind, kCount, at.data(), high.data());
          for (double& v : at) v -= 2 * kStep;
          ActivationForward(kind, kCount, at.data(), low.data());
          for (size_t i = 0; i < want.size(); ++i) {
            want[i] = (*dy)[i] * (high[i] - low[i]) / (2 * kStep);
          }
        } else {
          ActivationForward(kind, kCount, xd.data(), want.data());
        }
        BenchKernel run = [=] {
          if (backward) {
            ActivationBackward(kind, kCount, x->data(), dy->data(), y->data());
          } else {
            ActivationForward(kind, kCount, x->data(), y->data());
          }
        };
        run();
        const double tolerance = backward ? 1e-5 : 2e-6;
        SEPTET_RETURN_IF_ERROR(CheckClose<T>(
            "y", y->span(), std::vector<T>(want.begin(), want.end()),
            {tolerance, tolerance}));
        return run;
      };
      RegisterBenchCase(std::move(c));
    }
  }
  return true;
}

// [8, 12, 1024, 64], as in attention.
bool RegisterRotary() {
  constexpr int64_t kOuter = 96, kTimes = 1024, kWidth = 64, kPairs = 32;
  for (const RotaryLayout layout :
       {RotaryLayout::kInterleaved, RotaryLayout::kHalf}) {
    const bool half = layout == RotaryLayout::kHalf;
    BenchCase c;
    c.name = absl::StrCat("rotary/f32/", half ? "half" : "interleaved", "/",
                          kOuter, "x", kTimes, "x", kWidth);
    const int64_t size = kOuter * kTimes * kWidth;
    c.elements = static_cast<double>(size);
    c.limit = BenchLimit::CopiedBytes(8.0 * c.elements);
    c.prepare = [=]() -> absl::StatusOr<BenchKernel> {
      auto x = std::make_shared<Array<float>>(BenchValues<float>(size));
      auto y = std::make_shared<Array<float>>(size);
      std::vector<double> frequencies;
      for (int64_t i = 0; i < kPairs; ++i) {
        frequencies.push_back(
            std::pow(10000.0, -static_cast<double>(i) / kPairs));
      }
      // As the op does it: the table anew in each call, and all of one block of
      // times before the next.
      BenchKernel run = [=] {
        const int64_t table_width = RotaryTableWidth(layout, kPairs);
        std::vector<float> cos(static_cast<size_t>(kTimes * table_width)),
            sin(cos.size());
        RotaryTable(layout, 0, kTimes, kPairs, frequencies.data(), 0, 1, false,
                    cos.data(), sin.data());
        constexpr int64_t kBlock = 128;
        for (int64_t t = 0; t < kTimes; t += kBlock) {
          for (int64_t a = 0; a < kOuter; ++a) {
            const int64_t at = (a * kTimes + t) * kWidth;
            RotaryRows(layout, kBlock, 1, kWidth, kPairs, x->data() + at,
                       cos.data() + t * table_width,
                       sin.data() + t * table_width, y->data() + at,
                       StoreModeFor(size * 4));
          }
        }
      };
      run();
      std::vector<float> got, want;
      for (int64_t row = 0; row < kOuter * kTimes; row += 997) {
        const float* from = x->data() + row * kWidth;
        for (int64_t i = 0; i < kPairs; ++i) {
          const double angle = static_cast<double>(row % kTimes) *
                               frequencies[static_cast<size_t>(i)];
          const double p = from[half ? i : 2 * i];
          const double q = from[half ? i + kPairs : 2 * i + 1];
          want.push_back(
              static_cast<float>(p * std::cos(angle) - q * std::sin(angle)));
          got.push_back(
              (*y)[static_cast<size_t>(row * kWidth + (half ? i : 2 * i))]);
        }
      }
      SEPTET_RETURN_IF_ERROR(CheckClose<float>("y", got, want, {5e-7, 5e-7}));
      return run;
    };
    RegisterBenchCase(std::move(c));
  }
  return true;
}

// Reductions and arithmetic, out of cache.
bool RegisterPlain() {
  constexpr int64_t kSize = kBytes / 4;
  constexpr int64_t kWidth = 1024;
  const auto add = [](const std::string& name, const BenchLimit& limit,
                      std::function<absl::StatusOr<BenchKernel>()> prepare) {
    BenchCase c;
    c.name = name;
    c.elements = static_cast<double>(kSize);
    c.limit = limit;
    c.prepare = std::move(prepare);
    RegisterBenchCase(std::move(c));
  };
  for (const bool rows : {true, false}) {
    add(absl::StrCat("sum/f32/", rows ? "rows" : "columns", "/", kSize / kWidth,
                     "x", kWidth),
        BenchLimit::ReadBytes(4.0 * kSize),
        [rows]() -> absl::StatusOr<BenchKernel> {
          auto x = std::make_shared<Array<float>>(BenchValues<float>(kSize));
          const int64_t outputs = rows ? kSize / kWidth : kWidth;
          auto y = std::make_shared<Array<float>>(outputs);
          BenchKernel run = [=] {
            if (rows) {
              ReduceKernel(ReduceKind::kSum, kSize / kWidth, kWidth, 1,
                           x->data(), y->data());
            } else {
              ReduceKernel(ReduceKind::kSum, 1, kSize / kWidth, kWidth,
                           x->data(), y->data());
            }
          };
          run();
          std::vector<double> want(y->size());
          for (int64_t i = 0; i < kSize; ++i) {
            want[static_cast<size_t>(rows ? i / kWidth : i % kWidth)] +=
                (*x)[static_cast<size_t>(i)];
          }
          SEPTET_RETURN_IF_ERROR(CheckClose<float>(
              "sum", y->span(), std::vector<float>(want.begin(), want.end()),
              {1e-2, 1e-5}));
          return run;
        });
  }
  add(absl::StrCat("add/f32/", kSize), BenchLimit::CopiedBytes(12.0 * kSize),
      []() -> absl::StatusOr<BenchKernel> {
        auto a = std::make_shared<Array<float>>(BenchValues<float>(kSize));
        auto b =
            std::make_shared<Array<float>>(BenchValues<float>(kSize, -1, 1, 9));
        auto y = std::make_shared<Array<float>>(int64_t{kSize});
        BenchKernel run = [=] {
          BinaryKernel(BinaryKind::kAdd, kSize, a->data(), b->data(), y->data(),
                       StoreModeFor(4 * kSize));
        };
        run();
        std::vector<float> want(a->size());
        for (size_t i = 0; i < want.size(); ++i) want[i] = (*a)[i] + (*b)[i];
        SEPTET_RETURN_IF_ERROR(CheckClose<float>("y", y->span(), want, {}));
        return run;
      });
  return true;
}

const bool kRegistered =
    RegisterRowKernels<float>() && RegisterRowKernels<double>() &&
    RegisterActivations<float>() && RegisterActivations<double>() &&
    RegisterRotary() && RegisterPlain();

}  // namespace
}  // namespace septet
