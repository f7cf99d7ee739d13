// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/parity.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/index.h"
#include "septet/core/ops/loss.h"
#include "septet/core/random/distributions.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/shape.h"
#include "septet/retention/decode_cache.h"
#include "septet/retention/multi_scale_retention.h"
#include "septet/retention/retention.h"

namespace septet {
namespace {

constexpr const char* kName = "parity";

// A way to work out the same function.
struct Form {
  std::string name;
  RetentionForm form = RetentionForm::kParallel;
  int64_t chunk_size = 64;
};

std::vector<Form> AllForms(absl::Span<const int64_t> chunk_sizes) {
  std::vector<Form> forms;
  for (const int64_t size : chunk_sizes) {
    forms.push_back(
        {absl::StrCat("chunks of ", size), RetentionForm::kChunkwise, size});
  }
  forms.push_back({"recurrent", RetentionForm::kRecurrent});
  return forms;
}

bool IsTorchscale(const RetNet& model) {
  const ScoreNorm norm = model.options().retention.score_norm;
  return norm == ScoreNorm::kTorchscale || norm == ScoreNorm::kTorchscaleLegacy;
}

absl::Status Interrupted() {
  return InterruptRequested() ? InterruptedError("parity") : absl::OkStatus();
}

// The larger one; NaN if one is.
double Worse(double a, double b) { return a > b || std::isnan(a) ? a : b; }

template <typename T>
double DifferenceOf(const Tensor& got, const Tensor& want) {
  const T* const a = got.data<T>();
  const T* const b = want.data<T>();
  double difference = 0, largest = 0;
  for (int64_t i = 0; i < want.num_elements(); ++i) {
    difference =
        Worse(std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])),
              difference);
    largest = Worse(std::abs(static_cast<double>(b[i])), largest);
  }
  if (difference == 0) return std::isnan(largest) ? largest : 0;
  return difference / largest;
}

// The largest difference over the largest value of `want`.
absl::StatusOr<double> Difference(const Tensor& got, const Tensor& want) {
  if (got.shape() != want.shape() || got.dtype() != want.dtype()) {
    return absl::InternalError(absl::StrCat(kName, ": ", got.DebugString(),
                                            " beside ", want.DebugString()));
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor a, got.Contiguous());
  SEPTET_ASSIGN_OR_RETURN(const Tensor b, want.Contiguous());
  return want.dtype() == DType::kF32 ? DifferenceOf<float>(a, b)
                                     : DifferenceOf<double>(a, b);
}

// Of each row [..., V], where the largest is, and how far the next one is away.
struct Best {
  std::vector<int64_t> token;
  std::vector<double> lead;
};

Best BestOf(const Tensor& logits) {
  const std::vector<double> values = logits.ToVector<double>();
  const int64_t vocab = logits.dim(logits.rank() - 1);
  Best best;
  for (size_t row = 0; row * static_cast<size_t>(vocab) < values.size();
       ++row) {
    const double* const at = values.data() + row * static_cast<size_t>(vocab);
    const int64_t token = std::max_element(at, at + vocab) - at;
    double next = -std::numeric_limits<double>::infinity();
    for (int64_t v = 0; v < vocab; ++v) {
      if (v != token) next = Worse(at[v], next);
    }
    best.token.push_back(token);
    best.lead.push_back(at[token] - next);
  }
  return best;
}

double ShareOfSameBest(const Tensor& got, const Tensor& want) {
  const std::vector<int64_t> a = BestOf(got).token, b = BestOf(want).token;
  size_t same = 0;
  for (size_t i = 0; i < a.size(); ++i) same += a[i] == b[i] ? 1 : 0;
  return static_cast<double>(same) / static_cast<double>(a.size());
}

absl::StatusOr<Tensor> FromRow(const Tensor& x, int64_t first) {
  return x.Slice(1, first, x.dim(1));
}

// ---- The core on given q, k, v.

struct CoreResult {
  Tensor out;
  std::vector<Tensor> state;
  std::vector<Tensor> gradients;
};

