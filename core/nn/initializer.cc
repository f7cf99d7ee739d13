// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/initializer.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/blas/qr.h"
#include "septet/core/random/fill.h"
#include "septet/core/random/philox.h"
#include "septet/core/random/stream.h"
#include "septet/core/random/variates.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Elements computed at a time: 8 KiB of doubles, in the first-level cache.
constexpr int64_t kChunk = 1024;
// Elements a task: some tens of microseconds.
constexpr int64_t kGrain = 16 * kChunk;

// The least share of a normal distribution that a truncated one may be of.
constexpr double kMinTruncatedShare = 1e-3;

// The standard deviation of a standard normal cut at -2 and 2.
constexpr double kTruncatedAtTwoStd = 0.87962566103423978;

// The normals that element i has to offer: words 0, 1 and 2, 3 of its block,
// then those of its blocks 1, 2, ...
double NormalTry(PhiloxKey key, uint64_t i, uint32_t attempt) {
  const PhiloxBlock words =
      Philox4x32(key, {static_cast<uint32_t>(i), static_cast<uint32_t>(i >> 32),
                       attempt / 2, 0});
  return attempt % 2 == 0 ? NormalFromWords(words[0], words[1])
                          : NormalFromWords(words[2], words[3]);
}

double TruncatedNormalAt(PhiloxKey key, uint64_t i, double mean, double std,
                         double lo, double hi) {
  for (uint32_t attempt = 0;; ++attempt) {
    const double z = ScaleNormal(mean, std, NormalTry(key, i, attempt));
    if (z >= lo && z <= hi) return z;
  }
}

// A word as a number in (0, 1).
double OpenUnit(uint32_t word) { return (word + 0.5) * 0x1p-32; }

double StudentT2At(PhiloxKey key, uint64_t i) {
  // The inverse of the distribution function, which is closed for 2 degrees.
  const double u = OpenUnit(PhiloxElement(key, i)[0]);
  return (2 * u - 1) / std::sqrt(2 * u * (1 - u));
}

// Of variance 1.
double LaplaceAt(PhiloxKey key, uint64_t i) {
  const PhiloxBlock words = PhiloxElement(key, i);
  // NormalFromWords(w, 0) = sqrt(-2 ln((w + 1) 2^-32)): half its square is
  // exponential, with the same bits everywhere, which libm's log has not.
  const double root = NormalFromWords(words[0], 0);
  const double magnitude = 0.5 * root * root * std::sqrt(0.5);
  return (words[1] >> 31) != 0 ? magnitude : -magnitude;
}

// out[e] = scale * value(e) for all elements, in any order. `fill` sets the
// doubles of elements begin, begin + 1, ...
template <typename T, typename FillFn>
void FillChunks(int64_t n, double scale, T* out, const FillFn& fill) {
  ParallelFor(n, kGrain, [&](int64_t begin, int64_t end) {
    double values[kChunk];
    for (int64_t first = begin; first < end; first += kChunk) {
      const int64_t count = std::min(kChunk, end - first);
      fill(static_cast<uint64_t>(first), absl::MakeSpan(values, count));
      for (int64_t i = 0; i < count; ++i) {
        out[first + i] = static_cast<T>(values[i] * scale);
      }
    }
  });
}

template <typename AtFn>
auto Each(const AtFn& at) {
  return [at](uint64_t begin, absl::Span<double> values) {
    for (size_t i = 0; i < values.size(); ++i) values[i] = at(begin + i);
  };
}

double Dot(int64_t n, const double* x, const double* y) {
  // Four sums, so that the compiler may use vectors without changing them.
  double sums[4] = {};
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) {
    for (int j = 0; j < 4; ++j) sums[j] += x[i + j] * y[i + j];
  }
  for (; i < n; ++i) sums[0] += x[i] * y[i];
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

