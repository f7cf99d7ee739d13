// SPDX-License-Identifier: Apache-2.0
#include "septet/core/data/byte_corpus.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "septet/core/base/crc32c.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr int64_t kHeldOutEvery = 20;

}  // namespace

std::string ByteCorpus::ToString() const {
  return absl::StrCat(entries > 0 ? absl::StrCat(entries, " entries: ") : "",
                      train.size(), " bytes to train on, ", held_out.size(),
                      " held out");
}

std::string ByteCorpus::Fingerprint() const {
  return absl::StrFormat("crc32c:%08x,%08x", Crc32c(train), Crc32c(held_out));
}

std::vector<std::string> FortuneEntries(absl::string_view text) {
  std::vector<std::string> entries;
  for (const absl::string_view entry : absl::StrSplit(text, "\n%\n")) {
    if (absl::StripAsciiWhitespace(entry).empty()) continue;
    entries.push_back(absl::StrCat(entry, "\n"));
  }
  return entries;
}

ByteCorpus SplitEntries(absl::Span<const std::string> entries) {
  ByteCorpus corpus;
  for (const std::string& entry : entries) {
    absl::StrAppend(
        corpus.entries % kHeldOutEvery == 0 ? &corpus.held_out : &corpus.train,
        entry);
    ++corpus.entries;
  }
  return corpus;
}

absl::StatusOr<ByteCorpus> ReadFortunes(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator files(folder, error);
  for (; !error && files != std::filesystem::directory_iterator();
       files.increment(error)) {
    const std::string name = files->path().filename();
    if (absl::EndsWith(name, ".dat") || absl::EndsWith(name, ".u8")) continue;
    std::error_code ignored;
    if (!files->is_regular_file(ignored)) continue;
    names.push_back(name);
  }
  if (error) {
    return absl::NotFoundError(absl::StrCat(folder, ": ", error.message()));
  }
  std::sort(names.begin(), names.end());
  std::vector<std::string> entries;
  for (const std::string& name : names) {
    SEPTET_ASSIGN_OR_RETURN(const std::string text,
                            ReadFileToString(absl::StrCat(folder, "/", name)));
    for (std::string& entry : FortuneEntries(text)) {
      entries.push_back(std::move(entry));
    }
  }
  if (entries.empty()) {
    return absl::NotFoundError(
        absl::StrCat(folder, ": no fortunes in ", names.size(), " files"));
  }
  return SplitEntries(entries);
}

absl::StatusOr<ByteCorpus> ReadTextFiles(absl::Span<const std::string> paths,
                                         double held_out) {
  if (paths.empty()) return absl::InvalidArgumentError("no files");
  if (!(held_out > 0 && held_out < 1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "held_out is ", held_out, ", expected above 0 and below 1"));
  }
  ByteCorpus corpus;
  for (const std::string& path : paths) {
    SEPTET_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path));
    const auto last =
        static_cast<size_t>(held_out * static_cast<double>(text.size()));
    const absl::string_view view = text;
    absl::StrAppend(&corpus.train, view.substr(0, text.size() - last));
    absl::StrAppend(&corpus.held_out, view.substr(text.size() - last));
  }
  return corpus;
}

absl::StatusOr<Tensor> ByteTokens(absl::string_view text) {
  SEPTET_ASSIGN_OR_RETURN(
      Tensor tokens,
      Tensor::Empty(Shape({static_cast<int64_t>(text.size())}), DType::kU8));
  std::memcpy(tokens.mutable_data<uint8_t>(), text.data(), text.size());
  return tokens;
}

}  // namespace septet
