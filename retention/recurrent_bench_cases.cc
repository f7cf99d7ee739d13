// SPDX-License-Identifier: Apache-2.0
// The scans of RetNet's baselines, forward and with the gradient: beside the
// copy of what they must read and write and the exponentials that they take.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/bench/case.h"
#include "septet/core/bench/values.h"
#include "septet/core/ops/store_mode.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/linear_attention_kernels.h"
#include "septet/retention/token_shift_kernels.h"
#include "septet/retention/wkv_kernels.h"

namespace septet {
namespace {

// A layer of a model of width 512: 8 MiB of f32 an array.
constexpr int64_t kSequences = 4, kRows = 1024, kChannels = 512;
constexpr int64_t kElements = kSequences * kRows * kChannels;
constexpr int64_t kHeads = 8;

// Numbers where an op has them: in a tensor's storage.
template <typename T>
struct Array {
  explicit Array(int64_t size)
      : tensor(*Tensor::Zeros(Shape({size}), kDTypeOf<T>)),
        data(tensor.mutable_data<T>()) {}
  Array(int64_t size, double low, double high, int64_t start) : Array(size) {
    const std::vector<T> values = BenchValues<T>(size, low, high, start);
    std::copy(values.begin(), values.end(), data);
  }
  absl::Span<const T> span() const {
    return {data, static_cast<size_t>(tensor.num_elements())};
  }

  Tensor tensor;
  T* data;
};

template <typename T>
struct WkvArrays {
  WkvArrays()
      : k(kElements, -3, 3, 1),
        v(kElements, -1, 1, 2),
        w(kChannels, 0.01, 1, 3),
        u(kChannels, -1, 1, 4),
        dy(kElements, -1, 1, 5),
        y(kElements),
        dk(kElements),
        dv(kElements),
        dw(kSequences * kChannels),
        du(kSequences * kChannels),
        checkpoints(kSequences * (kRows / kWkvRows) * 4 * kChannels),
        workspace(kWkvWorkspace) {
    p.sequences = kSequences;
    p.rows = kRows;
    p.channels = kChannels;
    p.k = k.data;
    p.v = v.data;
    p.w = w.data;
    p.u = u.data;
    result.y = y.data;
    result.checkpoints = checkpoints.data;
    gradient.checkpoints = checkpoints.data;
    gradient.dy = dy.data;
    gradient.dk = dk.data;
    gradient.dv = dv.data;
    gradient.dw = dw.data;
    gradient.du = du.data;
  }
  void Run(bool backward) {
    for (int64_t task = 0; task < WkvTasks(p); ++task) {
      WkvForward(p, result, task);
    }
    if (!backward) return;
    for (int64_t task = 0; task < WkvTasks(p); ++task) {
      WkvBackward(p, gradient, task, workspace.data);
    }
  }