template <typename T>
absl::Status FillOrthogonal(PhiloxKey key, double scale, const Tensor& tensor) {
  const int64_t cols = tensor.dim(tensor.rank() - 1);
  const int64_t rows = tensor.num_elements() / cols;
  SEPTET_ASSIGN_OR_RETURN(Tensor matrix,
                          Tensor::Empty(Shape({rows, cols}), DType::kF64));
  PhiloxFillNormal(key, 0, 0.0, 1.0,
                   absl::MakeSpan(matrix.mutable_data<double>(), rows * cols));
  // Orthonormal are columns: those of the transpose where there are few rows.
  const bool wide = rows < cols;
  if (wide) {
    SEPTET_ASSIGN_OR_RETURN(matrix, matrix.Permute({1, 0}));
  }
  SEPTET_ASSIGN_OR_RETURN(const QrResult qr, Qr(matrix));
  Tensor q = qr.q;
  if (wide) {
    SEPTET_ASSIGN_OR_RETURN(q, q.Permute({1, 0}));
  }
  SEPTET_ASSIGN_OR_RETURN(q, q.Contiguous());
  const double* from = q.data<double>();
  T* out = tensor.mutable_data<T>();
  for (int64_t i = 0; i < rows * cols; ++i) {
    out[i] = static_cast<T>(from[i] * scale);
  }
  return absl::OkStatus();
}

template <typename T>
void FillBall(PhiloxKey key, double radius, const Tensor& tensor) {
  // The first n coordinates of a point on the sphere in n + 2 dimensions are
  // uniform in the ball.
  T* out = tensor.mutable_data<T>();
  const int64_t n = tensor.num_elements();
  std::vector<double> point(n + 2);
  PhiloxFillNormal(key, 0, 0.0, 1.0, absl::MakeSpan(point));
  const double factor =
      radius / std::sqrt(Dot(n + 2, point.data(), point.data()));
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(point[i] * factor);
}

absl::string_view FanName(FanMode fan) {
  switch (fan) {
    case FanMode::kIn:
      return "in";
    case FanMode::kOut:
      return "out";
    case FanMode::kAverage:
      return "average";
  }
  return "?";
}

absl::string_view DistributionName(VarianceDistribution distribution) {
  switch (distribution) {
    case VarianceDistribution::kUniform:
      return "uniform";
    case VarianceDistribution::kNormal:
      return "normal";
    case VarianceDistribution::kTruncatedNormal:
      return "truncated_normal";
    case VarianceDistribution::kStudentT2:
      return "student_t2";
    case VarianceDistribution::kLaplace:
      return "laplace";
    case VarianceDistribution::kBall:
      return "ball";
  }
  return "?";
}

// scale a / sqrt(fan).
double FanStd(const Initializer& init, const Fans& fans) {
  double fan = 0;
  switch (init.fan) {
    case FanMode::kIn:
      fan = static_cast<double>(fans.in);
      break;
    case FanMode::kOut:
      fan = static_cast<double>(fans.out);
      break;
    case FanMode::kAverage:
      fan = (static_cast<double>(fans.in) + static_cast<double>(fans.out)) / 2;
      break;
  }
  return init.a / std::sqrt(fan);
}

