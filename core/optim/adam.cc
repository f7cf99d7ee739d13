// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/adam.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/optim/optim_kernels.h"
#include "septet/core/optim/tensor_list_impl.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using optim_internal::ForEachRange;
using optim_internal::ValidateTensor;

absl::Status ValidateLr(double lr) {
  if (std::isfinite(lr) && lr >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("adam: lr is ", lr, ", expected a finite lr >= 0"));
}

// 1 - beta^t for beta in [0, 1), t >= 1. beta - 1 is exact from 1/2 on, and
// below the logarithm does not need it to be.
double Correction(double beta, int64_t t) {
  return -std::expm1(static_cast<double>(t) * std::log1p(beta - 1));
}

template <typename T>
AdamCoefficients<T> Coefficients(const AdamOptions& options, double lr,
                                 int64_t t) {
  AdamCoefficients<T> c;
  c.beta1 = static_cast<T>(options.beta1);
  c.beta2 = static_cast<T>(options.beta2);
  c.one_minus_beta1 = static_cast<T>(1 - options.beta1);
  c.one_minus_beta2 = static_cast<T>(1 - options.beta2);
  c.step_size = static_cast<T>(lr / Correction(options.beta1, t));
  c.root_factor = static_cast<T>(1 / std::sqrt(Correction(options.beta2, t)));
  c.eps = static_cast<T>(options.eps);
  c.decay = static_cast<T>(lr * options.weight_decay);
  return c;
}

}  // namespace

absl::Status AdamOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(ValidateLr(lr));
  const std::pair<const char*, double> betas[] = {{"beta1", beta1},
                                                  {"beta2", beta2}};
  for (const auto& [name, beta] : betas) {
    if (!(beta >= 0 && beta < 1)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "adam: ", name, " is ", beta, ", expected 0 <= ", name, " < 1"));
    }
  }
  if (!(std::isfinite(eps) && eps >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("adam: eps is ", eps, ", expected a finite eps >= 0"));
  }
  if (!(std::isfinite(weight_decay) && weight_decay >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("adam: weight_decay is ", weight_decay,
                     ", expected a finite weight_decay >= 0"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Adam> Adam::Create(const AdamOptions& options,
                                  absl::Span<const Tensor> params,
                                  const std::vector<bool>& decay) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  Adam adam(options);
  SEPTET_ASSIGN_OR_RETURN(
      adam.decay_, optim_internal::DecayMask("adam", decay, params.size()));
  int64_t total = 0;
  for (size_t i = 0; i < params.size(); ++i) {
    const Tensor& p = params[i];
    SEPTET_RETURN_IF_ERROR(ValidateTensor({"adam: parameter", i}, p));
    SEPTET_ASSIGN_OR_RETURN(Tensor m, Tensor::Zeros(p.shape(), p.dtype()));
    SEPTET_ASSIGN_OR_RETURN(Tensor v, Tensor::Zeros(p.shape(), p.dtype()));
    adam.m_.push_back(std::move(m));
    adam.v_.push_back(std::move(v));
    total += p.num_elements();
    adam.ends_.push_back(total);
  }
  return adam;
}

absl::Status Adam::Step(absl::Span<const Tensor> params,
                        absl::Span<const Tensor> grads, double lr) {
  SEPTET_RETURN_IF_ERROR(ValidateLr(lr));
  SEPTET_RETURN_IF_ERROR(
      optim_internal::ValidateUpdate("adam", m_, params, grads));

  ++step_;
  const auto f32 = Coefficients<float>(options_, lr, step_);
  const auto f64 = Coefficients<double>(options_, lr, step_);
  ForEachRange(ends_, [&](size_t i, int64_t begin, int64_t end) {
    const auto run = [&](auto c, auto zero) {
      using T = decltype(zero);
      if (!decay_[i]) c.decay = 0;
      AdamKernel<T>(end - begin, c, grads[i].data<T>() + begin,
                    params[i].mutable_data<T>() + begin,
                    m_[i].mutable_data<T>() + begin,
                    v_[i].mutable_data<T>() + begin);
    };
    if (m_[i].dtype() == DType::kF32) {
      run(f32, 0.0f);
    } else {
      run(f64, 0.0);
    }
  });
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Adam::NamedTensor>> Adam::State() const {
  SEPTET_ASSIGN_OR_RETURN(Tensor step,
                          Tensor::FromValues<int64_t>(Shape(), {step_}));
  std::vector<NamedTensor> state = {{"step", std::move(step)}};
  for (size_t i = 0; i < m_.size(); ++i) {
    state.emplace_back(absl::StrCat("m.", i), m_[i]);
    state.emplace_back(absl::StrCat("v.", i), v_[i]);
  }
  return state;
}

absl::Status Adam::SetState(absl::Span<const NamedTensor> state) {
  SEPTET_ASSIGN_OR_RETURN(const std::vector<NamedTensor> own, State());
  SEPTET_ASSIGN_OR_RETURN(
      std::vector<Tensor> copies,
      optim_internal::MatchState("adam", own, state, m_.size()));
  for (size_t i = 0; i < m_.size(); ++i) {
    m_[i] = std::move(copies[2 * i + 1]);
    v_[i] = std::move(copies[2 * i + 2]);
  }
  step_ = copies[0].item<int64_t>();
  return absl::OkStatus();
}

}  // namespace septet