absl::StatusOr<Tensor> UpstreamGradient(const Tensor& like, uint64_t seed,
                                        uint64_t layer) {
  SEPTET_ASSIGN_OR_RETURN(const RandomStream stream,
                          RandomStream::Create(seed, "retention/parity"));
  SEPTET_ASSIGN_OR_RETURN(Tensor d_out,
                          Tensor::Empty(like.shape(), like.dtype()));
  const size_t n = static_cast<size_t>(d_out.num_elements());
  const uint64_t first = layer << 40;
  SEPTET_RETURN_IF_ERROR(
      d_out.dtype() == DType::kF32
          ? FillNormal(stream, 0, 1,
                       absl::MakeSpan(d_out.mutable_data<float>(), n), first)
          : FillNormal(stream, 0, 1,
                       absl::MakeSpan(d_out.mutable_data<double>(), n), first));
  return d_out;
}

// d_out undefined: without gradients.
absl::StatusOr<CoreResult> RunCore(const RetNet& model,
                                   const RetentionView& view, const Form& form,
                                   const Tensor& d_out) {
  RetentionOptions options;
  options.form = form.form;
  options.chunk_size = form.chunk_size;
  options.score_norm = model.options().retention.score_norm;
  const bool torchscale = IsTorchscale(model);
  Tape tape;
  std::vector<Var> in;
  for (const Var* x : {&view.q, &view.k, &view.v, &view.log_gamma}) {
    const bool watched =
        d_out.defined() && !(torchscale && x == &view.log_gamma);
    in.push_back(watched ? tape.Watch(x->tensor()) : Var(x->tensor()));
  }
  const RetentionOutput got = Retention(in[0], in[1], in[2], in[3], options, {},
                                        /*return_state=*/!torchscale);
  SEPTET_RETURN_IF_ERROR(got.out.status());
  CoreResult result;
  result.out = got.out.tensor();
  for (const Var* x : {&got.state.s, &got.state.key_sum}) {
    if (x->ok() && x->defined()) result.state.push_back(x->tensor());
  }
  if (!d_out.defined()) return result;
  if (torchscale) in.pop_back();
  const Var cotangent = d_out;
  SEPTET_ASSIGN_OR_RETURN(const std::vector<Var> gradients,
                          tape.GradVars({&got.out, 1}, {&cotangent, 1}, in,
                                        /*create_graph=*/false));
  for (const Var& x : gradients) result.gradients.push_back(x.tensor());
  return result;
}

// By RetentionStep, from nothing.
absl::StatusOr<CoreResult> StepCore(const RetNet& model,
                                    const RetentionView& view) {
  RetentionOptions options;
  options.score_norm = model.options().retention.score_norm;
  const Tensor &q = view.q.tensor(), &v = view.v.tensor();
  const int64_t batch = q.dim(0), time = q.dim(1), heads = q.dim(2),
                key_dim = q.dim(3), value_dim = v.dim(3);
  const DType dtype = q.dtype();
  SEPTET_ASSIGN_OR_RETURN(
      Tensor s, Tensor::Zeros({batch, heads, key_dim, value_dim}, dtype));
  Tensor key_sum;
  if (options.score_norm == ScoreNorm::kPaper) {
    SEPTET_ASSIGN_OR_RETURN(key_sum,
                            Tensor::Zeros({batch, heads, key_dim}, dtype));
  }
  std::vector<int64_t> positions(static_cast<size_t>(batch));
  CoreResult result;
  SEPTET_ASSIGN_OR_RETURN(
      result.out, Tensor::Empty({batch, time, heads, value_dim}, dtype));
  SEPTET_ASSIGN_OR_RETURN(Tensor row,
                          Tensor::Empty({batch, heads, value_dim}, dtype));
  for (int64_t t = 0; t < time; ++t) {
    std::vector<Tensor> at;
    for (const Tensor& x : {q, view.k.tensor(), v}) {
      SEPTET_ASSIGN_OR_RETURN(const Tensor slice, x.Slice(1, t, t + 1));
      SEPTET_ASSIGN_OR_RETURN(Tensor flat,
                              slice.Reshape({batch, heads, x.dim(3)}));
      at.push_back(std::move(flat));
    }
    SEPTET_RETURN_IF_ERROR(RetentionStep(at[0], at[1], at[2],
                                         view.log_gamma.tensor(), options, &s,
                                         key_sum.defined() ? &key_sum : nullptr,
                                         absl::MakeSpan(positions), &row));
    SEPTET_ASSIGN_OR_RETURN(const Tensor into, result.out.Slice(1, t, t + 1));
    SEPTET_ASSIGN_OR_RETURN(const Tensor source,
                            row.Reshape({batch, 1, heads, value_dim}));
    SEPTET_RETURN_IF_ERROR(into.CopyFrom(source));
  }
  if (IsTorchscale(model)) return result;
  result.state.push_back(s);
  if (key_sum.defined()) result.state.push_back(key_sum);
  return result;
}

