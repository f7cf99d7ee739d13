// SPDX-License-Identifier: Apache-2.0
// retnet/relpos: angles, rotations and decays, as the tables of torchscale
// have them.
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/family.h"
#include "septet/core/ops/elementwise.h"
#include "septet/core/ops/rotary.h"
#include "septet/core/ops/shape_ops.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"
#include "septet/retention/positions.h"
#include "septet/retention/retention.h"
#include "septet/retention/retnet_decay_option.h"
#include "septet/retention/retnet_tolerance.h"

namespace septet {
namespace {

// gamma^(n - m) / sqrt(c_n): retention of keys and queries 1 and values that
// are rows of the identity. [H, rows, rows].
absl::StatusOr<Var> Mask(int64_t heads, int64_t rows, const Tensor& log_gamma,
                         DType dtype) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor ones,
                          Tensor::Full({1, rows, heads, 1}, 1, dtype));
  SEPTET_ASSIGN_OR_RETURN(const Tensor identity,
                          Tensor::Zeros({1, rows, heads, rows}, DType::kF64));
  for (int64_t n = 0; n < rows; ++n) {
    for (int64_t h = 0; h < heads; ++h) {
      identity.mutable_data<double>()[(n * heads + h) * rows + n] = 1;
    }
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor values, identity.To(dtype));
  RetentionOptions options;
  options.form = RetentionForm::kParallel;
  const Var out = Retention(ones, ones, values, log_gamma, options).out;
  return Reshape(Permute(out, {0, 2, 1, 3}), {heads, rows, rows});
}

absl::Status Relpos(CaseRun& run) {
  Case& file = run.file();
  const DType dtype = run.dtype();
  SEPTET_ASSIGN_OR_RETURN(const int64_t heads, file.Int("heads"));
  SEPTET_ASSIGN_OR_RETURN(const int64_t key_dim, file.Int("key_dim"));
  SEPTET_ASSIGN_OR_RETURN(const int64_t rows, file.Int("seq_len"));
  SEPTET_ASSIGN_OR_RETURN(const int64_t chunk, file.Int("chunk_size"));
  SEPTET_ASSIGN_OR_RETURN(const DecayOptions decay, DecayOptionOf(file));
  SEPTET_ASSIGN_OR_RETURN(const Tensor log_gamma, LogDecay(decay, heads));
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor frequencies,
      RetNetFrequencies(RetNetRotary::kInterleavedLinspace, key_dim));
  if (rows < 1 || chunk < 1) {
    return absl::InvalidArgumentError("seq_len and chunk_size: expected >= 1");
  }
  SEPTET_RETURN_IF_ERROR(run.Expect("log_gamma", log_gamma));
  SEPTET_RETURN_IF_ERROR(run.Expect("gamma", Exp(log_gamma)));
  std::vector<double> angles;
  for (int64_t i = 0; i < key_dim; ++i) {
    angles.push_back(frequencies.data<double>()[i / 2]);
  }
  SEPTET_RETURN_IF_ERROR(run.Expect(
      "angle", Tensor::FromValues<double>(Shape({key_dim}), angles)));
  // (1, 0) rotated is (cos, sin), (0, 1) rotated (-sin, cos).
  std::vector<double> first, second;
  for (int64_t i = 0; i < rows * key_dim; ++i) {
    first.push_back(i % 2 == 0 ? 1 : 0);
    second.push_back(i % 2);
  }
  const auto rotate = [&](const std::vector<double>& x) {
    return Rotary(
        Cast(Tensor::FromValues<double>(Shape({rows, key_dim}), x), dtype),
        frequencies);
  };
  const Var a = rotate(first), b = rotate(second);
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor even,
      Tensor::FromValues<double>(Shape({rows, key_dim}), first));
  const Var is_even = Greater(even, *Tensor::Scalar(0.5, DType::kF64));
  const Var cos = Where(is_even, a, b);
  // Each sine twice in a row.
  const auto twice = [&](const Var& x, int64_t at) {
    const Var pairs = Reshape(x, {rows, key_dim / 2, 2});
    if (!pairs.ok()) return pairs;
    absl::StatusOr<Tensor> one = pairs.tensor().Slice(2, at, at + 1);
    if (!one.ok()) return Var(one.status());
    return Reshape(BroadcastTo(*one, pairs.shape()), {rows, key_dim});
  };
  const Var sin = twice(a, 1);
  SEPTET_RETURN_IF_ERROR(run.Expect("cos", cos));
  SEPTET_RETURN_IF_ERROR(run.Expect("sin", sin));
  SEPTET_ASSIGN_OR_RETURN(const Tensor last_cos,
                          cos.tensor().Slice(0, rows - 1, rows));
  SEPTET_ASSIGN_OR_RETURN(const Tensor last_sin,
                          sin.tensor().Slice(0, rows - 1, rows));
  SEPTET_RETURN_IF_ERROR(
      run.Expect("cos_recurrent", Reshape(last_cos, {key_dim})));
  SEPTET_RETURN_IF_ERROR(
      run.Expect("sin_recurrent", Reshape(last_sin, {key_dim})));
  SEPTET_ASSIGN_OR_RETURN(const Var mask, Mask(heads, rows, log_gamma, dtype));
  SEPTET_RETURN_IF_ERROR(run.Expect("mask", mask));
  SEPTET_ASSIGN_OR_RETURN(const Var inner,
                          Mask(heads, chunk, log_gamma, dtype));
  SEPTET_RETURN_IF_ERROR(run.Expect("inner_mask", inner));
  std::vector<double> cross, query, value;
  for (int64_t h = 0; h < heads; ++h) {
    const double lg = log_gamma.data<double>()[h];
    const double whole = DecayRowSum(lg, chunk - 1);
    cross.push_back(std::exp(lg * static_cast<double>(chunk)));
    for (int64_t j = 0; j < chunk; ++j) {
      query.push_back(std::exp(lg * static_cast<double>(j + 1)) * whole /
                      std::sqrt(DecayRowSum(lg, j)));
      value.push_back(std::exp(lg * static_cast<double>(chunk - 1 - j)) /
                      whole);
    }
  }
  const auto table = [&](const std::vector<double>& x, int64_t length) {
    return Tensor::FromValues<double>(Shape({heads, length, 1}), x);
  };
  SEPTET_RETURN_IF_ERROR(run.Expect("cross_decay", table(cross, 1)));
  SEPTET_RETURN_IF_ERROR(run.Expect("query_inner_decay", table(query, chunk)));
  return run.Expect("value_inner_decay", table(value, chunk));
}

[[maybe_unused]] const bool kRegistered =
    RegisterFamily({"retnet/relpos", kRetnetF64, kRetnetF32, &Relpos});

}  // namespace
}  // namespace septet