  Array<T> k, v, w, u, dy, y, dk, dv, dw, du, checkpoints, workspace;
  WkvProblem<T> p;
  WkvResult<T> result;
  WkvGradient<T> gradient;
};

// By the defining sums in double: y of a channel, and the gradient of v.
template <typename T>
absl::StatusOr<BenchKernel> PrepareWkv(bool backward) {
  auto arrays = std::make_shared<WkvArrays<T>>();
  arrays->Run(true);
  const WkvProblem<T>& p = arrays->p;
  for (const int64_t channel : {int64_t{0}, kChannels - 1}) {
    const auto at = [&](int64_t t) { return t * kChannels + channel; };
    const double w = p.w[channel], u = p.u[channel];
    double n = 0, d = 0;
    std::vector<T> want, got;
    std::vector<double> sums;
    for (int64_t t = 0; t < kRows; ++t) {
      const double now = std::exp(u + p.k[at(t)]);
      want.push_back(static_cast<T>((n + now * p.v[at(t)]) / (d + now)));
      got.push_back(arrays->y.data[at(t)]);
      sums.push_back(d + now);
      n = std::exp(-w) * n + std::exp(double{p.k[at(t)]}) * p.v[at(t)];
      d = std::exp(-w) * d + std::exp(double{p.k[at(t)]});
    }
    const double tolerance = sizeof(T) == 4 ? 1e-5 : 1e-12;
    SEPTET_RETURN_IF_ERROR(
        CheckClose<T>("y", got, want, {tolerance, tolerance}));
    want.clear();
    got.clear();
    double later = 0;
    for (int64_t t = kRows - 1; t >= 0; --t) {
      const double g = arrays->dy.data[at(t)] / sums[static_cast<size_t>(t)];
      want.push_back(static_cast<T>(std::exp(double{p.k[at(t)]}) *
                                    (std::exp(u) * g + later)));
      got.push_back(arrays->dv.data[at(t)]);
      later = std::exp(-w) * later + g;
    }
    SEPTET_RETURN_IF_ERROR(
        CheckClose<T>("dv", got, want, {tolerance, tolerance}));
  }
  return BenchKernel([arrays, backward] { arrays->Run(backward); });
}

template <typename T>
struct ShiftArrays {
  ShiftArrays()
      : x(kElements, -1, 1, 1),
        mix(kMaxTokenShifts * kChannels, 0, 1, 2),
        dx(kElements),
        dmix(kMaxTokenShifts * kChannels) {
    p.sequences = kSequences;
    p.rows = kRows;
    p.channels = kChannels;
    p.mixtures = kMaxTokenShifts;
    p.x = x.data;
    p.mix = mix.data;
    for (int m = 0; m < kMaxTokenShifts; ++m) {
      y.emplace_back(kElements);
      dy.emplace_back(kElements, -1, 1, 10 + m);
    }
  }
  void Run(bool backward) {
    T* to[kMaxTokenShifts];
    const T* from[kMaxTokenShifts];
    for (size_t m = 0; m < kMaxTokenShifts; ++m) {
      to[m] = y[m].data;
      from[m] = dy[m].data;
    }
    constexpr int64_t kBytes = kElements * int64_t{sizeof(T)};

    TokenShiftForward(p, 0, kSequences * kRows, to,
                      StoreModeFor(kMaxTokenShifts * kBytes));
    if (backward) {
      TokenShiftBackward(p, 0, kSequences * kRows, from, dx.data, dmix.data,
                         StoreModeFor(kBytes));
    }
  }

  Array<T> x, mix, dx, dmix;
  std::vector<Array<T>> y, dy;
  TokenShiftProblem<T> p;
};

template <typename T>
absl::StatusOr<BenchKernel> PrepareShift(bool backward) {
  auto arrays = std::make_shared<ShiftArrays<T>>();
  arrays->Run(true);
  const TokenShiftProblem<T>& p = arrays->p;
  std::vector<T> want, got;
  for (int64_t i = 0; i < kElements; i += 997) {
    const int64_t c = i % kChannels;
    const int64_t t = i / kChannels % kRows;
    const double now = p.x[i];
    const double old = t == 0 ? T{0} : p.x[i - kChannels];
    double dx = 0;
    for (int m = 0; m < kMaxTokenShifts; ++m) {
      const auto& dy = arrays->dy[static_cast<size_t>(m)];
      const double a = p.mix[m * kChannels + c];
      want.push_back(static_cast<T>(a * now + (1 - a) * old));
      got.push_back(arrays->y[static_cast<size_t>(m)].data[i]);
      dx += a * dy.data[i];
      if (t + 1 < kRows) dx += (1 - a) * dy.data[i + kChannels];
    }
    want.push_back(static_cast<T>(dx));
    got.push_back(arrays->dx.data[i]);
  }
  const double tolerance = sizeof(T) == 4 ? 1e-6 : 1e-14;
  SEPTET_RETURN_IF_ERROR(
      CheckClose<T>("y and dx", got, want, {tolerance, tolerance}));
  return BenchKernel([arrays, backward] { arrays->Run(backward); });
}

template <typename T>
struct FeatureArrays {
  FeatureArrays()
      : q(kElements, -2, 2, 1),
        k(kElements, -2, 2, 2),
        du(kElements, -1, 1, 3),
        df(kElements, -1, 1, 4),
        u(kElements),
        f(kElements),
        d(kSequences * kRows * kHeads),
        dq(kElements),
        dk(kElements) {
    p.sequences = kSequences;
    p.rows = kRows;
    p.heads = kHeads;
    p.dim = kChannels / kHeads;
    p.eps = static_cast<T>(1e-6);
    p.q = {q.data, kRows * kChannels, kChannels, p.dim};
    p.k = {k.data, kRows * kChannels, kChannels, p.dim};
    result.u = u.data;
    result.f = f.data;
    result.d = d.data;
    gradient.d = d.data;
    gradient.du = du.data;
    gradient.df = df.data;
    gradient.dq = dq.data;
    gradient.dk = dk.data;
    workspace.resize(static_cast<size_t>(LinearFeaturesWorkspace(p)));
  }
  void Run(bool backward) {
    for (int64_t task = 0; task < kSequences * kHeads; ++task) {
      LinearFeaturesForward(p, result, task, workspace.data());
    }
    if (!backward) return;
    for (int64_t task = 0; task < kSequences * kHeads; ++task) {
      LinearFeaturesBackward(p, gradient, task, workspace.data());
    }
  }