// ---- The whole model.

struct ModelResult {
  std::vector<RetentionView> cores;
  std::vector<Tensor> layers;  // [B, T, d], or the rows behind a split
  Tensor logits;
  std::vector<Tensor> gradients;
};

// That the next token follows, and behind the last one the first.
absl::StatusOr<Tensor> NextTokens(const Tensor& tokens) {
  SEPTET_ASSIGN_OR_RETURN(Tensor next,
                          Tensor::Empty(tokens.shape(), tokens.dtype()));
  const int64_t time = tokens.dim(1);
  for (int64_t i = 0; i < tokens.num_elements(); ++i) {
    const int64_t row = i / time;
    next.mutable_data<int64_t>()[i] =
        tokens.data<int64_t>()[row * time + (i + 1) % time];
  }
  return next;
}

absl::StatusOr<ModelResult> RunModel(const RetNet& model,
                                     const ParameterStore& store,
                                     const Tensor& tokens, const Form& form,
                                     bool gradients) {
  ModelResult result;
  Tape tape;
  const BoundParameters p = gradients ? store.Watch(&tape) : store.Bind();
  RetNetInput input;
  input.tokens = tokens;
  input.form = form.form;
  input.chunk_size = form.chunk_size;
  absl::Status status;
  input.observer = [&](const RetNetLayerView& view) {
    status.Update(view.out.status());
    if (!status.ok()) return;
    const RetentionView& core = view.retention;
    // Without the tape, which ends before they do.
    result.cores.push_back({core.q.tensor(), core.k.tensor(), core.v.tensor(),
                            core.log_gamma.tensor(), core.out.tensor()});
    result.layers.push_back(view.out.tensor());
  };
  const Var logits = model.Forward(p, Pass(), input);
  SEPTET_RETURN_IF_ERROR(status);
  SEPTET_RETURN_IF_ERROR(logits.status());
  result.logits = logits.tensor();
  if (!gradients) return result;
  SEPTET_ASSIGN_OR_RETURN(const Tensor targets, NextTokens(tokens));
  SEPTET_ASSIGN_OR_RETURN(result.gradients,
                          tape.Grad(CrossEntropy(logits, targets), p.trained(),
                                    {/*release=*/true}));
  return result;
}

