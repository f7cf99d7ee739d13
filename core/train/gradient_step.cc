// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/gradient_step.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "septet/core/autograd/op.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/ops/elementwise_kernels.h"
#include "septet/core/optim/adam.h"
#include "septet/core/optim/clip.h"
#include "septet/core/optim/ema.h"
#include "septet/core/optim/schedule.h"
#include "septet/core/optim/sgd.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/checkpoint.h"
#include "septet/core/train/non_finite.h"

namespace septet {
namespace {

using Optimizer = std::variant<Adam, Sgd>;

constexpr char kModel[] = "model.";
constexpr char kOptimizer[] = "optimizer.";
constexpr char kEma[] = "ema.";

// fn(T*, n) of the elements of a gradient, which the tape gives as contiguous
// f32 or f64 with memory of its own.
template <typename Fn>
void OnElements(const Tensor& tensor, const Fn& fn) {
  if (tensor.dtype() == DType::kF32) {
    fn(tensor.mutable_data<float>(), tensor.num_elements());
  } else {
    fn(tensor.mutable_data<double>(), tensor.num_elements());
  }
}

void Scale(double factor, absl::Span<const Tensor> tensors) {
  for (const Tensor& tensor : tensors) {
    OnElements(tensor, [&](auto* x, int64_t n) {
      using T = std::remove_pointer_t<decltype(x)>;
      ScaleKernel<T>(n, static_cast<T>(factor), x, x);
    });
  }
}

// sums += weight * terms
void AddTo(absl::Span<const Tensor> sums, double weight,
           absl::Span<const Tensor> terms) {
  for (size_t i = 0; i < sums.size(); ++i) {
    OnElements(sums[i], [&](auto* sum, int64_t n) {
      using T = std::remove_pointer_t<decltype(sum)>;
      const T* term = terms[i].data<T>();
      if (weight == 1) {
        AccumulateKernel<T>(n, term, sum);
      } else {
        AxpyKernel<T>(n, static_cast<T>(weight), term, sum);
      }
    });
  }
}

absl::Status CopyAll(absl::Span<const Tensor> from,
                     absl::Span<const Tensor> to) {
  for (size_t i = 0; i < from.size(); ++i) {
    SEPTET_RETURN_IF_ERROR(to[i].CopyFrom(from[i]));
  }
  return absl::OkStatus();
}

absl::Status OutOfRange(absl::string_view field, double value,
                        absl::string_view range) {
  return absl::InvalidArgumentError(absl::StrCat(
      "gradient step: ", field, " is ", value, ", expected ", range));
}

}  // namespace

absl::Status GradientStepOptions::Validate() const {
  SEPTET_RETURN_IF_ERROR(std::visit(
      [](const auto& options) { return options.Validate(); }, optimizer));
  SEPTET_RETURN_IF_ERROR(schedule.Validate());
  if (!(max_grad_norm >= 0) || !std::isfinite(max_grad_norm)) {
    return OutOfRange("max_grad_norm", max_grad_norm, "a finite number >= 0");
  }
  if (micro_batches < 1) {
    return OutOfRange("micro_batches", micro_batches, "at least 1");
  }
  if (!(ema_tau >= 0 && ema_tau <= 1)) {
    return OutOfRange("ema_tau", ema_tau, "0 to 1");
  }
  return absl::OkStatus();
}

struct GradientStep::State {
  State(ParameterStore* store, GradientStepOptions options, Optimizer optimizer)
      : store(store),
        options(std::move(options)),
        optimizer(std::move(optimizer)) {}

  ParameterStore* store;
  GradientStepOptions options;
  Optimizer optimizer;
  std::optional<ParameterStore> ema;
  std::vector<Tensor> buffers;  // as they were before the step
  Tape tape;
  BoundParameters bound;

  struct Gradient {
    double loss = 0;
    std::vector<Tensor> grads;
  };