template <typename T>
void FillVarianceScaling(const Initializer& init, PhiloxKey key, double std,
                         const Tensor& tensor) {
  T* out = tensor.mutable_data<T>();
  const int64_t n = tensor.num_elements();
  const double factor = std * init.scale;
  switch (init.distribution) {
    case VarianceDistribution::kUniform:
      return FillChunks(n, std::sqrt(3.0) * factor, out,
                        [&](uint64_t begin, absl::Span<double> values) {
                          PhiloxFillUniform(key, begin, -1, 1, values);
                        });
    case VarianceDistribution::kNormal:
      return FillChunks(n, factor, out,
                        [&](uint64_t begin, absl::Span<double> values) {
                          PhiloxFillNormal(key, begin, 0, 1, values);
                        });
    case VarianceDistribution::kTruncatedNormal:
      return FillChunks(n, factor / kTruncatedAtTwoStd, out,
                        Each([&](uint64_t i) {
                          return TruncatedNormalAt(key, i, 0, 1, -2, 2);
                        }));
    case VarianceDistribution::kStudentT2:
      return FillChunks(n, factor, out,
                        Each([&](uint64_t i) { return StudentT2At(key, i); }));
    case VarianceDistribution::kLaplace:
      return FillChunks(n, factor, out,
                        Each([&](uint64_t i) { return LaplaceAt(key, i); }));
    case VarianceDistribution::kBall:
      return FillBall<T>(key, factor * std::sqrt(static_cast<double>(n) + 2),
                         tensor);
  }
}

template <typename T>
absl::Status FillTyped(const Initializer& init, PhiloxKey key, const Fans& fans,
                       const Tensor& tensor) {
  T* out = tensor.mutable_data<T>();
  const int64_t n = tensor.num_elements();
  const auto normal = [&](uint64_t begin, absl::Span<double> values) {
    PhiloxFillNormal(key, begin, init.a, init.b, values);
  };
  switch (init.kind) {
    case Initializer::Kind::kConstant:
      std::fill_n(out, n, static_cast<T>(init.a * init.scale));
      break;
    case Initializer::Kind::kUniform:
      FillChunks(n, init.scale, out,
                 [&](uint64_t begin, absl::Span<double> values) {
                   PhiloxFillUniform(key, begin, init.a, init.b, values);
                 });
      break;
    case Initializer::Kind::kNormal:
      FillChunks(n, init.scale, out, normal);
      break;
    case Initializer::Kind::kTruncatedNormal:
      FillChunks(n, init.scale, out, Each([&](uint64_t i) {
                   return TruncatedNormalAt(key, i, init.a, init.b, init.lo,
                                            init.hi);
                 }));
      break;
    case Initializer::Kind::kClampedNormal:
      FillChunks(n, init.scale, out,
                 [&](uint64_t begin, absl::Span<double> values) {
                   normal(begin, values);
                   for (double& x : values) {
                     x = std::min(std::max(x, init.lo), init.hi);
                   }
                 });
      break;
    case Initializer::Kind::kVarianceScaling:
      FillVarianceScaling<T>(init, key, FanStd(init, fans), tensor);
      break;
    case Initializer::Kind::kFanInUniform:
      FillChunks(n, init.scale / std::sqrt(static_cast<double>(fans.in)), out,
                 [&](uint64_t begin, absl::Span<double> values) {
                   PhiloxFillUniform(key, begin, -1, 1, values);
                 });
      break;
    case Initializer::Kind::kOrthogonal:
      return FillOrthogonal<T>(key, init.a * init.scale, tensor);
  }
  return absl::OkStatus();
}

absl::Status RequireFinite(absl::string_view name, double value) {
  if (std::isfinite(value)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("initializer: ", name, " is ", value, ", expected finite"));
}

absl::Status RequireNonNegative(absl::string_view name, double value) {
  if (std::isfinite(value) && value >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "initializer: ", name, " is ", value, ", expected finite and >= 0"));
}

absl::Status RequireOrder(absl::string_view lo_name, double lo,
                          absl::string_view hi_name, double hi) {
  SEPTET_RETURN_IF_ERROR(RequireFinite(lo_name, lo));
  SEPTET_RETURN_IF_ERROR(RequireFinite(hi_name, hi));
  if (lo <= hi && std::isfinite(hi - lo)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("initializer: ", lo_name, " is ", lo, " and ", hi_name,
                   " is ", hi, ", expected ", lo_name, " <= ", hi_name));
}

}  // namespace

Initializer Initializer::Constant(double value) {
  Initializer init;
  init.a = value;
  return init;
}

