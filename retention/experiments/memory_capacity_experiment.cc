// SPDX-License-Identifier: Apache-2.0
// retention/memory_capacity: how much a head can recall, and for how long
// (retnet.md 8, D6, which has the accuracies that ours are held to).
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "google/protobuf/message.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/registry.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/plot/figure.h"
#include "septet/core/plot/series.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"
#include "septet/retention/experiments/memory_capacity.h"
#include "septet/retention/experiments/memory_capacity_options.pb.h"

namespace septet {
namespace {

constexpr std::array<int64_t, 6> kPairs = {4, 8, 16, 32, 64, 128};

// The table of retnet.md 8: accuracies in 100 trials by dk (dv = 2 dk).
struct Reference {
  int64_t key_dim;
  std::array<double, kPairs.size()> accuracy;
};
constexpr std::array<Reference, 5> kReferences = {{
    {8, {.947, .755, .417, .157, .076, .032}},
    {16, {1, .993, .952, .751, .388, .168}},
    {32, {1, 1, 1, .998, .957, .714}},
    {64, {1, 1, 1, 1, 1, .995}},
    {128, {1, 1, 1, 1, 1, 1}},
}};
// Those whose streams are read with decay.
constexpr std::array<int64_t, 3> kDelayKeyDims = {32, 64, 128};

constexpr double kLevel = 0.95;
constexpr int64_t kCodewords = 256;
constexpr char kDelayFile[] = "recall_by_delay.safetensors";

int64_t ValueDim(int64_t key_dim) { return 2 * key_dim; }

// The pairs at 95 % by the document's rule, which it found for dk 8, 16 and 32.
int64_t RuleOfCapacity(int64_t key_dim) {
  return key_dim * ValueDim(key_dim) / 32;
}
constexpr int64_t kWidestOfRule = 32;

// And to first order: each other pair adds 1 / (dk dv) to the variance of the
// inner product with any codeword, and 1 / dk to that with its own, which is a
// given one of the 256 in 1 / 256 of all cases. With variances v the right one,
// 1 ahead in the mean, is the largest in 95 % of cases at 1 = z^2 2 v, where
// 255 normal deviates stay below z in 95 % of cases: z = 3.54, and 2 z^2 = 25.
double LawOfCapacity(int64_t key_dim) {
  const double spread = 1 / static_cast<double>(ValueDim(key_dim)) +
                        1 / static_cast<double>(kCodewords);
  return static_cast<double>(key_dim) / spread / 25;
}

// Points about the rule's number that measure it.
std::vector<int64_t> CapacityPairs(int64_t key_dim) {
  std::vector<int64_t> pairs;
  for (const double factor : {0.5, 0.7071, 1.0, 1.4142, 2.0}) {
    pairs.push_back(
        std::llround(factor * static_cast<double>(RuleOfCapacity(key_dim))));
  }
  return pairs;
}
int64_t CapacityTrials(const MemoryCapacityOptions& options, int64_t pairs) {
  return (options.capacity_reads() + pairs - 1) / pairs;
}

std::string OfDim(const char* what, int64_t key_dim) {
  return absl::StrCat(what, "_dk", key_dim);
}
std::string AccuracyMetric(int64_t key_dim, int64_t pairs) {
  return absl::StrCat(OfDim("accuracy", key_dim), "_p", pairs);
}
std::string HeadMetric(const char* what, int64_t key_dim, int64_t head) {
  return absl::StrCat(OfDim(what, key_dim), "_head", head);
}

std::unique_ptr<MemoryCapacityOptions> MakeOptions(Preset preset) {
  auto options = std::make_unique<MemoryCapacityOptions>();
  if (preset == Preset::kStandard) options->set_delay_trials(100);
  if (preset == Preset::kFull) {
    options->set_trials(4000);
    options->set_capacity_reads(200000);
    options->set_delay_trials(400);
  }
  return options;
}

// Of one trial: random numbers, at some 20 operations each, the state, and what
// is read from it beside the codewords.
double TrialFlops(int64_t key_dim, int64_t pairs, int64_t heads) {
  const int64_t dv = ValueDim(key_dim);
  const int64_t a_pair =
      heads * (6 * key_dim * dv + 64 * (key_dim + dv) + 2 * kCodewords * dv);
  return static_cast<double>(20 * (kCodewords * dv + pairs * key_dim) +
                             pairs * a_pair);
}

Effort MakeEffort(Preset preset, double budget_seconds, int seeds) {
  const auto options = MakeOptions(preset);
  double flops = 0;
  for (const Reference& reference : kReferences) {
    for (const int64_t pairs : kPairs) {
      flops += options->trials() * TrialFlops(reference.key_dim, pairs, 1);
    }
    for (const int64_t pairs : CapacityPairs(reference.key_dim)) {
      flops += static_cast<double>(CapacityTrials(*options, pairs)) *
               TrialFlops(reference.key_dim, pairs, 1);
    }
  }
  for (const int64_t key_dim : kDelayKeyDims) {
    flops +=
        options->delay_trials() *
        TrialFlops(key_dim, options->delay_pairs(), options->delay_heads());
  }
  return {budget_seconds, seeds * flops, seeds};
}

// Accuracies beside those of the document, and capacities.
absl::Status MeasureCapacities(const SeedContext& context, SeedResult* result) {
  const auto& options = context.OptionsAs<MemoryCapacityOptions>();
  RecallOptions recall;
  recall.seed = context.seed;
  recall.codewords = kCodewords;
  double off_law = 0;
  for (const Reference& reference : kReferences) {
    const int64_t dk = reference.key_dim;
    recall.key_dim = dk;
    recall.value_dim = ValueDim(dk);
    recall.trials = options.trials();
    double distance = 0;
    *context.progress << "dk " << dk << ": ";
    for (size_t i = 0; i < kPairs.size(); ++i) {
      SEPTET_ASSIGN_OR_RETURN(const double share,
                              RecallAccuracy(recall, kPairs[i]));
      result->metrics[AccuracyMetric(dk, kPairs[i])] = share;
      distance = std::max(distance, std::abs(share - reference.accuracy[i]));
      *context.progress << absl::StrFormat("%.3f ", share);
    }
    result->metrics[OfDim("distance", dk)] = distance;
    const std::vector<int64_t> pairs = CapacityPairs(dk);
    std::vector<double> accuracy;
    for (const int64_t each : pairs) {
      recall.trials = CapacityTrials(options, each);
      SEPTET_ASSIGN_OR_RETURN(const double share, RecallAccuracy(recall, each));
      accuracy.push_back(share);
    }
    const double capacity = CapacityAt(kLevel, pairs, accuracy);
    result->metrics[OfDim("capacity", dk)] = capacity;
    const double off = std::abs(capacity / LawOfCapacity(dk) - 1);
    // A capacity that is not a number stays one.
    if (!(off <= off_law)) off_law = off;
    *context.progress << absl::StrFormat("recalled; 95 %% at %.1f pairs\n",
                                         capacity)
                      << std::flush;
  }
  result->metrics["off_law"] = off_law;
  return absl::OkStatus();
}

// What heads recall of a stream of pairs, by delay.
absl::Status MeasureHorizons(const SeedContext& context, SeedResult* result) {
  const auto& options = context.OptionsAs<MemoryCapacityOptions>();
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor log_gamma,
      LogDecay({DecayKind::kTorchscale, 0, {}}, options.delay_heads()));
  RecallOptions recall;
  recall.seed = context.seed;
  recall.codewords = kCodewords;
  recall.trials = options.delay_trials();
  std::map<std::string, Tensor> curves;
  double off_estimate = 0;
  for (const int64_t dk : kDelayKeyDims) {
    recall.key_dim = dk;
    recall.value_dim = ValueDim(dk);
    SEPTET_ASSIGN_OR_RETURN(
        const std::vector<std::vector<double>> by_delay,
        RecallByDelay(recall, log_gamma, options.delay_pairs()));
    const double capacity = result->metrics.at(OfDim("capacity", dk));
    int64_t longest = 0;
    *context.progress << "dk " << dk << ", heads' horizons (expected):";
    std::vector<double> all;
    for (int64_t head = 0; head < options.delay_heads(); ++head) {
      const int64_t horizon = HorizonAt(kLevel, by_delay[head]);
      const int64_t expected = ExpectedHorizon(log_gamma.data<double>()[head],
                                               capacity, options.delay_pairs());
      result->metrics[HeadMetric("horizon", dk, head)] =
          static_cast<double>(horizon);
      result->metrics[HeadMetric("expected", dk, head)] =
          static_cast<double>(expected);
      longest = std::max(longest, horizon);
      // Where E is near the capacity the estimate decides nothing: recall
      // stays near the level for long.
      if (ExpectedHorizon(log_gamma.data<double>()[head], capacity / 2,
                          options.delay_pairs()) > 0) {
        off_estimate =
            std::max(off_estimate, std::abs(static_cast<double>(horizon) /
                                                static_cast<double>(expected) -
                                            1));
      }
      *context.progress << " " << horizon << " (" << expected << ")";
      all.insert(all.end(), by_delay[head].begin(), by_delay[head].end());
    }
    *context.progress << std::endl;
    result->metrics[OfDim("longest", dk)] = static_cast<double>(longest);
    SEPTET_ASSIGN_OR_RETURN(
        Tensor curve, Tensor::FromValues<double>(
                          {options.delay_heads(), options.delay_pairs()}, all));
    curves[OfDim("recall", dk)] = std::move(curve);
  }
  result->metrics["off_estimate"] = off_estimate;
  return WriteSafetensors(absl::StrCat(context.folder, "/", kDelayFile),
                          curves);
}

absl::StatusOr<SeedResult> RunSeed(const SeedContext& context) {
  SeedResult result;
  SEPTET_RETURN_IF_ERROR(MeasureCapacities(context, &result));
  SEPTET_RETURN_IF_ERROR(MeasureHorizons(context, &result));
  return result;
}

// A curve over seeds of the metrics that name(0), name(1), ... are.
template <typename Name>
absl::StatusOr<Series> MetricBand(const SummaryContext& context,
                                  const std::string& label,
                                  const std::vector<double>& x,
                                  const Name& name) {
  std::vector<std::vector<double>> curves;
  for (const SeedResult& result : context.results) {
    std::vector<double>& curve = curves.emplace_back();
    for (size_t i = 0; i < x.size(); ++i) {
      curve.push_back(result.metrics.at(name(i)));
    }
  }
  return SeedBand(label, x, curves);
}

absl::Status DrawAccuracy(const SummaryContext& context) {
  const std::vector<double> x(kPairs.begin(), kPairs.end());
  std::vector<Series> all;
  for (const Reference& reference : kReferences) {
    const int64_t dk = reference.key_dim;
    SEPTET_ASSIGN_OR_RETURN(
        Series series,
        MetricBand(context, absl::StrCat("dk ", dk, ", dv ", ValueDim(dk)), x,
                   [&](size_t i) { return AccuracyMetric(dk, kPairs[i]); }));
    all.push_back(std::move(series));
  }
  FigureOptions options;
  options.title = "Pairs recalled from the state of one head, no decay";
  options.x.label = "pairs written";
  options.x.log = true;
  options.y.label = "share recalled";
  options.y.min = 0;
  options.y_lines = {{kLevel, "95 %"}};
  SEPTET_ASSIGN_OR_RETURN(const Figure figure,
                          Figure::Lines(std::move(all), options));
  return figure.Save(absl::StrCat(context.folder, "/figures/accuracy"));
}

// By delay, means over all seeds and over neighbouring delays.
absl::Status DrawDelays(const SummaryContext& context) {
  const auto& settings = context.OptionsAs<MemoryCapacityOptions>();
  const int64_t heads = settings.delay_heads();
  const int64_t pairs = settings.delay_pairs();
  const int64_t width = std::max<int64_t>(1, pairs / 64);
  std::vector<Figure> figures;
  for (const int64_t dk : kDelayKeyDims) {
    std::vector<double> sum(static_cast<size_t>(heads * pairs));
    for (const std::string& folder : context.folders) {
      SEPTET_ASSIGN_OR_RETURN(
          const SafetensorsFile file,
          SafetensorsFile::Open(absl::StrCat(folder, "/", kDelayFile)));
      SEPTET_ASSIGN_OR_RETURN(const Tensor curves,
                              file.Get(OfDim("recall", dk)));
      const std::vector<double> values = curves.ToVector<double>();
      if (values.size() != sum.size()) {
        return absl::DataLossError(absl::StrCat(
            folder, "/", kDelayFile, ": ", curves.shape().ToString(),
            ", expected [", heads, ", ", pairs, "]"));
      }
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
    }
    std::vector<Series> all;
    for (int64_t head = 0; head < heads; ++head) {
      Series& series = all.emplace_back();
      series.label = absl::StrCat("head ", head);
      for (int64_t begin = 0; begin < pairs; begin += width) {
        const int64_t end = std::min(pairs, begin + width);
        double recalled = 0;
        for (int64_t d = begin; d < end; ++d) recalled += sum[head * pairs + d];
        series.x.push_back(0.5 * static_cast<double>(begin + end - 1));
        series.y.push_back(recalled / static_cast<double>(end - begin) /
                           static_cast<double>(context.folders.size()));
      }
    }
    FigureOptions options;
    options.title = absl::StrCat("dk ", dk, ", dv ", ValueDim(dk));
    options.x.label = "pairs written since";
    options.y.label = "share recalled";
    options.y.min = 0;
    options.y.max = 1.02;
    options.y_lines = {{kLevel, "95 %"}};
    SEPTET_ASSIGN_OR_RETURN(Figure figure,
                            Figure::Lines(std::move(all), options));
    figures.push_back(std::move(figure));
  }
  const auto columns = static_cast<int>(figures.size());
  GridOptions grid;
  grid.title = absl::StrCat("A stream of ", pairs,
                            " pairs, read with each head's decay");
  SEPTET_ASSIGN_OR_RETURN(const Figure figure,
                          Figure::Grid(1, columns, std::move(figures), grid));
  return figure.Save(absl::StrCat(context.folder, "/figures/delays"));
}

absl::Status DrawHorizons(const SummaryContext& context) {
  const auto& settings = context.OptionsAs<MemoryCapacityOptions>();
  std::vector<double> x;
  for (int64_t head = 0; head < settings.delay_heads(); ++head) {
    x.push_back(static_cast<double>(head));
  }
  std::vector<Series> all;
  for (size_t i = 0; i < kDelayKeyDims.size(); ++i) {
    const int64_t dk = kDelayKeyDims[i];
    for (const char* what : {"horizon", "expected"}) {
      const bool measured = all.size() % 2 == 0;
      SEPTET_ASSIGN_OR_RETURN(
          Series series,
          MetricBand(context,
                     absl::StrCat("dk ", dk, measured ? "" : ", expected"), x,
                     [&](size_t head) {
                       return HeadMetric(what, dk, static_cast<int64_t>(head));
                     }));
      series.color = static_cast<int>(i);
      series.line = measured ? LineStyle::kSolid : LineStyle::kDotted;
      all.push_back(std::move(series));
    }
  }
  FigureOptions options;
  options.title = "The newest pairs of a stream that a head recalls to 95 %";
  options.x.label = "head: gamma = 1 - 2^(-5 - head)";
  options.y.label = "pairs";
  SEPTET_ASSIGN_OR_RETURN(const Figure figure,
                          Figure::Lines(std::move(all), options));
  return figure.Save(absl::StrCat(context.folder, "/figures/horizons"));
}

absl::Status Summarize(const SummaryContext& context) {
  SEPTET_RETURN_IF_ERROR(DrawAccuracy(context));
  SEPTET_RETURN_IF_ERROR(DrawDelays(context));
  return DrawHorizons(context);
}

Experiment MemoryCapacity() {
  Experiment experiment;
  experiment.name = "retention/memory_capacity";
  experiment.claim =
      "The state of a head recalls about dk dv / 32 random pairs, and decay "
      "makes of that a horizon, another one for each head.";
  experiment.source =
      "Sun et al. 2023, arXiv 2307.08621, table 6 (a large head dimension "
      "helps); accuracies of retnet.md 8, D6";
  for (const Reference& reference : kReferences) {
    Check distance;
    distance.metric = OfDim("distance", reference.key_dim);
    distance.label = absl::StrCat(
        "dk ", reference.key_dim,
        ": distance from these accuracies at 4, 8, 16, 32, 64, 128 pairs");
    distance.paper = "";
    for (const double accuracy : reference.accuracy) {
      absl::StrAppend(&distance.paper, distance.paper.empty() ? "" : ", ",
                      accuracy);
    }
    distance.comparison = Comparison::kAtMost;
    distance.quick = distance.standard = distance.full = 0.03;
    experiment.checks.push_back(distance);
  }
  for (const Reference& reference : kReferences) {
    Check capacity;
    capacity.metric = OfDim("capacity", reference.key_dim);
    capacity.label =
        absl::StrCat("dk ", reference.key_dim, ": pairs recalled to 95 %");
    const auto rule = static_cast<double>(RuleOfCapacity(reference.key_dim));
    capacity.paper = absl::StrCat("about ", rule);
    if (reference.key_dim <= kWidestOfRule) {
      capacity.comparison = Comparison::kWithin;
      capacity.tolerance = rule / 4;
      capacity.quick = capacity.standard = capacity.full = rule;
    }
    experiment.checks.push_back(capacity);
  }
  Check law;
  law.metric = "off_law";
  law.label = "these: largest distance from dk / (1/dv + 1/256) / 25, relative";
  law.comparison = Comparison::kAtMost;
  law.quick = law.standard = law.full = 0.2;
  experiment.checks.push_back(law);
  for (const int64_t dk : kDelayKeyDims) {
    Check longest;
    longest.metric = OfDim("longest", dk);
    longest.label =
        absl::StrCat("dk ", dk,
                     ": newest pairs of a stream that the best head recalls to "
                     "95 %");
    experiment.checks.push_back(longest);
  }
  Check horizon;
  horizon.metric = "off_estimate";
  horizon.label =
      "such numbers of all heads: largest distance from ln(capacity / E) / "
      "(-2 ln gamma), relative";
  horizon.comparison = Comparison::kAtMost;
  horizon.quick = horizon.standard = horizon.full = 0.4;
  experiment.checks.push_back(horizon);
  experiment.flagship = true;
  experiment.quick = MakeEffort(Preset::kQuick, 60, 1);
  experiment.standard = MakeEffort(Preset::kStandard, 120, 3);
  experiment.full = MakeEffort(Preset::kFull, 1800, 5);
  experiment.make_options =
      [](Preset preset) -> std::unique_ptr<google::protobuf::Message> {
    return MakeOptions(preset);
  };
  experiment.run_seed = &RunSeed;
  experiment.summarize = &Summarize;
  return experiment;
}

const ExperimentRegistration kMemoryCapacity(MemoryCapacity());

}  // namespace
}  // namespace septet
