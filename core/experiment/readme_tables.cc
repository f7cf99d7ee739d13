// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/readme_tables.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/experiment/experiment.h"
#include "septet/core/experiment/verdict.h"
#include "septet/core/experiment/verdict_table.h"
#include "septet/core/io/quote.h"

namespace septet {
namespace {

constexpr absl::string_view kBegin = "<!-- verdict: ";
constexpr absl::string_view kBeginEnd = " -->";
constexpr absl::string_view kEnd = "<!-- end -->";

std::string FolderOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == absl::string_view::npos ? "."
                                          : std::string(path.substr(0, slash));
}

// Where a verdict lies, as its content says: "recall/standard/verdict.json".
std::string PlaceOf(const Verdict& verdict) {
  return absl::StrCat(
      verdict.experiment.substr(verdict.experiment.rfind('/') + 1), "/",
      PresetName(verdict.preset), "/verdict.json");
}

}  // namespace

absl::StatusOr<ReadmeTables> MakeReadmeTables(absl::string_view path) {
  SEPTET_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path));
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  const auto error = [&](size_t line, absl::string_view message) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ":", line + 1, ": ", message));
  };
  ReadmeTables tables;
  std::vector<std::string> out;
  bool in_code = false;
  for (size_t i = 0; i < lines.size(); ++i) {
    out.emplace_back(lines[i]);
    if (absl::StartsWith(lines[i], "```")) in_code = !in_code;
    if (in_code) continue;
    if (lines[i] == kEnd) {
      return error(i, absl::StrCat("found ", kEnd, " without ", kBegin, "...",
                                   kBeginEnd));
    }
    absl::string_view verdict_path = lines[i];
    if (!absl::ConsumePrefix(&verdict_path, kBegin) ||
        !absl::ConsumeSuffix(&verdict_path, kBeginEnd)) {
      continue;
    }
    for (absl::string_view part : absl::StrSplit(verdict_path, '/')) {
      if (part.empty() || part == "." || part == "..") {
        return error(i, absl::StrCat("expected a path below the folder, got ",
                                     QuoteName(verdict_path)));
      }
    }
    SEPTET_ASSIGN_OR_RETURN(
        const Verdict verdict,
        ReadVerdict(absl::StrCat(FolderOf(path), "/", verdict_path)),
        _ << path << ":" << i + 1);
    if (!absl::EndsWith(verdict_path, absl::StrCat("/", PlaceOf(verdict)))) {
      return error(i, absl::StrCat(QuoteName(verdict_path), " is of ",
                                   QuoteName(verdict.experiment), " at ",
                                   PresetName(verdict.preset),
                                   ", expected it at .../", PlaceOf(verdict)));
    }
    tables.paths.emplace_back(verdict_path);
    std::string table = VerdictMarkdown(verdict);
    table.pop_back();  // the last line feed, which joining gives
    out.push_back(std::move(table));
    size_t end = i + 1;
    while (end < lines.size() && lines[end] != kEnd &&
           !absl::StartsWith(lines[end], kBegin)) {
      ++end;
    }
    if (end == lines.size() || lines[end] != kEnd) {
      return error(i, absl::StrCat("found no ", kEnd, " behind ", lines[i]));
    }
    out.emplace_back(kEnd);
    i = end;
  }
  tables.text = absl::StrJoin(out, "\n");
  return tables;
}

absl::Status CheckReadmeTables(absl::string_view path) {
  SEPTET_ASSIGN_OR_RETURN(const ReadmeTables tables, MakeReadmeTables(path));
  SEPTET_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path));
  if (tables.paths.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": has no ", kBegin, "results/...", kBeginEnd));
  }
  const std::string folder = FolderOf(path);
  std::error_code error;
  std::filesystem::recursive_directory_iterator entry(folder + "/results",
                                                      error);
  for (; !error && entry != std::filesystem::recursive_directory_iterator();
       entry.increment(error)) {
    if (entry->path().filename() != "verdict.json") continue;
    const std::string found = entry->path().lexically_relative(folder).string();
    if (std::find(tables.paths.begin(), tables.paths.end(), found) ==
        tables.paths.end()) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": has no table of ", found));
    }
  }
  if (text == tables.text) return absl::OkStatus();
  const std::vector<absl::string_view> is = absl::StrSplit(text, '\n');
  const std::vector<absl::string_view> should =
      absl::StrSplit(tables.text, '\n');
  size_t line = 0;
  while (line < is.size() && line < should.size() && is[line] == should[line]) {
    ++line;
  }
  return absl::FailedPreconditionError(absl::StrCat(
      path, ":", line + 1, ": is \"", line < is.size() ? is[line] : "",
      "\", expected \"", line < should.size() ? should[line] : "",
      "\"; bazel run //tools:verdict_table -- ", path, " writes it"));
}

}  // namespace septet