Initializer Initializer::Uniform(double lo, double hi) {
  Initializer init;
  init.kind = Kind::kUniform;
  init.a = lo;
  init.b = hi;
  return init;
}

Initializer Initializer::Normal(double mean, double std) {
  Initializer init;
  init.kind = Kind::kNormal;
  init.a = mean;
  init.b = std;
  return init;
}

Initializer Initializer::TruncatedNormal(double mean, double std, double lo,
                                         double hi) {
  Initializer init = Normal(mean, std);
  init.kind = Kind::kTruncatedNormal;
  init.lo = lo;
  init.hi = hi;
  return init;
}

Initializer Initializer::ClampedNormal(double mean, double std, double lo,
                                       double hi) {
  Initializer init = TruncatedNormal(mean, std, lo, hi);
  init.kind = Kind::kClampedNormal;
  return init;
}

Initializer Initializer::VarianceScaling(double gain, FanMode fan,
                                         VarianceDistribution distribution) {
  Initializer init;
  init.kind = Kind::kVarianceScaling;
  init.a = gain;
  init.fan = fan;
  init.distribution = distribution;
  return init;
}

Initializer Initializer::XavierUniform(double gain) {
  return VarianceScaling(gain, FanMode::kAverage,
                         VarianceDistribution::kUniform);
}

Initializer Initializer::XavierNormal(double gain) {
  return VarianceScaling(gain, FanMode::kAverage,
                         VarianceDistribution::kNormal);
}

Initializer Initializer::KaimingUniform(FanMode fan, double gain) {
  return VarianceScaling(gain, fan, VarianceDistribution::kUniform);
}

Initializer Initializer::KaimingNormal(FanMode fan, double gain) {
  return VarianceScaling(gain, fan, VarianceDistribution::kNormal);
}

Initializer Initializer::FanInUniform() {
  Initializer init;
  init.kind = Kind::kFanInUniform;
  return init;
}

Initializer Initializer::Orthogonal(double gain) {
  Initializer init;
  init.kind = Kind::kOrthogonal;
  init.a = gain;
  return init;
}

Initializer Initializer::Scaled(double factor) const {
  Initializer init = *this;
  init.scale *= factor;
  return init;
}

absl::Status Initializer::Validate() const {
  SEPTET_RETURN_IF_ERROR(RequireFinite("scale", scale));
  switch (kind) {
    case Kind::kConstant:
      return RequireFinite("value", a);
    case Kind::kUniform:
      return RequireOrder("lo", a, "hi", b);
    case Kind::kNormal:
    case Kind::kTruncatedNormal:
    case Kind::kClampedNormal: {
      SEPTET_RETURN_IF_ERROR(RequireFinite("mean", a));
      SEPTET_RETURN_IF_ERROR(RequireNonNegative("std", b));
      if (kind == Kind::kNormal) return absl::OkStatus();
      SEPTET_RETURN_IF_ERROR(RequireOrder("lo", lo, "hi", hi));
      if (kind == Kind::kClampedNormal) return absl::OkStatus();
      const double root = std::sqrt(0.5);
      const double share = b == 0 ? (lo <= a && a <= hi ? 1.0 : 0.0)
                                  : 0.5 * (std::erfc((lo - a) / b * root) -
                                           std::erfc((hi - a) / b * root));
      if (share >= kMinTruncatedShare) return absl::OkStatus();
      return absl::InvalidArgumentError(absl::StrCat(
          "initializer: [lo, hi] is [", lo, ", ", hi, "], which holds ", share,
          " of the normal distribution with mean ", a, " and std ", b,
          ", expected at least ", kMinTruncatedShare));
    }
    case Kind::kVarianceScaling:
    case Kind::kOrthogonal:
      return RequireNonNegative("gain", a);
    case Kind::kFanInUniform:
      return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("initializer: unknown kind ", static_cast<int>(kind)));
}

