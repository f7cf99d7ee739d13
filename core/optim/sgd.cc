// SPDX-License-Identifier: Apache-2.0
#include "septet/core/optim/sgd.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/optim/optim_kernels.h"
#include "septet/core/optim/tensor_list_impl.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

absl::Status ValidateLr(double lr) {
  if (std::isfinite(lr) && lr >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("sgd: lr is ", lr, ", expected a finite lr >= 0"));
}

template <typename T>
SgdCoefficients<T> Coefficients(const SgdOptions& options, double lr,
                                bool first) {
  SgdCoefficients<T> c;
  c.lr = static_cast<T>(lr);
  c.gradient_decay = 0;
  c.decay = 0;
  switch (options.decay_kind) {
    case SgdDecay::kGradient:
      c.gradient_decay = static_cast<T>(options.weight_decay);
      break;
    case SgdDecay::kDecoupled:
      c.decay = static_cast<T>(lr * options.weight_decay);
      break;
    case SgdDecay::kUnscaled:
      c.decay = static_cast<T>(options.weight_decay);
      break;
  }
  c.momentum = static_cast<T>(options.momentum);
  c.gradient_share = first && !options.start_from_zero
                         ? T{1}
                         : static_cast<T>(1 - options.dampening);
  return c;
}

}  // namespace

absl::Status SgdOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(ValidateLr(lr));
  if (!(momentum >= 0 && momentum < 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sgd: momentum is ", momentum, ", expected 0 <= momentum < 1"));
  }
  if (!(dampening >= 0 && dampening <= 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sgd: dampening is ", dampening, ", expected 0 <= dampening <= 1"));
  }
  if (nesterov && (momentum == 0 || dampening != 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "sgd: nesterov with momentum ", momentum, " and dampening ", dampening,
        ", expected momentum > 0 and dampening 0"));
  }
  if (!(std::isfinite(weight_decay) && weight_decay >= 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("sgd: weight_decay is ", weight_decay,
                     ", expected a finite weight_decay >= 0"));
  }
  if (decay_kind == SgdDecay::kUnscaled && weight_decay >= 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("sgd: weight_decay is ", weight_decay,
                     ", expected weight_decay < 1 where it is unscaled"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Sgd> Sgd::Create(const SgdOptions& options,
                                absl::Span<const Tensor> params,
                                const std::vector<bool>& decay) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  Sgd sgd(options);
  SEPTET_ASSIGN_OR_RETURN(
      sgd.decay_, optim_internal::DecayMask("sgd", decay, params.size()));
  int64_t total = 0;
  for (size_t i = 0; i < params.size(); ++i) {
    const Tensor& p = params[i];
    SEPTET_RETURN_IF_ERROR(
        optim_internal::ValidateTensor({"sgd: parameter", i}, p));
    sgd.like_.push_back(p.Meta());
    if (options.momentum > 0) {
      SEPTET_ASSIGN_OR_RETURN(Tensor m, Tensor::Zeros(p.shape(), p.dtype()));
      sgd.m_.push_back(std::move(m));
    }
    total += p.num_elements();
    sgd.ends_.push_back(total);
  }
  return sgd;
}

absl::Status Sgd::Step(absl::Span<const Tensor> params,
                       absl::Span<const Tensor> grads, double lr) {
  SEPTET_RETURN_IF_ERROR(ValidateLr(lr));
  SEPTET_RETURN_IF_ERROR(
      optim_internal::ValidateUpdate("sgd", like_, params, grads));

  const SgdKind kind = options_.momentum == 0 ? SgdKind::kPlain
                       : options_.nesterov    ? SgdKind::kNesterov
                                              : SgdKind::kMomentum;
  const auto f32 = Coefficients<float>(options_, lr, step_ == 0);
  const auto f64 = Coefficients<double>(options_, lr, step_ == 0);
  ++step_;
  optim_internal::ForEachRange(
      ends_, [&](size_t i, int64_t begin, int64_t end) {
        const auto run = [&](auto c, auto zero) {
          using T = decltype(zero);
          if (!decay_[i]) c.gradient_decay = c.decay = 0;
          SgdKernel<T>(kind, end - begin, c, grads[i].data<T>() + begin,
                       params[i].mutable_data<T>() + begin,
                       m_.empty() ? nullptr : m_[i].mutable_data<T>() + begin);
        };
        if (like_[i].dtype() == DType::kF32) {
          run(f32, 0.0f);
        } else {
          run(f64, 0.0);
        }
      });
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Sgd::NamedTensor>> Sgd::State() const {
  SEPTET_ASSIGN_OR_RETURN(Tensor step,
                          Tensor::FromValues<int64_t>(Shape(), {step_}));
  std::vector<NamedTensor> state = {{"step", std::move(step)}};
  for (size_t i = 0; i < m_.size(); ++i) {
    state.emplace_back(absl::StrCat("m.", i), m_[i]);
  }
  return state;
}

absl::Status Sgd::SetState(absl::Span<const NamedTensor> state) {
  SEPTET_ASSIGN_OR_RETURN(const std::vector<NamedTensor> own, State());
  SEPTET_ASSIGN_OR_RETURN(
      std::vector<Tensor> copies,
      optim_internal::MatchState("sgd", own, state, like_.size()));
  for (size_t i = 0; i < m_.size(); ++i) m_[i] = std::move(copies[i + 1]);
  step_ = copies[0].item<int64_t>();
  return absl::OkStatus();
}

}  // namespace septet
