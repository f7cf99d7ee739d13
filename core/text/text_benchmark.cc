// SPDX-License-Identifier: Apache-2.0
// Encoding 243 KB of fortunes (`computers`), and what is hard: a long piece.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/base/file.h"
#include "septet/core/text/bpe_tokenizer.h"
#include "septet/core/text/gpt2_pieces.h"
#include "septet/core/text/sentencepiece_tokenizer.h"

namespace septet {
namespace {

constexpr char kTestData[] = "core/text/testdata/";

const std::string& Fortunes() {
  static const auto* const text = new std::string(
      ReadFileToString("../dataset_fortunes/fortunes/computers").value());
  return *text;
}

std::string Path(absl::string_view name) {
  return std::string(kTestData).append(name.data(), name.size());
}

const BpeTokenizer& Bpe() {
  static const auto* const tokenizer = new BpeTokenizer(
      BpeTokenizer::Load(Path("bpe_vocab.json"), Path("bpe_merges.txt"))
          .value());
  return *tokenizer;
}

template <typename Tokenizer>
void Encode(benchmark::State& state, const Tokenizer& tokenizer,
            const std::string& text, bool lossless) {
  const std::vector<int32_t> ids = tokenizer.Encode(text).value();
  if (lossless) SEPTET_CHECK(tokenizer.Decode(ids).value() == text);
  for (auto _ : state) {
    std::vector<int32_t> again = tokenizer.Encode(text).value();
    benchmark::DoNotOptimize(again);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(text.size()));
}

void BM_BpeEncode(benchmark::State& state) {
  Encode(state, Bpe(), Fortunes(), true);
}
BENCHMARK(BM_BpeEncode)->Unit(benchmark::kMillisecond);

// No piece is remembered: each text is read by a tokenizer that is new.
void BM_BpeEncodeFirst(benchmark::State& state) {
  const std::string vocab = ReadFileToString(Path("bpe_vocab.json")).value();
  const std::string merges = ReadFileToString(Path("bpe_merges.txt")).value();
  for (auto _ : state) {
    state.PauseTiming();
    const BpeTokenizer tokenizer =
        BpeTokenizer::Parse(vocab, "v", merges, "m").value();
    state.ResumeTiming();
    std::vector<int32_t> ids = tokenizer.Encode(Fortunes()).value();
    benchmark::DoNotOptimize(ids);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(Fortunes().size()));
}
BENCHMARK(BM_BpeEncodeFirst)->Unit(benchmark::kMillisecond);

// One piece of 1 MB.
void BM_BpeEncodeLongPiece(benchmark::State& state) {
  std::string text;
  while (text.size() < 1 << 20) text += "andthelanendrip";
  Encode(state, Bpe(), text, true);
}
BENCHMARK(BM_BpeEncodeLongPiece)->Unit(benchmark::kMillisecond);

void BM_Gpt2Pieces(benchmark::State& state) {
  for (auto _ : state) {
    size_t pieces = 0;
    for (absl::string_view rest = Fortunes(); !rest.empty(); ++pieces) {
      rest.remove_prefix(Gpt2PieceBytes(rest));
    }
    benchmark::DoNotOptimize(pieces);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(Fortunes().size()));
}
BENCHMARK(BM_Gpt2Pieces)->Unit(benchmark::kMillisecond);

void BM_BpeDecode(benchmark::State& state) {
  const std::vector<int32_t> ids = Bpe().Encode(Fortunes()).value();
  for (auto _ : state) {
    std::string text = Bpe().Decode(ids).value();
    benchmark::DoNotOptimize(text);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(Fortunes().size()));
}
BENCHMARK(BM_BpeDecode)->Unit(benchmark::kMillisecond);

void SentencePiece(benchmark::State& state, absl::string_view name) {
  Encode(
      state,
      SentencePieceTokenizer::Load(
          Path(std::string("sentencepiece/").append(name.data(), name.size())))
          .value(),
      Fortunes(), false);
}
BENCHMARK_CAPTURE(SentencePiece, UnigramNfkc, "unigram_nfkc.model")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(SentencePiece, Bpe, "bpe.model")
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace septet
