// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/lm/commands.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/file.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/config/command_line.h"
#include "septet/core/config/text.h"
#include "septet/core/data/bits_per_byte.h"
#include "septet/core/data/byte_corpus.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/text/byte_tokenizer.h"
#include "septet/core/train/metrics.h"
#include "septet/core/train/run_folder.h"
#include "septet/core/train/trainer.h"
#include "septet/retention/generate.h"
#include "septet/retention/lm/evaluate.h"
#include "septet/retention/lm/model.h"
#include "septet/retention/lm/train_task.h"
#include "septet/retention/model_options.pb.h"
#include "septet/retention/retention.h"
#include "septet/retention/score.h"

namespace septet {
namespace {

using Json = ::nlohmann::ordered_json;

constexpr double kNatsPerBit = 0.69314718055994530942;

absl::StatusOr<std::unique_ptr<ThreadPool>> MakePool(int threads) {
  if (threads == 0) {
    threads = static_cast<int>(
        std::clamp(std::thread::hardware_concurrency(), 1u, 1024u));
  }
  return ThreadPool::Create(threads);
}

absl::StatusOr<std::string> RunArgument(
    const std::vector<std::string>& arguments) {
  if (arguments.size() == 1) return ResolveUserPath(arguments[0]);
  return UsageError(absl::StrCat("expected one run folder or checkpoint, got ",
                                 arguments.size(),
                                 arguments.empty() ? ": train makes one" : ""));
}

void Print(const Json& json, std::ostream& out) {
  out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
}

// Every field set: by --set and --config, else the preset, else its default.
absl::StatusOr<RetentionLmOptions> OptionsWithPreset(
    const RetentionLmOptions& options, const std::string& preset) {
  RetentionLmOptions result = options;
  absl::StatusOr<RetNetModelOptions> model = WithPreset(options, preset);
  if (!model.ok()) {
    return UsageError(absl::StrCat("--preset: ", model.status().message()));
  }
  *result.mutable_model() = *std::move(model);
  return CompleteOptions(result);
}

RetentionForm FormOf(RetNetFormNames::Form form) {
  switch (form) {
    case RetNetFormNames::auto_:
      return RetentionForm::kAuto;
    case RetNetFormNames::parallel:
      return RetentionForm::kParallel;
    case RetNetFormNames::chunkwise:
      return RetentionForm::kChunkwise;
    case RetNetFormNames::recurrent:
      return RetentionForm::kRecurrent;
  }
  return RetentionForm::kAuto;
}

absl::Status CheckRetNetAlone(const RetentionLm& model, bool asked,
                              absl::string_view flag) {
  if (!asked || model.retnet() != nullptr) return absl::OkStatus();
  return UsageError(absl::StrCat(flag,
                                 ": expected a model of kind retnet, not ",
                                 RetentionLmKindName(model.options().kind())));
}

// Of all tokens but the first.
absl::StatusOr<double> CarriedBits(const RetentionLm& model,
                                   const Tensor& tokens) {
  SEPTET_ASSIGN_OR_RETURN(const Tensor ids, tokens.To(DType::kI64));
  SEPTET_ASSIGN_OR_RETURN(
      const Tensor losses,
      TokenLosses(*model.retnet(), model.parameters().Bind(), ids, {}));
  double sum = 0;
  for (const double loss : losses.ToVector<double>()) sum += loss;
  return sum / kNatsPerBit / static_cast<double>(losses.num_elements());
}

void PrintPositions(const std::vector<double>& bits, std::ostream& out) {
  // 1, 2, 3-4, 5-8, ...
  for (size_t begin = 0, end = 1; begin < bits.size();
       begin = end, end = std::min(2 * end, bits.size())) {
    double sum = 0;
    for (size_t i = begin; i < end; ++i) sum += bits[i];
    out << absl::StrFormat("bytes read %5d to %5d     %.4f bits/byte\n",
                           begin + 1, end,
                           sum / static_cast<double>(end - begin));
    if (end == bits.size()) break;
  }
}

}  // namespace

absl::Status TrainRetNet(const RetNetTrainFlags& flags,
                         const RetentionLmOptions& options, std::ostream& out) {
  if (flags.dtype() == RetNetDTypeNames::bf16) {
    return absl::UnimplementedError(
        "--dtype: bf16 is not implemented, expected f32");
  }
  SEPTET_ASSIGN_OR_RETURN(const RetentionLmOptions complete,
                          OptionsWithPreset(options, flags.preset()));
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<ThreadPool> pool,
                          MakePool(flags.threads()));
  const ScopedThreadPool scope(pool.get());
  SEPTET_ASSIGN_OR_RETURN(const ByteCorpus corpus, ReadCorpus(complete.data()));
  const auto seed = static_cast<uint64_t>(flags.seed());
  SEPTET_ASSIGN_OR_RETURN(std::unique_ptr<RetentionLmTask> task,
                          RetentionLmTask::Create(complete, seed, corpus));
  Manifest manifest;
  manifest.tool = "retnet train";
  manifest.seed = seed;
  manifest.options = &complete;
  manifest.facts["corpus"] = corpus.Fingerprint();
  SEPTET_ASSIGN_OR_RETURN(
      RunFolder folder, RunFolder::Open(ResolveUserPath(flags.out()), manifest,
                                        {flags.resume(), flags.fresh()}));
  const std::string kind = RetentionLmKindName(complete.kind());
  const int64_t parameters = task->model().parameters().NumElements();
  std::cerr << corpus.ToString() << "; " << kind << " of " << parameters
            << " parameters; " << folder.path() << std::endl;
  TrainHooks hooks;
  hooks.label = kind;
  SEPTET_ASSIGN_OR_RETURN(const TrainSummary summary,
                          Train(complete.train(), *task, folder, hooks));
  Json json{{"folder", folder.path()},
            {"kind", kind},
            {"parameters", parameters},
            {"steps", summary.steps}};
  for (const Metrics* metrics : {&summary.train, &summary.evaluation}) {
    for (const auto& [name, value] : *metrics) json[name] = value;
  }
  json["seconds"] = summary.seconds;
  if (summary.step_seconds > 0) {
    const int64_t bytes = (summary.steps - summary.first_step) *
                          complete.optimizer().batch() *
                          complete.data().context();
    json["bytes_per_second"] =
        static_cast<double>(bytes) / summary.step_seconds;
  }
  Print(json, out);
  return absl::OkStatus();
}