  // Loss and gradient over all micro-batches; stops after a loss that is not
  // finite, with the gradient so far.
  absl::StatusOr<Gradient> Compute(LossFn loss) {
    Gradient sum;
    double weights = 0;
    for (int i = 0; i < options.micro_batches; ++i) {
      tape.Reset();
      store->Watch(&tape, &bound);
      const MicroBatchLoss part = loss(bound, i);
      SEPTET_RETURN_IF_ERROR(part.loss.status());
      if (!part.loss.defined() || part.loss.tape() != &tape ||
          part.loss.tensor().num_elements() != 1 ||
          !IsFloating(part.loss.dtype())) {
        return absl::InvalidArgumentError(absl::StrCat(
            "gradient step: the loss of micro-batch ", i, " is ",
            part.loss.defined() ? part.loss.tensor().DebugString() : "nothing",
            part.loss.defined() && part.loss.tape() != &tape
                ? ", which no parameter takes part in"
                : "",
            "; expected one floating element computed from the parameters"));
      }
      if (!(part.weight > 0) || !std::isfinite(part.weight)) {
        return OutOfRange(absl::StrCat("the weight of micro-batch ", i),
                          part.weight, "a finite number > 0");
      }
      const double value = part.loss.tensor().item<double>();
      SEPTET_ASSIGN_OR_RETURN(
          std::vector<Tensor> grads,
          tape.Grad(part.loss, bound.trained(), {/*release=*/true}));
      if (options.micro_batches == 1) {
        sum.loss = value;
        sum.grads = std::move(grads);
        break;
      }
      weights += part.weight;
      sum.loss += part.weight * value;
      if (i == 0) {
        sum.grads = std::move(grads);
        if (part.weight != 1) Scale(part.weight, sum.grads);
      } else {
        AddTo(sum.grads, part.weight, grads);
      }
      if (!std::isfinite(value)) break;
    }
    // What the ops have kept is free for whoever comes next.
    tape.Reset();
    if (options.micro_batches > 1) {
      sum.loss /= weights;
      Scale(1 / weights, sum.grads);
    }
    return sum;
  }

  absl::Status RestoreBuffers() { return CopyAll(buffers, store->buffers()); }