  Array<T> q, k, du, df, u, f, d, dq, dk;
  std::vector<T> workspace;
  LinearFeaturesProblem<T> p;
  LinearFeaturesResult<T> result;
  LinearFeaturesGradient<T> gradient;
};

// u and dk of the last head.
template <typename T>
absl::StatusOr<BenchKernel> PrepareFeatures(bool backward) {
  auto arrays = std::make_shared<FeatureArrays<T>>();
  arrays->Run(true);
  const int64_t dim = arrays->p.dim;
  const auto size = static_cast<size_t>(dim);
  const auto phi = [](double x) { return x > 0 ? x + 1 : std::exp(x); };
  const auto row = [&](int64_t t) {
    return ((kSequences - 1) * kRows + t) * kChannels + kChannels - dim;
  };
  std::vector<double> z(size), slopes;
  std::vector<T> want, got;
  for (int64_t t = 0; t < kRows; ++t) {
    double divisor = 1e-6, along = 0;
    for (size_t i = 0; i < size; ++i) {
      const auto e = static_cast<size_t>(row(t)) + i;
      z[i] += phi(arrays->k.data[e]);
      divisor += phi(arrays->q.data[e]) * z[i];
      along += arrays->du.data[e] * phi(arrays->q.data[e]);
    }
    slopes.push_back(-along / (divisor * divisor));
    for (size_t i = 0; i < size; ++i) {
      const auto e = static_cast<size_t>(row(t)) + i;
      want.push_back(static_cast<T>(phi(arrays->q.data[e]) / divisor));
      got.push_back(arrays->u.data[e]);
    }
  }
  std::vector<double> sums(size);
  for (int64_t t = kRows - 1; t >= 0; --t) {
    for (size_t i = 0; i < size; ++i) {
      const auto e = static_cast<size_t>(row(t)) + i;
      sums[i] += slopes[static_cast<size_t>(t)] * phi(arrays->q.data[e]);
      const double x = arrays->k.data[e];
      want.push_back(static_cast<T>((arrays->df.data[e] + sums[i]) *
                                    (x > 0 ? 1 : std::exp(x))));
      got.push_back(arrays->dk.data[e]);
    }
  }
  const double tolerance = sizeof(T) == 4 ? 1e-5 : 1e-13;
  SEPTET_RETURN_IF_ERROR(
      CheckClose<T>("u and dk", got, want, {tolerance, tolerance}));
  return BenchKernel([arrays, backward] { arrays->Run(backward); });
}

// `arrays` of the size of x go through memory, `exponentials` an element.
template <typename T>
void Register(const char* group, bool backward, double arrays,
              double exponentials, double at_least,
              absl::StatusOr<BenchKernel> (*prepare)(bool backward)) {
  BenchCase c;
  c.name =
      absl::StrCat(group, "/", DTypeName(kDTypeOf<T>), "/", kSequences, "x",
                   kRows, "x", kChannels, backward ? "/gradient" : "");
  c.limit = BenchLimit::CopiedBytes(arrays * sizeof(T) * kElements);
  if (exponentials > 0) {
    c.limit.Call<T>(BenchFunction::kExp, exponentials * kElements);
  }
  c.elements = kElements;
  c.at_least = at_least;
  c.prepare = [prepare, backward] { return prepare(backward); };
  RegisterBenchCase(std::move(c));
}

template <typename T>
void RegisterAll() {
  // k and v give y; with dy they give dk and dv.
  Register<T>("wkv", false, 3, 2, 0.4, &PrepareWkv<T>);
  Register<T>("wkv", true, 3 + 5, 6, 0.35, &PrepareWkv<T>);
  // x gives three y; with three dy it gives dx.
  Register<T>("token_shift", false, 4, 0, 0.45, &PrepareShift<T>);
  Register<T>("token_shift", true, 4 + 5, 0, 0.3, &PrepareShift<T>);
  // q and k give u and f; with du and df they give dq and dk, in two walks.
  Register<T>("linear_attention_features", false, 4, 2, 0.4,
              &PrepareFeatures<T>);
  Register<T>("linear_attention_features", true, 4 + 6, 6, 0.4,
              &PrepareFeatures<T>);
}

const bool kRegistered = [] {
  RegisterAll<float>();
  RegisterAll<double>();
  return true;
}();

}  // namespace
}  // namespace septet