// Reads `split` tokens as a prompt and decodes from there: logits from row
// split - 1 on, layers from row split on.
absl::StatusOr<ModelResult> RunSteps(const RetNet& model,
                                     const ParameterStore& store,
                                     const Tensor& tokens, int64_t split) {
  const BoundParameters p = store.Bind();
  const int64_t batch = tokens.dim(0), time = tokens.dim(1),
                layers = model.options().layers;
  const int64_t* const ids = tokens.data<int64_t>();
  const DType dtype = store.tensor(model.embedding()).dtype();
  const int64_t first_logits = std::max<int64_t>(split - 1, 0);
  ModelResult result;
  SEPTET_ASSIGN_OR_RETURN(
      result.logits,
      Tensor::Empty({batch, time - first_logits, model.options().vocab_size},
                    dtype));
  for (int64_t i = 0; i < layers; ++i) {
    SEPTET_ASSIGN_OR_RETURN(
        Tensor out,
        Tensor::Empty({batch, time - split, model.options().dim}, dtype));
    result.layers.push_back(std::move(out));
  }
  const auto put = [](const Tensor& row, int64_t t,
                      const Tensor& into) -> absl::Status {
    SEPTET_ASSIGN_OR_RETURN(const Tensor place, into.Slice(1, t, t + 1));
    SEPTET_ASSIGN_OR_RETURN(const Tensor flat, row.Contiguous());
    SEPTET_ASSIGN_OR_RETURN(const Tensor source,
                            flat.Reshape({row.dim(0), 1, row.dim(1)}));
    return place.CopyFrom(source);
  };
  DecodeCache cache;
  if (split == 0) {
    SEPTET_ASSIGN_OR_RETURN(cache, model.MakeCache(batch, dtype));
  } else {
    std::vector<std::vector<int64_t>> prompts;
    for (int64_t b = 0; b < batch; ++b) {
      prompts.emplace_back(ids + b * time, ids + b * time + split);
    }
    SEPTET_ASSIGN_OR_RETURN(RetNetPrefill prompt, model.Prefill(p, prompts));
    SEPTET_RETURN_IF_ERROR(put(prompt.logits, 0, result.logits));
    cache = std::move(prompt.cache);
  }
  SEPTET_ASSIGN_OR_RETURN(Tensor next, Tensor::Empty({batch}, DType::kI64));
  for (int64_t t = split; t < time; ++t) {
    for (int64_t b = 0; b < batch; ++b) {
      next.mutable_data<int64_t>()[b] = ids[b * time + t];
    }
    absl::Status status;
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor logits,
        model.DecodeStep(p, next, &cache, [&](const RetNetLayerView& view) {
          status.Update(put(view.out.tensor(), t - split,
                            result.layers[static_cast<size_t>(view.layer)]));
        }));
    SEPTET_RETURN_IF_ERROR(status);
    SEPTET_RETURN_IF_ERROR(put(logits, t - first_logits, result.logits));
  }
  return result;
}

// ---- The report.

// The layer that a parameter belongs to, or `layers` for none.
size_t LayerOf(absl::string_view name, size_t layers) {
  int64_t layer = 0;
  if (!absl::ConsumePrefix(&name, "layers.") ||
      !absl::SimpleAtoi(name.substr(0, name.find('.')), &layer)) {
    return layers;
  }
  return static_cast<size_t>(layer);
}

class Reporter {
 public:
  Reporter(const RetNet& model, const ParameterStore& store,
           ParityReport* report)
      : layers_(static_cast<size_t>(model.options().layers)),
        names_(store.trained_names()),
        tolerances_(ParityTolerances::Of(report->dtype)),
        report_(report) {}

  absl::Status AddCore(const std::string& form, size_t layer,
                       const CoreResult& got, const CoreResult& want) {
    SEPTET_RETURN_IF_ERROR(Add(form, ParityQuantity::kCoreOutput,
                               tolerances_.core, layer, got.out, want.out));
    for (size_t i = 0; i < want.state.size(); ++i) {
      SEPTET_RETURN_IF_ERROR(Add(form, ParityQuantity::kCoreState,
                                 tolerances_.core, layer, got.state[i],
                                 want.state[i]));
    }
    // Of steps there are none.
    for (size_t i = 0; i < got.gradients.size(); ++i) {
      SEPTET_RETURN_IF_ERROR(Add(form, ParityQuantity::kCoreGradient,
                                 tolerances_.gradients, layer, got.gradients[i],
                                 want.gradients[i]));
    }
    return absl::OkStatus();
  }

