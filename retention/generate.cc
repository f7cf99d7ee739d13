// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/generate.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/ops/index.h"
#include "septet/core/random/stream.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"

namespace septet {
namespace {

constexpr const char* kName = "generate";
constexpr int64_t kMaxTokens = int64_t{1} << 32;  // elements of a row
constexpr int64_t kMaxRows = int64_t{1} << 31;

absl::StatusOr<Tensor> Vector(const std::vector<int64_t>& values) {
  return Tensor::FromValues<int64_t>(
      Shape({static_cast<int64_t>(values.size())}), values);
}

// Finds strings in bytes that come one at a time (Knuth, Morris and Pratt).
class StopStrings {
 public:
  explicit StopStrings(const std::vector<std::string>& strings)
      : strings_(strings) {
    for (const std::string& s : strings) {
      // border[k]: of the first k bytes, the longest beginning, not all of
      // them, that is their end as well.
      std::vector<size_t> border(s.size() + 1, 0);
      for (size_t k = 1; k < s.size(); ++k) {
        size_t b = border[k];
        while (b > 0 && s[b] != s[k]) b = border[b];
        border[k + 1] = s[b] == s[k] ? b + 1 : 0;
      }
      borders_.push_back(std::move(border));
    }
  }

  size_t count() const { return strings_.size(); }

  // How much of each string the text ends with is in `matched`; none may be
  // complete. The longest of those that `byte` completes, or -1.
  int64_t Read(char byte, std::vector<size_t>& matched) const {
    int64_t found = -1;
    size_t longest = 0;
    for (size_t i = 0; i < strings_.size(); ++i) {
      const std::string& s = strings_[i];
      size_t k = matched[i];
      while (k > 0 && s[k] != byte) k = borders_[i][k];
      if (s[k] == byte) ++k;
      matched[i] = k;
      if (k < s.size() || k <= longest) continue;
      found = static_cast<int64_t>(i);
      longest = k;
    }
    return found;
  }

 private:
  const std::vector<std::string>& strings_;
  std::vector<std::vector<size_t>> borders_;
};

// What a row remembers while it is not done.
struct ActiveRow {
  int64_t index = 0;  // in the result
  // Tokens of prompt and text, each once; where there is a penalty.
  std::vector<int64_t> seen;
  std::vector<bool> is_seen;
  std::optional<StreamDecoder> decoder;
  std::string held;  // text that is not given away yet
  std::vector<size_t> matched;
};

class Generator {
 public:
  Generator(const GenerationOptions& options, int64_t vocab,
            RandomStream random)
      : options_(options),
        vocab_(vocab),
        random_(random),
        stops_(options.stop_strings),
        penalty_(options.sampling.repetition_penalty != 1) {}

  absl::StatusOr<GenerationResult> Run(
      GenerationSession* session, Tensor logits,
      absl::Span<const std::vector<int64_t>> prompts);

 private:
  void See(int64_t token, ActiveRow& row) const {
    if (!penalty_ || row.is_seen[static_cast<size_t>(token)]) return;
    row.is_seen[static_cast<size_t>(token)] = true;
    row.seen.push_back(token);
  }
  bool HasText(int64_t token) const {
    return token < options_.tokenizer->vocab_size();
  }
  absl::StatusOr<ActiveRow> Start(int64_t index,
                                  const std::vector<int64_t>& prompt) const;
  absl::StatusOr<Tensor> History() const;
  // Holds more text; true if a stop string is complete, and what is held then
  // ends before it.
  bool Hold(absl::string_view text, ActiveRow& row);
  // Adds a token to row a; true if the row is done.
  absl::StatusOr<bool> Add(ActiveRow& row, int64_t token, double log_p);