absl::Status EvalRetNet(const RetNetEvalFlags& flags,
                        const std::vector<std::string>& arguments,
                        std::ostream& out) {
  for (const int64_t context : flags.context()) {
    if (context >= flags.last()) continue;
    return UsageError(absl::StrCat("--context: expected at least --last, ",
                                   flags.last(), ", got ", context));
  }
  SEPTET_ASSIGN_OR_RETURN(const std::string path, RunArgument(arguments));
  SEPTET_ASSIGN_OR_RETURN(const TrainedRetentionLm trained,
                          LoadRetentionLm(path));
  const RetentionLm& model = *trained.model;
  const RetentionForm form = FormOf(flags.form());
  SEPTET_RETURN_IF_ERROR(CheckRetNetAlone(model, flags.carried(), "--carried"));
  SEPTET_RETURN_IF_ERROR(
      CheckRetNetAlone(model, form != RetentionForm::kAuto, "--form"));
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<ThreadPool> pool,
                          MakePool(flags.threads()));
  const ScopedThreadPool scope(pool.get());
  const InterruptScope interrupts;
  std::string text;
  if (flags.file_size() == 0) {
    SEPTET_ASSIGN_OR_RETURN(ByteCorpus corpus,
                            ReadCorpus(trained.options.data()));
    text = std::move(corpus.held_out);
  }
  for (const std::string& file : flags.file()) {
    SEPTET_ASSIGN_OR_RETURN(const std::string part,
                            ReadFileToString(ResolveUserPath(file)));
    absl::StrAppend(&text, part);
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor tokens, ByteTokens(text));
  EvaluationOptions options = EvaluationOptionsOf(trained.options.data());
  if (flags.windows() > 0) options.windows = flags.windows();
  SEPTET_ASSIGN_OR_RETURN(const double bits,
                          BitsPerByte(model, tokens, options, form));
  const std::string kind = RetentionLmKindName(trained.options.kind());
  out << absl::StrFormat(
      "%d bytes, %d windows; %s of %d parameters after %d steps\n"
      "context %5d  all targets     %.4f bits/byte\n",
      text.size(), options.windows, kind, model.parameters().NumElements(),
      trained.step, options.context, bits);
  Json json{{"kind", kind},
            {"step", trained.step},
            {"context", options.context},
            {"bits_per_byte", bits}};

  const int64_t context = options.context;
  const int64_t last = flags.last();
  std::vector<int64_t> contexts(flags.context().begin(), flags.context().end());
  if (contexts.empty()) {
    for (const int64_t each : {last, context, 2 * context, 4 * context}) {
      EvaluationOptions longest = options;
      longest.context = each;
      if (each >= last && CheckEvaluation(tokens, longest).ok()) {
        contexts.push_back(each);
      }
    }
  }
  std::sort(contexts.begin(), contexts.end());
  contexts.erase(std::unique(contexts.begin(), contexts.end()), contexts.end());
  if (!contexts.empty()) {
    SEPTET_ASSIGN_OR_RETURN(
        const std::vector<double> values,
        LastBits(model, tokens, options, last, contexts, form));
    Json& object = json[absl::StrCat("last_", last, "_bits_per_byte")];
    for (size_t i = 0; i < contexts.size(); ++i) {
      out << absl::StrFormat("context %5d  last %d targets %.4f bits/byte\n",
                             contexts[i], last, values[i]);
      object[absl::StrCat(contexts[i])] = values[i];
    }
  }
  if (flags.positions()) {
    SEPTET_ASSIGN_OR_RETURN(const std::vector<double> values,
                            BitsByPosition(model, tokens, options, form));
    PrintPositions(values, out);
    json["position_bits"] = values;
  }
  if (flags.carried()) {
    SEPTET_ASSIGN_OR_RETURN(const double carried, CarriedBits(model, tokens));
    out << absl::StrFormat("state carried through it all  %.4f bits/byte\n",
                           carried);
    json["carried_bits_per_byte"] = carried;
  }
  Print(json, out);
  return absl::OkStatus();
}

