// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/byte_lm/commands.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"
#include "septet/baselines/byte_lm/evaluate.h"
#include "septet/baselines/byte_lm/generate.h"
#include "septet/baselines/byte_lm/train_task.h"
#include "septet/core/base/file.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/config/command_line.h"
#include "septet/core/config/text.h"
#include "septet/core/data/bits_per_byte.h"
#include "septet/core/data/byte_corpus.h"
#include "septet/core/tensor/tensor.h"
#include "septet/core/train/metrics.h"
#include "septet/core/train/run_folder.h"
#include "septet/core/train/trainer.h"

namespace septet {
namespace {

using Json = ::nlohmann::ordered_json;

// Over which contexts are compared.
constexpr int64_t kLast = 32;

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

}  // namespace

absl::Status TrainByteLm(const ByteLmTrainFlags& flags,
                         const ByteLmOptions& options, std::ostream& out) {
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<ThreadPool> pool,
                          MakePool(flags.threads()));
  const ScopedThreadPool scope(pool.get());
  SEPTET_ASSIGN_OR_RETURN(const ByteCorpus corpus, ReadCorpus(options.data()));
  const auto seed = static_cast<uint64_t>(flags.seed());
  const ByteLmOptions complete = CompleteOptions(options);
  SEPTET_ASSIGN_OR_RETURN(std::unique_ptr<ByteLmTask> task,
                          ByteLmTask::Create(complete, seed, corpus));
  Manifest manifest;
  manifest.tool = "byte_lm train";
  manifest.seed = seed;
  manifest.options = &complete;
  manifest.facts["corpus"] = corpus.Fingerprint();
  SEPTET_ASSIGN_OR_RETURN(
      RunFolder folder, RunFolder::Open(ResolveUserPath(flags.out()), manifest,
                                        {flags.resume(), flags.fresh()}));
  std::cerr << corpus.ToString() << "; "
            << task->model().parameters().NumElements() << " parameters; "
            << folder.path() << std::endl;
  SEPTET_ASSIGN_OR_RETURN(const TrainSummary summary,
                          Train(complete.train(), *task, folder));
  Json json{{"folder", folder.path()}, {"steps", summary.steps}};
  for (const Metrics* metrics : {&summary.train, &summary.evaluation}) {
    for (const auto& [name, value] : *metrics) json[name] = value;
  }
  Print(json, out);
  return absl::OkStatus();
}

absl::Status EvalByteLm(const ByteLmEvalFlags& flags,
                        const std::vector<std::string>& arguments,
                        std::ostream& out) {
  SEPTET_ASSIGN_OR_RETURN(const std::string path, RunArgument(arguments));
  SEPTET_ASSIGN_OR_RETURN(const TrainedByteLm trained, LoadByteLm(path));
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
  SEPTET_ASSIGN_OR_RETURN(const double bits,
                          BitsPerByte(*trained.model, tokens, options));
  out << absl::StrFormat(
      "%d bytes, %d windows; model of %d parameters after %d steps\n"
      "context %5d  all targets     %.4f bits/byte\n",
      text.size(), options.windows, trained.model->parameters().NumElements(),
      trained.step, options.context, bits);
  Json json{{"step", trained.step},
            {"context", options.context},
            {"bits_per_byte", bits}};

  const int64_t context = options.context;
  std::vector<int64_t> contexts(flags.context().begin(), flags.context().end());
  if (contexts.empty()) contexts = {kLast, context, 2 * context, 4 * context};
  std::sort(contexts.begin(), contexts.end());
  contexts.erase(std::unique(contexts.begin(), contexts.end()), contexts.end());
  options.last = kLast;
  // The same targets for all.
  options.first = std::max(options.first, contexts.back());
  for (const int64_t each : contexts) {
    if (each < kLast) continue;
    options.context = each;
    SEPTET_ASSIGN_OR_RETURN(const double last,
                            BitsPerByte(*trained.model, tokens, options));
    out << absl::StrFormat("context %5d  last %d targets %.4f bits/byte\n",
                           each, kLast, last);
    json["last_32_bits_per_byte"][absl::StrCat(each)] = last;
  }
  Print(json, out);
  return absl::OkStatus();
}

absl::Status GenerateByteLm(const ByteLmGenerateFlags& flags,
                            const std::vector<std::string>& arguments,
                            std::ostream& out) {
  SEPTET_ASSIGN_OR_RETURN(const std::string path, RunArgument(arguments));
  SEPTET_ASSIGN_OR_RETURN(const TrainedByteLm trained, LoadByteLm(path));
  SEPTET_ASSIGN_OR_RETURN(const std::unique_ptr<ThreadPool> pool,
                          MakePool(flags.threads()));
  const ScopedThreadPool scope(pool.get());
  const InterruptScope interrupts;
  GenerateOptions options;
  options.length = flags.length();
  options.seed = static_cast<uint64_t>(flags.seed());
  options.context =
      flags.context() > 0 ? flags.context() : trained.options.data().context();
  options.sampling.temperature = flags.temperature();
  options.sampling.top_k = flags.top_k();
  options.sampling.top_p = flags.top_p();
  options.sampling.repetition_penalty = flags.repetition_penalty();
  out << flags.prompt() << std::flush;
  const auto begin = std::chrono::steady_clock::now();
  int64_t written = 0;
  SEPTET_RETURN_IF_ERROR(
      Generate(*trained.model, flags.prompt(), options, [&](char byte) {
        out << byte << std::flush;
        ++written;
        return out.good() && !InterruptRequested();
      }));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();
  out << std::endl;
  std::cerr << absl::StrFormat("%d bytes in %.2f s, %.0f bytes/s\n", written,
                               seconds, static_cast<double>(written) / seconds);
  if (InterruptRequested()) return InterruptedError("generation ended early");
  if (!out.good()) return absl::UnavailableError("standard output is closed");
  return absl::OkStatus();
}

}  // namespace septet