  const GenerationOptions& options_;
  const int64_t vocab_;
  const RandomStream random_;
  const StopStrings stops_;
  const bool penalty_;
  std::vector<ActiveRow> active_;
  GenerationResult result_;
};

absl::StatusOr<ActiveRow> Generator::Start(
    int64_t index, const std::vector<int64_t>& prompt) const {
  ActiveRow row;
  row.index = index;
  if (penalty_) row.is_seen.assign(static_cast<size_t>(vocab_), false);
  for (const int64_t token : prompt) See(token, row);
  row.matched.assign(stops_.count(), 0);
  if (options_.tokenizer == nullptr) return row;
  // The prompt goes through the decoder, because what a token stands for can
  // depend on those before it.
  row.decoder.emplace(options_.tokenizer);
  for (const int64_t token : prompt) {
    if (!HasText(token)) continue;
    SEPTET_RETURN_IF_ERROR(row.decoder->Add(static_cast<int32_t>(token)))
        << kName;
  }
  return row;
}

// i64 [N, T]; shorter rows repeat a token, which counts once.
absl::StatusOr<Tensor> Generator::History() const {
  if (!penalty_) return Tensor();
  size_t time = 0;
  for (const ActiveRow& row : active_) time = std::max(time, row.seen.size());
  std::vector<int64_t> tokens;
  tokens.reserve(time * active_.size());
  for (const ActiveRow& row : active_) {
    tokens.insert(tokens.end(), row.seen.begin(), row.seen.end());
    tokens.insert(tokens.end(), time - row.seen.size(), row.seen.front());
  }
  return Tensor::FromValues<int64_t>(
      Shape({static_cast<int64_t>(active_.size()), static_cast<int64_t>(time)}),
      tokens);
}

bool Generator::Hold(absl::string_view text, ActiveRow& row) {
  for (const char byte : text) {
    row.held.push_back(byte);
    const int64_t stop = stops_.Read(byte, row.matched);
    if (stop < 0) continue;
    row.held.resize(row.held.size() -
                    options_.stop_strings[static_cast<size_t>(stop)].size());
    result_.rows[static_cast<size_t>(row.index)].stop_string = stop;
    return true;
  }
  return false;
}

absl::StatusOr<bool> Generator::Add(ActiveRow& row, int64_t token,
                                    double log_p) {
  GeneratedRow& out = result_.rows[static_cast<size_t>(row.index)];
  out.tokens.push_back(token);
  out.log_probabilities.push_back(log_p);
  See(token, row);
  std::optional<GenerationEnd> end;
  const std::vector<int64_t>& stop_tokens = options_.stop_tokens;
  if (std::find(stop_tokens.begin(), stop_tokens.end(), token) !=
      stop_tokens.end()) {
    end = GenerationEnd::kStopToken;
  } else if (static_cast<int64_t>(out.tokens.size()) == options_.max_new) {
    end = GenerationEnd::kLength;
  }
  if (row.decoder.has_value()) {
    bool stopped = false;
    if (end != GenerationEnd::kStopToken && HasText(token)) {
      SEPTET_ASSIGN_OR_RETURN(const std::string text,
                              row.decoder->Add(static_cast<int32_t>(token)));
      stopped = Hold(text, row);
    }
    if (!stopped && end.has_value()) stopped = Hold(row.decoder->Finish(), row);
    if (stopped) end = GenerationEnd::kStopString;
  }
  // What no stop string can begin in, or all at the end.
  size_t kept = 0;
  if (!end.has_value()) {
    for (const size_t matched : row.matched) kept = std::max(kept, matched);
  }
  const std::string text = row.held.substr(0, row.held.size() - kept);
  row.held.erase(0, text.size());
  out.text += text;
  if (options_.stream && !options_.stream({row.index, token, log_p, text}) &&
      !end.has_value()) {
    end = GenerationEnd::kStream;
  }
  if (end.has_value()) out.end = *end;
  return end.has_value();
}

absl::StatusOr<GenerationResult> Generator::Run(
    GenerationSession* session, Tensor logits,
    absl::Span<const std::vector<int64_t>> prompts) {
  std::vector<int64_t> source;  // the session's row of each of the result
  for (size_t n = 0; n < prompts.size(); ++n) {
    for (int64_t c = 0; c < options_.continuations; ++c) {
      SEPTET_ASSIGN_OR_RETURN(
          ActiveRow row,
          Start(static_cast<int64_t>(source.size()), prompts[n]));
      active_.push_back(std::move(row));
      source.push_back(static_cast<int64_t>(n));
    }
  }
  result_.rows.resize(source.size());
  if (options_.max_new == 0) return std::move(result_);
  if (options_.continuations > 1) {
    SEPTET_RETURN_IF_ERROR(session->Select(source)) << kName;
    SEPTET_ASSIGN_OR_RETURN(const Tensor rows, Vector(source));
    const Var repeated = IndexSelect(logits, 0, rows);
    SEPTET_RETURN_IF_ERROR(repeated.status()) << kName;
    logits = repeated.tensor();
  }
  for (int64_t i = 0;; ++i) {
    const Shape expected({static_cast<int64_t>(active_.size()), vocab_});
    if (!logits.defined() || logits.shape() != expected) {
      return absl::InternalError(
          absl::StrCat(kName, ": the session's logits are ",
                       logits.defined() ? logits.DebugString() : "not given",
                       ", expected ", expected.ToString()));
    }
    std::vector<int64_t> elements;
    for (const ActiveRow& row : active_) {
      elements.push_back(row.index * kMaxTokens + i);
    }
    SEPTET_ASSIGN_OR_RETURN(const Tensor history, History());
    Tensor log_p;
    SEPTET_ASSIGN_OR_RETURN(const Tensor drawn,
                            SampleTokens(logits, history, options_.sampling,
                                         random_, elements, &log_p),
                            _ << kName << ": token " << i);
    std::vector<int64_t> going, tokens;
    std::vector<ActiveRow> active;
    for (size_t a = 0; a < active_.size(); ++a) {
      const int64_t token = drawn.data<int64_t>()[a];
      SEPTET_ASSIGN_OR_RETURN(const bool done,
                              Add(active_[a], token, log_p.data<double>()[a]));
      if (done) continue;
      going.push_back(static_cast<int64_t>(a));
      tokens.push_back(token);
      active.push_back(std::move(active_[a]));
    }
    if (going.empty()) return std::move(result_);
    if (going.size() < active_.size()) {
      SEPTET_RETURN_IF_ERROR(session->Select(going)) << kName;
    }
    active_ = std::move(active);
    SEPTET_ASSIGN_OR_RETURN(const Tensor next, Vector(tokens));
    SEPTET_ASSIGN_OR_RETURN(logits, session->Step(next),
                            _ << kName << ": token " << i);
  }
}

absl::Status CheckPrompts(absl::Span<const std::vector<int64_t>> prompts,
                          int64_t vocab, const GenerationOptions& options) {
  if (prompts.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": there are no prompts, expected at least one"));
  }
  const auto most = kMaxRows / static_cast<int64_t>(prompts.size());
  if (options.continuations > most) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": continuations is ", options.continuations, ", expected 1 to ",
        most, " of ", prompts.size(), " prompts"));
  }
  for (size_t n = 0; n < prompts.size(); ++n) {
    if (prompts[n].empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          kName, ": prompts[", n, "] is empty, expected at least one token"));
    }
    for (size_t t = 0; t < prompts[n].size(); ++t) {
      if (prompts[n][t] >= 0 && prompts[n][t] < vocab) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(kName, ": prompts[", n, "][", t, "] is ", prompts[n][t],
                       ", expected a token in 0 to ", vocab - 1));
    }
  }
  for (size_t i = 0; i < options.stop_tokens.size(); ++i) {
    const int64_t token = options.stop_tokens[i];
    if (token >= 0 && token < vocab) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": stop_tokens[", i, "] is ", token,
                     ", expected a token in 0 to ", vocab - 1));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status GenerationOptions::Validate() const {
  if (max_new < 0 || max_new >= kMaxTokens) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": max_new is ", max_new, ", expected 0 to ", kMaxTokens - 1));
  }
  if (continuations < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": continuations is ", continuations, ", expected at least 1"));
  }
  for (size_t i = 0; i < stop_strings.size(); ++i) {
    if (!stop_strings[i].empty()) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        kName, ": stop_strings[", i, "] is empty, expected at least one byte"));
  }
  if (!stop_strings.empty() && tokenizer == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": there are ", stop_strings.size(),
                     " stop_strings, expected none without a tokenizer"));
  }
  SEPTET_RETURN_IF_ERROR(sampling.Validate()) << kName;
  return absl::OkStatus();
}