absl::Status GenerateRetNet(const RetNetGenerateFlags& flags,
                            const std::vector<std::string>& arguments,
                            std::ostream& out) {
  SEPTET_ASSIGN_OR_RETURN(const std::string path, RunArgument(arguments));
  SEPTET_ASSIGN_OR_RETURN(const TrainedRetentionLm trained,
                          LoadRetentionLm(path));
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<ThreadPool> pool,
                          MakePool(flags.threads()));
  const ScopedThreadPool scope(pool.get());
  const InterruptScope interrupts;
  std::vector<std::string> texts(flags.prompt().begin(), flags.prompt().end());
  if (texts.empty()) texts.emplace_back();
  std::vector<std::vector<int64_t>> prompts;
  size_t longest = 0;
  for (const std::string& text : texts) {
    // Texts end with a line feed: one begins behind it.
    std::vector<int64_t>& prompt = prompts.emplace_back();
    for (const char c : text.empty() ? "\n" : text) {
      prompt.push_back(static_cast<unsigned char>(c));
    }
    longest = std::max(longest, prompt.size());
  }
  const ByteTokenizer tokenizer;
  const bool single = texts.size() == 1 && flags.count() == 1;
  int64_t written = 0;
  GenerationOptions options;
  options.max_new = flags.length();
  options.seed = static_cast<uint64_t>(flags.seed());
  options.continuations = flags.count();
  options.sampling.temperature = flags.temperature();
  options.sampling.top_k = flags.top_k();
  options.sampling.top_p = flags.top_p();
  options.sampling.repetition_penalty = flags.repetition_penalty();
  options.tokenizer = &tokenizer;
  options.stop_strings.assign(flags.stop().begin(), flags.stop().end());
  options.stream = [&](const GenerationPiece& piece) {
    ++written;
    if (single && !flags.json()) out << piece.text << std::flush;
    return out.good() && !InterruptRequested();
  };
  const BoundParameters p = trained.model->parameters().Bind();
  const std::unique_ptr<GenerationSession> session = trained.model->NewSession(
      &p, static_cast<int64_t>(longest) + flags.length());
  if (single && !flags.json()) out << texts[0] << std::flush;
  const auto begin = std::chrono::steady_clock::now();
  SEPTET_ASSIGN_OR_RETURN(const GenerationResult result,
                          Generate(session.get(), prompts, options));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();
  const auto count = static_cast<size_t>(flags.count());
  if (flags.json()) {
    Json json{{"kind", RetentionLmKindName(trained.options.kind())},
              {"step", trained.step},
              {"bytes", written},
              {"seconds", seconds},
              {"texts", Json::array()}};
    for (size_t r = 0; r < result.rows.size(); ++r) {
      const GeneratedRow& row = result.rows[r];
      double sum = 0;
      for (const double each : row.log_probabilities) sum += each;
      json["texts"].push_back({{"prompt", texts[r / count]},
                               {"text", row.text},
                               {"bytes", row.tokens.size()},
                               {"bits", -sum / kNatsPerBit},
                               {"stopped", row.stop_string >= 0}});
    }
    Print(json, out);
  } else if (single) {
    out << std::endl;
  } else {
    for (size_t r = 0; r < result.rows.size(); ++r) {
      out << "--- prompt " << r / count + 1 << ", text " << r % count + 1
          << "\n"
          << texts[r / count] << result.rows[r].text << std::endl;
    }
  }
  std::cerr << absl::StrFormat("%d bytes in %.2f s, %.0f bytes/s\n", written,
                               seconds, static_cast<double>(written) / seconds);
  if (InterruptRequested()) return InterruptedError("generation ended early");
  if (!out.good()) return absl::UnavailableError("standard output is closed");
  return absl::OkStatus();
}

}  // namespace septet