  // `got` has the rows behind a split.
  absl::Status AddModel(const std::string& form, const ModelResult& got,
                        const ModelResult& want) {
    for (size_t i = 0; i < got.layers.size(); ++i) {
      SEPTET_ASSIGN_OR_RETURN(
          const Tensor part, FromRow(want.layers[i], want.layers[i].dim(1) -
                                                         got.layers[i].dim(1)));
      SEPTET_RETURN_IF_ERROR(Add(form, ParityQuantity::kLayerOutput,
                                 tolerances_.logits, i, got.layers[i], part));
    }
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor part,
        FromRow(want.logits, want.logits.dim(1) - got.logits.dim(1)));
    ParityRow* row = Row(form, ParityQuantity::kLogits, tolerances_.logits, 0);
    SEPTET_ASSIGN_OR_RETURN(const double logits, Difference(got.logits, part));
    row->worst = Worse(logits, row->worst);
    row = Row(form, ParityQuantity::kArgmax, tolerances_.argmax, 0);
    row->worst = std::min(row->worst, ShareOfSameBest(got.logits, part));
    for (size_t i = 0; i < got.gradients.size(); ++i) {
      SEPTET_RETURN_IF_ERROR(Add(
          form, ParityQuantity::kGradient, tolerances_.gradients,
          LayerOf(names_[i], layers_), got.gradients[i], want.gradients[i]));
    }
    return absl::OkStatus();
  }

 private:
  ParityRow* Row(const std::string& form, ParityQuantity quantity,
                 double tolerance, size_t columns) {
    for (ParityRow& row : report_->rows) {
      if (row.form == form && row.quantity == quantity) return &row;
    }
    const double worst = quantity == ParityQuantity::kArgmax ? 1 : 0;
    report_->rows.push_back(
        {form, quantity, std::vector<double>(columns), worst, tolerance});
    return &report_->rows.back();
  }

  absl::Status Add(const std::string& form, ParityQuantity quantity,
                   double tolerance, size_t layer, const Tensor& got,
                   const Tensor& want) {
    ParityRow* const row =
        Row(form, quantity, tolerance,
            quantity == ParityQuantity::kGradient ? layers_ + 1 : layers_);
    SEPTET_ASSIGN_OR_RETURN(const double difference, Difference(got, want));
    row->by_layer[layer] = Worse(difference, row->by_layer[layer]);
    row->worst = Worse(difference, row->worst);
    return absl::OkStatus();
  }

  size_t layers_;
  std::vector<std::string> names_;
  ParityTolerances tolerances_;
  ParityReport* report_;
};

absl::Status CheckChunkSizes(absl::Span<const int64_t> chunk_sizes) {
  for (size_t i = 0; i < chunk_sizes.size(); ++i) {
    if (chunk_sizes[i] >= 1) continue;
    return absl::InvalidArgumentError(absl::StrCat(kName, ": chunk_sizes[", i,
                                                   "] is ", chunk_sizes[i],
                                                   ", expected at least 1"));
  }
  return absl::OkStatus();
}

absl::Status CheckStore(const RetNet& model, const ParameterStore& store) {
  ParameterStore like;
  if (store.trained().empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": store has no parameters, expected the model's"));
  }
  const DType dtype = store.trained()[0].dtype();
  SEPTET_RETURN_IF_ERROR(
      RetNet::Create(model.options(), ParameterScope(&like, {1, dtype}))
          .status());
  const std::vector<std::string> names = store.trained_names(),
                                 expected = like.trained_names();
  if (names.size() != expected.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": store has ", names.size(), " parameters, expected the ",
        expected.size(), " of the model"));
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const Tensor &is = store.trained()[i], &wanted = like.trained()[i];
    if (names[i] == expected[i] && is.shape() == wanted.shape() &&
        is.dtype() == dtype) {
      continue;
    }
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": store has ", names[i], ", ", is.DebugString(), ", expected ",
        expected[i], ", ", wanted.DebugString(), ", of the model"));
  }
  return absl::OkStatus();
}