absl::StatusOr<GenerationResult> Generate(
    GenerationSession* session, absl::Span<const std::vector<int64_t>> prompts,
    const GenerationOptions& options) {
  // Before the prompts are read, which may take long.
  SEPTET_RETURN_IF_ERROR(options.Validate());
  SEPTET_RETURN_IF_ERROR(CheckPrompts(prompts, session->vocab_size(), options));
  SEPTET_ASSIGN_OR_RETURN(const Tensor logits, session->Begin(prompts),
                          _ << kName);
  return ContinueGeneration(session, logits, prompts, options);
}

absl::StatusOr<GenerationResult> ContinueGeneration(
    GenerationSession* session, const Tensor& logits,
    absl::Span<const std::vector<int64_t>> prompts,
    const GenerationOptions& options) {
  const int64_t vocab = session->vocab_size();
  SEPTET_RETURN_IF_ERROR(options.Validate());
  SEPTET_RETURN_IF_ERROR(CheckPrompts(prompts, vocab, options));
  const Shape expected({static_cast<int64_t>(prompts.size()), vocab});
  if (!logits.defined() || logits.shape() != expected ||
      (logits.dtype() != DType::kF32 && logits.dtype() != DType::kF64)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kName, ": logits are ",
                     logits.defined() ? logits.DebugString() : "not given",
                     ", expected f32 or f64 ", expected.ToString()));
  }
  SEPTET_ASSIGN_OR_RETURN(const RandomStream random,
                          RandomStream::Create(options.seed, "generate"));
  return Generator(options, vocab, random).Run(session, logits, prompts);
}

}  // namespace septet