  // Why the loss or the norm of the gradient is not finite.
  absl::Status Explain(int64_t step, double loss_value, double norm,
                       LossFn loss) {
    const std::string what =
        absl::StrCat("step ", step, ": ",
                     std::isfinite(loss_value) ? "the gradient is not finite"
                     : std::isnan(loss_value)  ? "the loss is nan"
                     : loss_value > 0          ? "the loss is inf"
                                               : "the loss is -inf");
    const auto error = [&](absl::string_view first) {
      return absl::FailedPreconditionError(
          absl::StrCat(what, "; the first tensor that is not finite is ", first,
                       ". Nothing was updated"));
    };
    for (int i = 0; i < static_cast<int>(store->trained().size()); ++i) {
      const ParameterId id = store->trained_id(i);
      const std::string text = NonFiniteText(store->tensor(id));
      if (text.empty()) continue;
      return error(absl::StrCat("the parameter '", store->name(id),
                                "', before the step: ", text));
    }
    for (int i = 0; i < static_cast<int>(store->buffers().size()); ++i) {
      const ParameterId id = store->buffer_id(i);
      const std::string text = NonFiniteText(store->tensor(id));
      if (text.empty()) continue;
      return error(absl::StrCat("the buffer '", store->name(id),
                                "', before the step: ", text));
    }
    NonFiniteFinder finder;
    absl::StatusOr<Gradient> again = [&] {
      ScopedOpObserver scope(&finder);
      return Compute(loss);
    }();
    SEPTET_RETURN_IF_ERROR(RestoreBuffers());
    if (!again.ok()) {
      return AnnotateStatus(again.status(),
                            absl::StrCat(what, "; running it again"));
    }
    std::string first = finder.Report(!std::isfinite(loss_value));
    for (size_t i = 0; i < again->grads.size(); ++i) {
      const std::string text = NonFiniteText(again->grads[i]);
      if (text.empty()) continue;
      const std::string name =
          store->name(store->trained_id(static_cast<int>(i)));
      if (first.empty()) {
        return error(
            absl::StrCat("the gradient of the parameter '", name, "': ", text));
      }
      absl::StrAppend(&first,
                      "; the first such gradient of a parameter is that "
                      "of '",
                      name, "'");
      break;
    }
    if (!first.empty()) return error(first);
    return absl::FailedPreconditionError(absl::StrCat(
        what, " (norm ", norm,
        "), but every tensor is finite when the step is run again: the norm "
        "overflows, or the loss is no function of the step. Nothing was "
        "updated"));
  }
};

GradientStep::GradientStep(std::unique_ptr<State> state)
    : state_(std::move(state)) {}
GradientStep::GradientStep(GradientStep&&) noexcept = default;
GradientStep& GradientStep::operator=(GradientStep&&) noexcept = default;
GradientStep::~GradientStep() = default;

absl::StatusOr<GradientStep> GradientStep::Create(
    ParameterStore* store, const GradientStepOptions& options) {
  SEPTET_CHECK(store != nullptr);
  SEPTET_RETURN_IF_ERROR(options.Validate());
  const std::vector<bool> decay =
      options.decay_all ? std::vector<bool>() : store->trained_decay();
  std::optional<Optimizer> optimizer;
  if (const auto* adam = std::get_if<AdamOptions>(&options.optimizer)) {
    SEPTET_ASSIGN_OR_RETURN(Adam made,
                            Adam::Create(*adam, store->trained(), decay));
    optimizer = std::move(made);
  } else {
    SEPTET_ASSIGN_OR_RETURN(Sgd made,
                            Sgd::Create(std::get<SgdOptions>(options.optimizer),
                                        store->trained(), decay));
    optimizer = std::move(made);
  }
  auto state = std::make_unique<State>(store, options, *std::move(optimizer));
  for (const Tensor& buffer : store->buffers()) {
    SEPTET_ASSIGN_OR_RETURN(Tensor copy, buffer.Clone());
    state->buffers.push_back(std::move(copy));
  }
  if (options.ema_tau > 0) {
    SEPTET_ASSIGN_OR_RETURN(state->ema, store->Clone());
  }
  return GradientStep(std::move(state));
}

absl::StatusOr<GradientStepResult> GradientStep::Run(int64_t step,
                                                     LossFn loss) {
  State& state = *state_;
  const ParameterStore& store = *state.store;
  SEPTET_RETURN_IF_ERROR(CopyAll(store.buffers(), state.buffers));
  SEPTET_ASSIGN_OR_RETURN(State::Gradient gradient, state.Compute(loss));
  GradientStepResult result;
  result.loss = gradient.loss;
  result.lr = state.options.schedule(step);
  if (state.options.max_grad_norm > 0) {
    SEPTET_ASSIGN_OR_RETURN(
        result.grad_norm,
        ClipGradNorm(gradient.grads, {state.options.max_grad_norm}));
  } else {
    SEPTET_ASSIGN_OR_RETURN(result.grad_norm, GlobalNorm(gradient.grads));
  }
  if (!std::isfinite(result.loss) || !std::isfinite(result.grad_norm)) {
    gradient.grads.clear();
    SEPTET_RETURN_IF_ERROR(state.RestoreBuffers());
    return state.Explain(step, result.loss, result.grad_norm, loss);
  }
  SEPTET_RETURN_IF_ERROR(std::visit(
      [&](auto& optimizer) {
        return optimizer.Step(store.trained(), gradient.grads, result.lr);
      },
      state.optimizer));
  if (state.ema.has_value()) {
    SEPTET_RETURN_IF_ERROR(UpdateEma(store.trained(), {state.options.ema_tau},
                                     state.ema->trained()));
    SEPTET_RETURN_IF_ERROR(CopyAll(store.buffers(), state.ema->buffers()));
  }
  return result;
}

const ParameterStore* GradientStep::ema() const {
  return state_->ema.has_value() ? &*state_->ema : nullptr;
}

absl::Status GradientStep::Save(Checkpoint* checkpoint,
                                absl::string_view prefix) const {
  checkpoint->tensors.merge(
      state_->store->Export(absl::StrCat(prefix, kModel)));
  SEPTET_ASSIGN_OR_RETURN(
      const auto optimizer,
      std::visit([](const auto& optimizer) { return optimizer.State(); },
                 state_->optimizer));
  for (const auto& [name, tensor] : optimizer) {
    checkpoint->tensors[absl::StrCat(prefix, kOptimizer, name)] = tensor;
  }
  if (state_->ema.has_value()) {
    checkpoint->tensors.merge(state_->ema->Export(absl::StrCat(prefix, kEma)));
  }
  return absl::OkStatus();
}

absl::Status GradientStep::Restore(const Checkpoint& checkpoint,
                                   absl::string_view prefix) {
  // The tensors of one part, with their names in the checkpoint.
  const auto part = [&](absl::string_view kind) {
    const std::string start = absl::StrCat(prefix, kind);
    std::map<std::string, Tensor> tensors;
    for (auto it = checkpoint.tensors.lower_bound(start);
         it != checkpoint.tensors.end() &&
         absl::string_view(it->first).substr(0, start.size()) == start;
         ++it) {
      tensors.insert(*it);
    }
    return tensors;
  };
  std::vector<std::pair<std::string, Tensor>> optimizer;
  const std::string start = absl::StrCat(prefix, kOptimizer);
  for (const auto& [name, tensor] : part(kOptimizer)) {
    optimizer.emplace_back(name.substr(start.size()), tensor);
  }
  SEPTET_RETURN_IF_ERROR(
      std::visit([&](auto& target) { return target.SetState(optimizer); },
                 state_->optimizer))
      << "checkpoint of step " << checkpoint.step;
  ParameterImportOptions import;
  import.prefix = absl::StrCat(prefix, kModel);
  SEPTET_RETURN_IF_ERROR(state_->store->Import(part(kModel), import))
      << "checkpoint of step " << checkpoint.step;
  if (state_->ema.has_value()) {
    import.prefix = absl::StrCat(prefix, kEma);
    SEPTET_RETURN_IF_ERROR(state_->ema->Import(part(kEma), import))
        << "checkpoint of step " << checkpoint.step;
  }
  return absl::OkStatus();
}

}  // namespace septet