// [B, T] as i64.
absl::StatusOr<Tensor> CheckedTokens(const RetNet& model,
                                     const Tensor& tokens) {
  if (!tokens.defined() || tokens.rank() != 2 || tokens.dim(0) < 1 ||
      tokens.dim(1) < 1 ||
      (tokens.dtype() != DType::kI64 && tokens.dtype() != DType::kI32)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": tokens are ",
                     tokens.defined() ? tokens.DebugString() : "not given",
                     ", expected i32 or i64 [B, T], B and T at least 1"));
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor wide, tokens.To(DType::kI64));
  SEPTET_ASSIGN_OR_RETURN(Tensor result, wide.Contiguous());
  for (int64_t i = 0; i < result.num_elements(); ++i) {
    const int64_t token = result.data<int64_t>()[i];
    if (token >= 0 && token < model.options().vocab_size) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": tokens[", i / result.dim(1), ", ", i % result.dim(1), "] is ",
        token, ", expected 0 to ", model.options().vocab_size - 1));
  }
  return result;
}

// "1.2e-07", "99.95 %".
std::string ValueText(ParityQuantity quantity, double value) {
  return quantity == ParityQuantity::kArgmax
             ? absl::StrFormat("%.2f %%", 100 * value)
             : absl::StrFormat("%.1e", value);
}

}  // namespace

std::string ParityQuantityName(ParityQuantity quantity) {
  switch (quantity) {
    case ParityQuantity::kCoreOutput:
      return "core output";
    case ParityQuantity::kCoreState:
      return "core state";
    case ParityQuantity::kCoreGradient:
      return "core gradients";
    case ParityQuantity::kLayerOutput:
      return "layer output";
    case ParityQuantity::kLogits:
      return "logits";
    case ParityQuantity::kArgmax:
      return "same argmax";
    case ParityQuantity::kGradient:
      return "gradients";
  }
  return "";
}

ParityTolerances ParityTolerances::Of(DType dtype) {
  if (dtype == DType::kF64) return {1e-12, 1e-11, 1e-10, 0.999};
  return {5e-6, 2e-5, 1e-4, 0.999};
}

bool ParityRow::Met() const {
  return quantity == ParityQuantity::kArgmax ? worst >= tolerance
                                             : worst <= tolerance;
}

bool ParityReport::Met() const {
  return std::all_of(rows.begin(), rows.end(),
                     [](const ParityRow& row) { return row.Met(); });
}

double ParityReport::Worst(ParityQuantity quantity) const {
  double worst = std::numeric_limits<double>::quiet_NaN();
  bool first = true;
  for (const ParityRow& row : rows) {
    if (row.quantity != quantity) continue;
    if (first) {
      worst = row.worst;
    } else if (quantity == ParityQuantity::kArgmax) {
      worst = std::min(worst, row.worst);
    } else {
      worst = Worse(row.worst, worst);
    }
    first = false;
  }
  return worst;
}

std::string ParityReport::ToString() const {
  std::string text = absl::StrCat(
      DTypeName(dtype), ", ", batch, " x ", time,
      " tokens: largest difference from the parallel form, of the largest "
      "value\n");
  absl::StrAppend(&text, absl::StrFormat("%-16s%-16s%10s%11s", "form", "what",
                                         "worst", "tolerance"));
  for (int64_t i = 0; i < layers; ++i) {
    absl::StrAppend(&text, absl::StrFormat("%9s", absl::StrCat("layer ", i)));
  }
  absl::StrAppend(&text, absl::StrFormat("%9s\n", "others"));
  int64_t beyond = 0;
  for (const ParityRow& row : rows) {
    absl::StrAppend(&text,
                    absl::StrFormat("%-16s%-16s%10s%11s", row.form,
                                    ParityQuantityName(row.quantity),
                                    ValueText(row.quantity, row.worst),
                                    ValueText(row.quantity, row.tolerance)));
    for (const double value : row.by_layer) {
      absl::StrAppend(&text,
                      absl::StrFormat("%9s", ValueText(row.quantity, value)));
    }
    absl::StrAppend(&text, row.Met() ? "\n" : "  BEYOND\n");
    beyond += row.Met() ? 0 : 1;
  }
  absl::StrAppend(&text, beyond == 0 ? absl::StrCat("all ", rows.size(),
                                                    " within tolerance\n")
                                     : absl::StrCat(beyond, " of ", rows.size(),
                                                    " beyond tolerance\n"));
  return text;
}

