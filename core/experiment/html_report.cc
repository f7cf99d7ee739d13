// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/html_report.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/file.h"
#include "septet/core/experiment/text_table.h"
#include "septet/core/experiment/verdict.h"
#include "septet/core/experiment/verdict_table.h"
#include "septet/core/io/json_string.h"
#include "septet/core/io/quote.h"

namespace septet {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFigureBytes = size_t{8} << 20;
constexpr size_t kMaxPageBytes = size_t{64} << 20;
constexpr size_t kMaxManifestBytes = size_t{1} << 20;

constexpr char kStyle[] = R"(
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75em; margin: 2em auto;
       padding: 0 1em; color: #1a1a1a; background: #fff; }
h1 { font-size: 1.5em; } h2 { font-size: 1.2em; margin-top: 2.5em;
     border-top: 1px solid #ccc; padding-top: 1em; }
table { border-collapse: collapse; margin: 1em 0; }
th, td { border: 1px solid #ccc; padding: .3em .7em; text-align: left; }
th { background: #f4f4f4; }
figure { display: inline-block; margin: .5em 1em .5em 0; vertical-align: top; }
figure img { max-width: 36em; height: auto; border: 1px solid #eee; }
figcaption, .small { font-size: .85em; color: #555; }
pre { background: #f7f7f7; padding: 1em; overflow: auto; font-size: .85em; }
.met { color: #17692a; font-weight: 600; }
.missed, .error { color: #a3161b; font-weight: 600; }
)";

// `text` in UTF-8 as the content of an element or of a quoted attribute.
std::string Escape(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"&", "&amp;"},
                                    {"<", "&lt;"},
                                    {">", "&gt;"},
                                    {"\"", "&quot;"},
                                    {"'", "&#39;"}});
}

// A name out of the file system, which may be any bytes.
std::string EscapeName(const std::string& name) {
  return JsonString(name).ok() ? Escape(name) : Escape(QuoteName(name));
}

// A relative path as a URL.
std::string Url(const std::string& path) {
  std::string url;
  for (unsigned char c : path) {
    if (absl::ascii_isalnum(c) || absl::StrContains("/._-~", c)) {
      url += static_cast<char>(c);
    } else {
      absl::StrAppend(&url, absl::StrFormat("%%%02X", c));
    }
  }
  // A colon in the first part would be a scheme; it is escaped above.
  return url;
}

class Page {
 public:
  Page(fs::path root, fs::path page_folder, std::ostream& warnings)
      : root_(std::move(root)),
        page_folder_(std::move(page_folder)),
        warnings_(warnings) {}

  void Add(const fs::path& folder);

  size_t sections() const { return sections_; }

  std::string Text() const {
    return absl::StrCat(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
        "<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
        "'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        "<title>Runs</title>\n<style>",
        kStyle, "</style>\n</head>\n<body>\n<h1>Runs in ",
        EscapeName(root_.string()),
        "</h1>\n<table>\n<tr><th>run</th><th>verdict</th></tr>\n", contents_,
        "</table>\n", body_, "</body>\n</html>\n");
  }

 private:
  // The path from the page to a file.
  std::string Link(const fs::path& path) const {
    return Url(path.lexically_relative(page_folder_).string());
  }

  std::string Anchor(const fs::path& path) const {
    return absl::StrCat("<a href=\"", Escape(Link(path)), "\">",
                        EscapeName(path.filename().string()), "</a>");
  }

  void Problem(const absl::Status& status) {
    warnings_ << "warning: " << status.message() << std::endl;
    // The message may quote a path of any bytes.
    absl::StrAppend(&body_, "<p class=\"error\">",
                    EscapeName(std::string(status.message())), "</p>\n");
  }

  // Returns what the table of contents says.
  std::string AddVerdict(const fs::path& path);
  void AddFigures(const fs::path& folder);
  void AddManifest(const fs::path& path);

  const fs::path root_, page_folder_;
  std::ostream& warnings_;
  std::string contents_, body_;
  size_t sections_ = 0;
};

std::string Outcome(const Verdict& verdict) {
  size_t met = 0, missed = 0, found = 0;
  for (const JudgedCheck& check : verdict.checks) {
    (check.outcome == Outcome::kMet      ? met
     : check.outcome == Outcome::kMissed ? missed
                                         : found)++;
  }
  return absl::StrCat("<span class=\"", missed > 0 ? "missed" : "met", "\">",
                      met, " met, ", missed, " missed, ", found,
                      " as found</span>");
}

std::string Page::AddVerdict(const fs::path& path) {
  const absl::StatusOr<Verdict> verdict = ReadVerdict(path.string());
  if (!verdict.ok()) {
    Problem(verdict.status());
    return "<span class=\"error\">cannot be read</span>";
  }
  absl::StrAppend(&body_, "<p>", Escape(verdict->claim),
                  " <span class=\"small\">(", Escape(verdict->source),
                  ")</span></p>\n<table>\n");
  const TableRows rows = VerdictRows(*verdict);
  for (size_t r = 0; r < rows.size(); ++r) {
    body_ += "<tr>";
    for (size_t i = 0; i < rows[r].size(); ++i) {
      const std::string& cell = rows[r][i];
      if (r == 0) {
        absl::StrAppend(&body_, "<th>", Escape(cell), "</th>");
      } else if (i + 1 == rows[r].size() &&
                 (cell == "met" || cell == "missed")) {
        absl::StrAppend(&body_, "<td class=\"", cell, "\">", cell, "</td>");
      } else {
        absl::StrAppend(&body_, "<td>", Escape(cell), "</td>");
      }
    }
    body_ += "</tr>\n";
  }
  absl::StrAppend(&body_, "</table>\n<p class=\"small\">",
                  Escape(VerdictSummary(*verdict)), "</p>\n");
  return Outcome(*verdict);
}

void Page::AddFigures(const fs::path& folder) {
  // By path without extension: one picture, and links to its other forms.
  std::map<std::string, std::map<std::string, fs::path>> figures;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder / "figures", error);
  for (; !error && entry != fs::recursive_directory_iterator();
       entry.increment(error)) {
    if (!entry->is_regular_file(error)) continue;
    fs::path stem = entry->path();
    figures[stem.replace_extension().string()]
           [entry->path().extension().string()] = entry->path();
  }
  for (const auto& [stem, forms] : figures) {
    body_ += "<figure>";
    for (const auto& [extension, type] :
         {std::pair<std::string, std::string>(".svg", "svg+xml"),
          std::pair<std::string, std::string>(".png", "png")}) {
      const auto form = forms.find(extension);
      if (form == forms.end()) continue;
      const uintmax_t size = fs::file_size(form->second, error);
      if (error || size > kMaxFigureBytes ||
          body_.size() + 2 * size > kMaxPageBytes) {
        continue;
      }
      const absl::StatusOr<std::string> bytes =
          ReadFileToString(form->second.string());
      if (!bytes.ok()) {
        Problem(bytes.status());
        continue;
      }
      absl::StrAppend(&body_, "<img alt=\"",
                      EscapeName(form->second.stem().string()),
                      "\" src=\"data:image/", type, ";base64,",
                      absl::Base64Escape(*bytes), "\">");
      break;
    }
    body_ += "<figcaption>";
    for (const auto& [extension, path] : forms) {
      absl::StrAppend(&body_, Anchor(path), " ");
    }
    body_ += "</figcaption></figure>\n";
  }
}

void Page::AddManifest(const fs::path& path) {
  std::error_code error;
  const uintmax_t size = fs::file_size(path, error);
  if (!error && size > kMaxManifestBytes) {
    return Problem(absl::DataLossError(
        absl::StrCat(path.string(), ": has ", size, " bytes, expected at most ",
                     kMaxManifestBytes)));
  }
  const absl::StatusOr<std::string> text = ReadFileToString(path.string());
  if (!text.ok()) return Problem(text.status());
  if (!JsonString(*text).ok()) {
    return Problem(
        absl::DataLossError(absl::StrCat(path.string(), ": is not UTF-8")));
  }
  absl::StrAppend(&body_, "<details><summary>manifest</summary><pre>",
                  Escape(*text), "</pre></details>\n");
}

void Page::Add(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    // Hidden ones are what a killed process has left of a file.
    if (entry->is_regular_file(error) &&
        !absl::StartsWith(entry->path().filename().string(), ".")) {
      files.push_back(entry->path());
    }
  }
  if (error) {
    return Problem(absl::ErrnoToStatus(
        error.value(), absl::StrCat("read directory ", folder.string())));
  }
  std::sort(files.begin(), files.end());
  const auto has = [&](const char* name) {
    return std::find(files.begin(), files.end(), folder / name) != files.end();
  };
  if (!has("manifest.json") && !has("verdict.json") && !has("result.json") &&
      !has("metrics.jsonl")) {
    return;
  }
  const std::string name =
      EscapeName(folder.lexically_relative(root_).string());
  ++sections_;
  absl::StrAppend(&body_, "<h2 id=\"run", sections_, "\">", name, "</h2>\n");
  std::string outcome;
  if (has("verdict.json")) outcome = AddVerdict(folder / "verdict.json");
  absl::StrAppend(&contents_, "<tr><td><a href=\"#run", sections_, "\">", name,
                  "</a></td><td>", outcome, "</td></tr>\n");
  AddFigures(folder);
  if (has("manifest.json")) AddManifest(folder / "manifest.json");
  body_ += "<p class=\"small\">files:";
  for (const fs::path& file : files) {
    absl::StrAppend(&body_, " ", Anchor(file));
  }
  body_ += "</p>\n";
}

}  // namespace

absl::StatusOr<std::string> HtmlReport(const std::string& root,
                                       const std::string& page_folder,
                                       std::ostream& warnings) {
  std::error_code error;
  const auto problem = [&](absl::string_view what) {
    return absl::ErrnoToStatus(error.value(), absl::StrCat(what, " ", root));
  };
  // Both are made absolute, so that one path leads from the other.
  const fs::path folder = fs::canonical(root, error);
  if (error) return problem("open");
  const fs::path from = fs::weakly_canonical(page_folder, error);
  if (error) return problem("open");
  std::vector<fs::path> folders = {folder};
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator();
       entry.increment(error)) {
    if (!entry->is_symlink(error) && entry->is_directory(error)) {
      folders.push_back(entry->path());
    }
  }
  if (error) return problem("read directory");
  std::sort(folders.begin(), folders.end());
  Page page(folder, from, warnings);
  for (const fs::path& path : folders) page.Add(path);
  if (page.sections() == 0) {
    return absl::NotFoundError(
        absl::StrCat(root,
                     ": found no folder with a manifest.json, verdict.json, "
                     "result.json or metrics.jsonl"));
  }
  return page.Text();
}

}  // namespace septet
