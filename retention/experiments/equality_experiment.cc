// SPDX-License-Identifier: Apache-2.0
// retention/equality: that the parallel, chunkwise and recurrent forms of a
// RetNet are one function (retnet.md 8, D1, within the tolerances of 4).
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "google/protobuf/message.h"
#include "septet/core/autograd/tape.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/file.h"
#include "septet/core/base/runfile.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/data/byte_corpus.h"
#include "septet/core/data/token_windows.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/registry.h"
#include "septet/core/nn/parameter_scope.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/optim/adam.h"
#include "septet/core/optim/clip.h"
#include "septet/core/optim/schedule.h"
#include "septet/core/plot/figure.h"
#include "septet/core/plot/series.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/experiments/equality_options.pb.h"
#include "septet/retention/parity.h"
#include "septet/retention/retnet.h"

namespace septet {
namespace {

constexpr int64_t kVocab = 256;
constexpr int64_t kDeskDim = 64;
constexpr int64_t kDeskLayers = 2;
constexpr int64_t kDeskHeads = 2;
constexpr int64_t kWideHeads = 8;
constexpr int64_t kBatch = 8;
constexpr int64_t kContext = 128;
constexpr int64_t kPromptBytes = 32;

constexpr std::array<const char*, 2> kModels = {"desk", "wide"};
constexpr std::array<DType, 2> kDTypes = {DType::kF64, DType::kF32};
// What a check is of: the worst of these quantities.
struct Group {
  const char* name;
  const char* label;
  std::vector<ParityQuantity> quantities;
};
const std::vector<Group>& Groups() {
  static const auto* const groups = new std::vector<Group>{
      {"core",
       "outputs and states of the core",
       {ParityQuantity::kCoreOutput, ParityQuantity::kCoreState}},
      {"core_gradients",
       "gradients of the core",
       {ParityQuantity::kCoreGradient}},
      {"logits",
       "outputs of layers, logits",
       {ParityQuantity::kLayerOutput, ParityQuantity::kLogits}},
      {"gradients", "gradients of parameters", {ParityQuantity::kGradient}},
      {"argmax",
       "share of positions with the same argmax",
       {ParityQuantity::kArgmax}},
  };
  return *groups;
}
// Those that are drawn.
constexpr std::array<ParityQuantity, 2> kDrawn = {ParityQuantity::kCoreOutput,
                                                  ParityQuantity::kLayerOutput};

std::string Key(const std::string& model, DType dtype,
                const std::string& what) {
  return absl::StrCat(model, "_", DTypeName(dtype), "_", what);
}
std::string LayerKey(DType dtype, ParityQuantity quantity,
                     const std::string& form, size_t layer) {
  return absl::StrCat(Key("wide", dtype, ParityQuantityName(quantity)), "/",
                      form, "/", layer);
}

std::unique_ptr<EqualityOptions> MakeOptions(Preset preset) {
  auto options = std::make_unique<EqualityOptions>();
  if (preset == Preset::kQuick) return options;
  options->set_train_steps(preset == Preset::kFull ? 1500 : 300);
  options->set_time(4096);
  options->set_wide_time(4096);
  options->set_greedy_prompts(4);
  if (preset == Preset::kFull) {
    options->set_wide_dim(512);
    options->set_wide_layers(6);
    options->set_greedy_prompts(16);
  }
  return options;
}

RetNetOptions DeskOptions() {
  return DefaultRetNetOptions(kVocab, kDeskDim, kDeskLayers, kDeskHeads);
}
RetNetOptions WideOptions(const EqualityOptions& options) {
  return DefaultRetNetOptions(kVocab, options.wide_dim(), options.wide_layers(),
                              kWideHeads);
}

// The chunks of a text of `time`: one row, one that divides nothing, the
// usual, and all rows.
std::vector<int64_t> ChunkSizes(int64_t time) { return {1, 7, 64, time}; }

// Of a token, forward, and a pair of rows of the core.
double WeightFlops(int64_t dim, int64_t layers) {
  return static_cast<double>(2 * (12 * dim * dim * layers + kVocab * dim));
}
double PairFlops(int64_t dim, int64_t layers) {
  return static_cast<double>(dim) * (1 + 5.0 / 3) * static_cast<double>(layers);
}

// Six forms forward and backward, those of the core twice, and steps, which
// read weights for one token. Float64 has half the speed.
double ParityFlops(int64_t dim, int64_t layers, int64_t time) {
  const double t = static_cast<double>(time);
  const double forms =
      6 * 3 * t *
      (WeightFlops(dim, layers) + 2 * 256.0 * 4 * PairFlops(dim, layers));
  const double pairs = 2 * 2 * 3 * t * t * PairFlops(dim, layers);
  return 3 * (forms + pairs + 2 * 10 * t * WeightFlops(dim, layers));
}

Effort MakeEffort(Preset preset, double budget_seconds, int seeds) {
  const auto o = MakeOptions(preset);
  const double desk = WeightFlops(kDeskDim, kDeskLayers);
  const double written = o->greedy_prompts() *
                         static_cast<double>(o->greedy_length()) *
                         (kPromptBytes + o->greedy_length() / 2.0);
  const double splits = 0.5 * o->split_time() * o->split_time();
  const double flops =
      3.0 * o->train_steps() * kBatch * kContext * desk +
      ParityFlops(kDeskDim, kDeskLayers, o->time()) +
      ParityFlops(o->wide_dim(), o->wide_layers(), o->wide_time()) +
      5 * written * desk + 3 * 20 * splits * desk;
  return {budget_seconds, seeds * flops, seeds};
}

struct Text {
  TokenWindows train;
  Tensor held_out;  // u8 [N]
};

absl::StatusOr<Text> ReadText(uint64_t seed) {
  SEPTET_ASSIGN_OR_RETURN(const std::string folder,
                          FindRunfile("dataset_fortunes/fortunes"));
  SEPTET_ASSIGN_OR_RETURN(const ByteCorpus corpus, ReadFortunes(folder));
  SEPTET_ASSIGN_OR_RETURN(Tensor train, ByteTokens(corpus.train));
  SEPTET_ASSIGN_OR_RETURN(Tensor held_out, ByteTokens(corpus.held_out));
  SEPTET_ASSIGN_OR_RETURN(
      TokenWindows windows,
      TokenWindows::Create(std::move(train), {kContext, seed}));
  return Text{std::move(windows), std::move(held_out)};
}

// [rows, time] somewhere in held-out text.
absl::StatusOr<Tensor> HeldOut(const Text& text, uint64_t seed, int64_t rows,
                               int64_t time) {
  SEPTET_ASSIGN_OR_RETURN(const TokenWindows windows,
                          TokenWindows::Create(text.held_out, {time, seed},
                                               "retention/equality/held_out"));
  SEPTET_ASSIGN_OR_RETURN(TokenBatch batch, windows.Batch(0, rows));
  return batch.inputs;
}

// As retnet.md 8 trains it.
absl::Status TrainDesk(const SeedContext& context, const Text& text,
                       const RetNet& model, ParameterStore* store) {
  const int64_t steps = context.OptionsAs<EqualityOptions>().train_steps();
  if (steps == 0) return absl::OkStatus();
  AdamOptions options;
  options.beta2 = 0.98;
  options.weight_decay = 0.05;
  SEPTET_ASSIGN_OR_RETURN(Adam adam, Adam::Create(options, store->trained(),
                                                  store->trained_decay()));
  Schedule schedule = Schedule::Linear(4e-3, steps, 0.05);
  schedule.warmup_steps = 50;
  Tape tape;
  BoundParameters p;
  double last = 0;
  for (int64_t step = 0; step < steps; ++step) {
    if (InterruptRequested()) return InterruptedError("training");
    tape.Reset();
    store->Watch(&tape, &p);
    SEPTET_ASSIGN_OR_RETURN(const TokenBatch batch,
                            text.train.Batch(step, kBatch));
    RetNetInput input;
    input.tokens = batch.inputs;
    const Var loss =
        model.Loss(p, Pass::Training(context.seed, static_cast<uint64_t>(step)),
                   input, batch.targets);
    SEPTET_ASSIGN_OR_RETURN(std::vector<Tensor> gradients,
                            tape.Grad(loss, p.trained(), {/*release=*/true}));
    last = loss.tensor().item<float>();
    SEPTET_RETURN_IF_ERROR(
        ClipGradNorm(absl::MakeSpan(gradients), {1.0}).status());
    SEPTET_RETURN_IF_ERROR(
        adam.Step(store->trained(), gradients, schedule(step)));
  }
  *context.progress << "desk model after " << steps << " steps: loss " << last
                    << std::endl;
  return absl::OkStatus();
}

// The same numbers in another type.
absl::StatusOr<ParameterStore> Converted(const RetNet& model,
                                         const ParameterStore& store,
                                         DType dtype) {
  ParameterStore result;
  SEPTET_RETURN_IF_ERROR(
      RetNet::Create(model.options(), ParameterScope(&result, {1, dtype}))
          .status());
  SEPTET_RETURN_IF_ERROR(result.CopyFrom(store));
  return result;
}

// Every form, and prompts of none and of half of the text.
absl::Status MeasureForms(const SeedContext& context, const std::string& name,
                          const RetNet& model, const ParameterStore& store,
                          const Tensor& tokens, SeedResult* result) {
  const int64_t time = tokens.dim(1);
  ParityOptions options;
  options.chunk_sizes = ChunkSizes(time);
  options.splits = {0, time / 2};
  options.seed = context.seed;
  for (const DType dtype : kDTypes) {
    SEPTET_ASSIGN_OR_RETURN(const ParameterStore converted,
                            Converted(model, store, dtype));
    SEPTET_ASSIGN_OR_RETURN(const ParityReport report,
                            CompareForms(model, converted, tokens, options));
    const std::string table = report.ToString();
    *context.progress << name << ", " << table << std::flush;
    SEPTET_RETURN_IF_ERROR(WriteFileAtomically(
        absl::StrCat(context.folder, "/", Key(name, dtype, "parity.txt")),
        table));
    for (const Group& group : Groups()) {
      double worst = report.Worst(group.quantities[0]);
      for (const ParityQuantity quantity : group.quantities) {
        // What is not a number stays one.
        if (!(report.Worst(quantity) <= worst)) worst = report.Worst(quantity);
      }
      result->metrics[Key(name, dtype, group.name)] = worst;
    }
    if (name != "wide") continue;
    for (const ParityRow& row : report.rows) {
      if (std::count(kDrawn.begin(), kDrawn.end(), row.quantity) == 0) continue;
      for (size_t layer = 0; layer < row.by_layer.size(); ++layer) {
        result->metrics[LayerKey(dtype, row.quantity, row.form, layer)] =
            row.by_layer[layer];
      }
    }
  }
  return absl::OkStatus();
}

// A text that is cut at every place.
absl::Status MeasureSplits(const SeedContext& context, const RetNet& model,
                           const ParameterStore& store, const Tensor& tokens,
                           SeedResult* result) {
  ParityOptions options;
  options.chunk_sizes = {};
  options.splits.resize(static_cast<size_t>(tokens.dim(1) - 1));
  std::iota(options.splits.begin(), options.splits.end(), 1);
  options.gradients = false;
  for (const DType dtype : kDTypes) {
    SEPTET_ASSIGN_OR_RETURN(const ParameterStore converted,
                            Converted(model, store, dtype));
    SEPTET_ASSIGN_OR_RETURN(const ParityReport report,
                            CompareForms(model, converted, tokens, options));
    double worst = report.Worst(ParityQuantity::kLogits);
    const double layers = report.Worst(ParityQuantity::kLayerOutput);
    if (!(layers <= worst)) worst = layers;
    result->metrics[Key("splits", dtype, "logits")] = worst;
    *context.progress << DTypeName(dtype) << ", prompts of 1 to "
                      << options.splits.size() << ": " << worst << std::endl;
  }
  return absl::OkStatus();
}

absl::Status MeasureGreedyTexts(const SeedContext& context, const RetNet& model,
                                const ParameterStore& store, const Text& text,
                                SeedResult* result) {
  const auto& options = context.OptionsAs<EqualityOptions>();
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor tokens,
      HeldOut(text, context.seed, options.greedy_prompts(), kPromptBytes));
  const std::vector<int64_t> all = tokens.ToVector<int64_t>();
  std::vector<std::vector<int64_t>> prompts;
  for (auto at = all.begin(); at != all.end(); at += kPromptBytes) {
    prompts.emplace_back(at, at + kPromptBytes);
  }
  GreedyParityOptions greedy;
  greedy.length = options.greedy_length();
  SEPTET_ASSIGN_OR_RETURN(const GreedyParity parity,
                          CompareGreedyTexts(model, store, prompts, greedy));
  result->metrics["greedy_missing"] = static_cast<double>(parity.Missing());
  const int64_t decided =
      std::accumulate(parity.decided.begin(), parity.decided.end(), int64_t{0});
  result->metrics["greedy_decided"] =
      static_cast<double>(decided) /
      static_cast<double>(options.greedy_prompts() * options.greedy_length());
  *context.progress << "greedy texts: " << decided
                    << " bytes before ties, at most " << parity.Missing()
                    << " of a text not the same" << std::endl;
  return absl::OkStatus();
}

absl::StatusOr<SeedResult> RunSeed(const SeedContext& context) {
  const auto& options = context.OptionsAs<EqualityOptions>();
  SeedResult result;
  SEPTET_ASSIGN_OR_RETURN(const Text text, ReadText(context.seed));
  ParameterStore desk_store;
  SEPTET_ASSIGN_OR_RETURN(
      const RetNet desk,
      RetNet::Create(DeskOptions(),
                     ParameterScope(&desk_store, {context.seed})));
  SEPTET_RETURN_IF_ERROR(TrainDesk(context, text, desk, &desk_store));
  SEPTET_ASSIGN_OR_RETURN(const Tensor desk_tokens,
                          HeldOut(text, context.seed, 1, options.time()));
  SEPTET_RETURN_IF_ERROR(
      MeasureForms(context, "desk", desk, desk_store, desk_tokens, &result));
  SEPTET_ASSIGN_OR_RETURN(const Tensor split_tokens,
                          HeldOut(text, context.seed, 1, options.split_time()));
  SEPTET_RETURN_IF_ERROR(
      MeasureSplits(context, desk, desk_store, split_tokens, &result));
  SEPTET_RETURN_IF_ERROR(
      MeasureGreedyTexts(context, desk, desk_store, text, &result));
  ParameterStore wide_store;
  SEPTET_ASSIGN_OR_RETURN(
      const RetNet wide,
      RetNet::Create(WideOptions(options),
                     ParameterScope(&wide_store, {context.seed})));
  SEPTET_ASSIGN_OR_RETURN(const Tensor wide_tokens,
                          HeldOut(text, context.seed, 1, options.wide_time()));
  SEPTET_RETURN_IF_ERROR(
      MeasureForms(context, "wide", wide, wide_store, wide_tokens, &result));
  return result;
}

// A panel: what a quantity of the wide model differs by in each layer.
absl::StatusOr<Figure> DrawPanel(const SummaryContext& context, DType dtype,
                                 ParityQuantity quantity, double tolerance) {
  const auto& options = context.OptionsAs<EqualityOptions>();
  std::vector<double> x;
  for (int64_t layer = 0; layer < options.wide_layers(); ++layer) {
    x.push_back(static_cast<double>(layer));
  }
  std::vector<Series> all;
  for (const char* form :
       {"chunks of 1", "chunks of 7", "chunks of 64", "recurrent", "steps"}) {
    std::vector<std::vector<double>> curves;
    for (const SeedResult& result : context.results) {
      std::vector<double>& curve = curves.emplace_back();
      for (size_t layer = 0; layer < x.size(); ++layer) {
        // A logarithmic axis has no 0.
        curve.push_back(std::max(
            result.metrics.at(LayerKey(dtype, quantity, form, layer)), 1e-17));
      }
    }
    SEPTET_ASSIGN_OR_RETURN(Series series, SeedBand(form, x, curves));
    all.push_back(std::move(series));
  }
  FigureOptions figure;
  figure.title =
      absl::StrCat(ParityQuantityName(quantity), ", ", DTypeName(dtype));
  figure.x.label = "layer";
  for (const double layer : x) {
    figure.x.categories.push_back(absl::StrCat(layer));
  }
  figure.y.label = "difference / largest value";
  figure.y.log = true;
  figure.y_lines = {{tolerance, "allowed"}};
  return Figure::Lines(std::move(all), figure);
}

absl::Status Summarize(const SummaryContext& context) {
  std::vector<Figure> figures;
  for (const DType dtype : kDTypes) {
    const ParityTolerances tolerances = ParityTolerances::Of(dtype);
    for (const ParityQuantity quantity : kDrawn) {
      SEPTET_ASSIGN_OR_RETURN(Figure figure,
                              DrawPanel(context, dtype, quantity,
                                        quantity == ParityQuantity::kCoreOutput
                                            ? tolerances.core
                                            : tolerances.logits));
      figures.push_back(std::move(figure));
    }
  }
  const auto& options = context.OptionsAs<EqualityOptions>();
  GridOptions grid;
  grid.title = absl::StrCat("From the parallel form: width ",
                            options.wide_dim(), ", ", options.wide_layers(),
                            " layers, ", options.wide_time(), " bytes");
  SEPTET_ASSIGN_OR_RETURN(const Figure figure,
                          Figure::Grid(2, 2, std::move(figures), grid));
  return figure.Save(absl::StrCat(context.folder, "/figures/layers"));
}

// Of the worst seed.
Check AtMost(const std::string& metric, const std::string& label,
             double threshold) {
  Check check;
  check.metric = metric;
  check.label = label;
  check.paper = "equal";
  check.comparison = Comparison::kAtMost;
  check.quick = check.standard = check.full = threshold;
  check.judged = Statistic::kWorst;
  return check;
}

Check AtLeast(const std::string& metric, const std::string& label,
              double threshold) {
  Check check = AtMost(metric, label, threshold);
  check.comparison = Comparison::kAtLeast;
  return check;
}

Experiment Equality() {
  Experiment experiment;
  experiment.name = "retention/equality";
  experiment.claim =
      "The parallel, chunkwise and recurrent forms of a RetNet, and decoding "
      "behind a prompt, give the same result.";
  experiment.source =
      "Sun et al. 2023, arXiv 2307.08621, equations 5 to 7; tolerances of "
      "retnet.md 4 and 8, D1";
  for (const char* model : kModels) {
    for (const DType dtype : kDTypes) {
      const ParityTolerances tolerances = ParityTolerances::Of(dtype);
      for (const Group& group : Groups()) {
        const std::string metric = Key(model, dtype, group.name);
        const std::string label =
            absl::StrCat(model, ", ", DTypeName(dtype), ": ", group.label);
        switch (group.quantities[0]) {
          case ParityQuantity::kArgmax:
            experiment.checks.push_back(
                AtLeast(metric, label, tolerances.argmax));
            break;
          case ParityQuantity::kCoreOutput:
            experiment.checks.push_back(AtMost(metric, label, tolerances.core));
            break;
          case ParityQuantity::kLayerOutput:
            experiment.checks.push_back(
                AtMost(metric, label, tolerances.logits));
            break;
          default:
            experiment.checks.push_back(
                AtMost(metric, label, tolerances.gradients));
        }
      }
    }
  }
  for (const DType dtype : kDTypes) {
    experiment.checks.push_back(
        AtMost(Key("splits", dtype, "logits"),
               absl::StrCat("desk, ", DTypeName(dtype),
                            ": outputs of layers, logits, behind prompts of "
                            "every length"),
               ParityTolerances::Of(dtype).logits));
  }
  experiment.checks.push_back(
      AtMost("greedy_missing",
             "desk, f32, greedy texts: most bytes before the first tie that a "
             "form has not the same",
             0));
  experiment.checks.push_back(AtLeast(
      "greedy_decided",
      "the same: share of the bytes that come before the first tie", 0.25));
  experiment.flagship = true;
  experiment.quick = MakeEffort(Preset::kQuick, 60, 1);
  experiment.standard = MakeEffort(Preset::kStandard, 480, 3);
  experiment.full = MakeEffort(Preset::kFull, 3600, 5);
  experiment.make_options =
      [](Preset preset) -> std::unique_ptr<google::protobuf::Message> {
    return MakeOptions(preset);
  };
  experiment.run_seed = &RunSeed;
  experiment.summarize = &Summarize;
  return experiment;
}

const ExperimentRegistration kEquality(Equality());

}  // namespace
}  // namespace septet