absl::StatusOr<Tensor> RandomTokens(uint64_t seed, int64_t batch, int64_t time,
                                    int64_t vocab_size) {
  const std::pair<const char*, int64_t> arguments[] = {
      {"batch", batch}, {"time", time}, {"vocab_size", vocab_size}};
  for (const auto& [name, value] : arguments) {
    if (value >= 1 && value < int64_t{1} << 32) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": ", name, " is ", value, ", expected 1 to 2^32 - 1"));
  }
  SEPTET_ASSIGN_OR_RETURN(
      const RandomStream stream,
      RandomStream::Create(seed, "retention/parity/tokens"));
  SEPTET_ASSIGN_OR_RETURN(Tensor tokens,
                          Tensor::Empty({batch, time}, DType::kI64));
  for (int64_t i = 0; i < tokens.num_elements(); ++i) {
    tokens.mutable_data<int64_t>()[i] = stream.Below(
        static_cast<uint64_t>(i), static_cast<uint32_t>(vocab_size));
  }
  return tokens;
}

absl::StatusOr<ParityReport> CompareForms(const RetNet& model,
                                          const ParameterStore& store,
                                          const Tensor& tokens,
                                          const ParityOptions& options) {
  SEPTET_RETURN_IF_ERROR(CheckStore(model, store));
  SEPTET_RETURN_IF_ERROR(CheckChunkSizes(options.chunk_sizes));
  SEPTET_ASSIGN_OR_RETURN(const Tensor ids, CheckedTokens(model, tokens));
  for (size_t i = 0; i < options.splits.size(); ++i) {
    if (options.splits[i] >= 0 && options.splits[i] < ids.dim(1)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": splits[", i, "] is ", options.splits[i],
                     ", expected 0 to ", ids.dim(1) - 1));
  }
  ParityReport report;
  report.dtype = store.tensor(model.embedding()).dtype();
  report.batch = ids.dim(0);
  report.time = ids.dim(1);
  report.layers = model.options().layers;
  Reporter reporter(model, store, &report);
  const Form parallel = {"parallel", RetentionForm::kParallel};
  SEPTET_ASSIGN_OR_RETURN(
      const ModelResult want,
      RunModel(model, store, ids, parallel, options.gradients));
  const std::vector<Form> forms = AllForms(options.chunk_sizes);
  for (size_t layer = 0; layer < want.cores.size(); ++layer) {
    const RetentionView& view = want.cores[layer];
    Tensor d_out;
    if (options.gradients) {
      SEPTET_ASSIGN_OR_RETURN(
          d_out, UpstreamGradient(view.out.tensor(), options.seed, layer));
    }
    SEPTET_ASSIGN_OR_RETURN(const CoreResult expected,
                            RunCore(model, view, parallel, d_out));
    for (const Form& form : forms) {
      SEPTET_RETURN_IF_ERROR(Interrupted());
      SEPTET_ASSIGN_OR_RETURN(const CoreResult got,
                              RunCore(model, view, form, d_out));
      SEPTET_RETURN_IF_ERROR(reporter.AddCore(form.name, layer, got, expected));
    }
    if (options.splits.empty()) continue;
    SEPTET_ASSIGN_OR_RETURN(const CoreResult got, StepCore(model, view));
    SEPTET_RETURN_IF_ERROR(reporter.AddCore("steps", layer, got, expected));
  }
  for (const Form& form : forms) {
    SEPTET_RETURN_IF_ERROR(Interrupted());
    SEPTET_ASSIGN_OR_RETURN(
        const ModelResult got,
        RunModel(model, store, ids, form, options.gradients));
    SEPTET_RETURN_IF_ERROR(reporter.AddModel(form.name, got, want));
  }
  for (const int64_t split : options.splits) {
    SEPTET_RETURN_IF_ERROR(Interrupted());
    SEPTET_ASSIGN_OR_RETURN(const ModelResult got,
                            RunSteps(model, store, ids, split));
    SEPTET_RETURN_IF_ERROR(
        reporter.AddModel(split == 0 ? "steps" : "prefill, steps", got, want));
  }
  return report;
}