std::string Initializer::ToString() const {
  std::string text;
  switch (kind) {
    case Kind::kConstant:
      text = absl::StrCat("constant(", a, ")");
      break;
    case Kind::kUniform:
      text = absl::StrCat("uniform(", a, ", ", b, ")");
      break;
    case Kind::kNormal:
      text = absl::StrCat("normal(", a, ", ", b, ")");
      break;
    case Kind::kTruncatedNormal:
    case Kind::kClampedNormal:
      text =
          absl::StrCat(kind == Kind::kClampedNormal ? "clamped" : "truncated",
                       "_normal(", a, ", ", b, ", ", lo, ", ", hi, ")");
      break;
    case Kind::kVarianceScaling:
      text = absl::StrCat("variance_scaling(gain=", a, ", fan=", FanName(fan),
                          ", ", DistributionName(distribution), ")");
      break;
    case Kind::kFanInUniform:
      text = "fan_in_uniform()";
      break;
    case Kind::kOrthogonal:
      text = absl::StrCat("orthogonal(", a, ")");
      break;
  }
  if (scale != 1) absl::StrAppend(&text, " * ", scale);
  return text;
}

absl::Status Initializer::Fill(const RandomStream& stream, const Fans& fans,
                               const Tensor& out) const {
  SEPTET_RETURN_IF_ERROR(Validate()) << "stream '" << stream.name() << "'";
  const auto error = [&](const auto&... parts) {
    return absl::InvalidArgumentError(absl::StrCat(
        "stream '", stream.name(), "': ", ToString(), ": ", parts...));
  };
  if (!out.defined() || !out.has_storage() ||
      (out.dtype() != DType::kF32 && out.dtype() != DType::kF64) ||
      !out.IsContiguous()) {
    return error("the tensor is ",
                 out.defined() ? out.DebugString() : "undefined",
                 ", expected contiguous f32 or f64");
  }
  if (out.IsReadOnly()) {
    return absl::FailedPreconditionError(
        absl::StrCat("stream '", stream.name(), "': the tensor is read-only"));
  }
  const bool scaling = kind == Kind::kVarianceScaling;
  const bool needs_in =
      kind == Kind::kFanInUniform || (scaling && fan != FanMode::kOut);
  const bool needs_out = scaling && fan != FanMode::kIn;
  if ((needs_in && fans.in < 1) || (needs_out && fans.out < 1)) {
    return error("fan_in is ", fans.in, ", fan_out is ", fans.out,
                 ", expected >= 1");
  }
  if (kind == Kind::kOrthogonal && out.rank() < 2) {
    return error("the tensor is ", out.DebugString(), ", expected rank >= 2");
  }
  if (out.num_elements() == 0) return absl::OkStatus();
  const absl::Status filled =
      out.dtype() == DType::kF32
          ? FillTyped<float>(*this, stream.key(), fans, out)
          : FillTyped<double>(*this, stream.key(), fans, out);
  SEPTET_RETURN_IF_ERROR(filled) << "stream '" << stream.name() << "'";
  return absl::OkStatus();
}

double LeakyReluGain(double slope) {
  return std::sqrt(2 / (1 + slope * slope));
}

double ResidualScale(int64_t layers) {
  SEPTET_CHECK_GE(layers, 1);
  return 1 / std::sqrt(2.0 * static_cast<double>(layers));
}

double DeepNormAlpha(int64_t layers) {
  SEPTET_CHECK_GE(layers, 1);
  return std::sqrt(std::sqrt(2.0 * static_cast<double>(layers)));
}

double DeepNormScale(int64_t layers) {
  SEPTET_CHECK_GE(layers, 1);
  return 1 / std::sqrt(std::sqrt(8.0 * static_cast<double>(layers)));
}

double SubLnScale(int64_t layers) {
  SEPTET_CHECK_GE(layers, 1);
  return std::sqrt(std::log(2.0 * static_cast<double>(layers)));
}

}  // namespace septet