bool GreedyParity::Met() const { return Missing() == 0; }

int64_t GreedyParity::Missing() const {
  int64_t missing = 0;
  for (const GreedyParityRow& row : rows) {
    for (size_t i = 0; i < decided.size(); ++i) {
      missing = std::max(missing, decided[i] - row.agreed[i]);
    }
  }
  return missing;
}

absl::StatusOr<GreedyParity> CompareGreedyTexts(
    const RetNet& model, const ParameterStore& store,
    absl::Span<const std::vector<int64_t>> prompts,
    const GreedyParityOptions& options) {
  SEPTET_RETURN_IF_ERROR(CheckStore(model, store));
  SEPTET_RETURN_IF_ERROR(CheckChunkSizes(options.chunk_sizes));
  if (options.length < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": length is ", options.length, ", expected at least 1"));
  }
  if (!(std::isfinite(options.tie) && options.tie >= 0)) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": tie is ", options.tie, ", expected a finite number >= 0"));
  }
  const size_t rows = prompts.size();
  for (const std::vector<int64_t>& prompt : prompts) {
    if (prompt.size() == prompts[0].size()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": prompts have ", prompts[0].size(), " and ",
                     prompt.size(), " tokens, expected equally many"));
  }
  const BoundParameters p = store.Bind();
  SEPTET_ASSIGN_OR_RETURN(RetNetPrefill read, model.Prefill(p, prompts));
  GreedyParity result;
  result.texts.resize(rows);
  result.decided.assign(rows, options.length);
  Tensor logits = read.logits;
  for (int64_t step = 0;; ++step) {
    const Best best = BestOf(logits);
    for (size_t i = 0; i < rows; ++i) {
      if (best.lead[i] < options.tie) {
        result.decided[i] = std::min(result.decided[i], step);
      }
      result.texts[i].push_back(best.token[i]);
    }
    if (step + 1 == options.length) break;
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor next,
        Tensor::FromValues<int64_t>({static_cast<int64_t>(rows)}, best.token));
    SEPTET_ASSIGN_OR_RETURN(logits, model.DecodeStep(p, next, &read.cache));
  }
  std::vector<Form> forms = AllForms(options.chunk_sizes);
  forms.insert(forms.begin(), {"parallel", RetentionForm::kParallel});
  for (const Form& form : forms) {
    GreedyParityRow row;
    row.form = form.name;
    row.agreed.assign(rows, options.length);
    std::vector<std::vector<int64_t>> texts(prompts.begin(), prompts.end());
    for (int64_t step = 0; step < options.length; ++step) {
      SEPTET_RETURN_IF_ERROR(Interrupted());
      std::vector<int64_t> all;
      for (const std::vector<int64_t>& text : texts) {
        all.insert(all.end(), text.begin(), text.end());
      }
      const int64_t time = static_cast<int64_t>(texts[0].size());
      RetNetInput input;
      SEPTET_ASSIGN_OR_RETURN(
          input.tokens,
          Tensor::FromValues<int64_t>({static_cast<int64_t>(rows), time}, all));
      input.form = form.form;
      input.chunk_size = form.chunk_size;
      SEPTET_ASSIGN_OR_RETURN(const Tensor last,
                              Tensor::FromValues<int64_t>({1}, {time - 1}));
      const Var behind =
          model.Logits(p, IndexSelect(model.Hidden(p, Pass(), input), 1, last));
      SEPTET_RETURN_IF_ERROR(behind.status());
      const Best best = BestOf(behind.tensor());
      for (size_t i = 0; i < rows; ++i) {
        texts[i].push_back(best.token[i]);
        if (best.token[i] != result.texts[i][static_cast<size_t>(step)]) {
          row.agreed[i] = std::min(row.agreed[i], step);
        }
      }
    }
    result.rows.push_back(std::move(row));
  }
  return result;
}

}  // namespace septet
