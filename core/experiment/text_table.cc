// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/text_table.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace septet {
namespace {

// Characters of UTF-8: bytes that continue none.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

size_t Columns(const TableRows& rows) {
  size_t columns = 0;
  for (const auto& row : rows) columns = std::max(columns, row.size());
  return columns;
}

std::string CsvCell(absl::string_view text) {
  if (text.find_first_of(",\"\r\n") == absl::string_view::npos) {
    return std::string(text);
  }
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

}  // namespace

std::string MarkdownText(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\\", "\\\\"},
                                    {"|", "\\|"},
                                    {"*", "\\*"},
                                    {"_", "\\_"},
                                    {"`", "\\`"},
                                    {"<", "&lt;"},
                                    {">", "&gt;"},
                                    {"[", "\\["},
                                    {"]", "\\]"},
                                    {"\r", " "},
                                    {"\n", " "}});
}

std::string AlignedTable(const TableRows& rows) {
  std::vector<size_t> widths(Columns(rows), 0);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], Width(row[i]));
    }
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&text, "  ", row[i]);
      if (i + 1 < row.size()) text.append(widths[i] - Width(row[i]), ' ');
    }
    text += '\n';
  }
  return text;
}

std::string MarkdownTable(const TableRows& rows) {
  const size_t columns = Columns(rows);
  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    text += '|';
    for (size_t i = 0; i < columns; ++i) {
      absl::StrAppend(
          &text, " ",
          i < rows[r].size() ? MarkdownText(rows[r][i]) : std::string(), " |");
    }
    text += '\n';
    if (r > 0) continue;
    text += '|';
    for (size_t i = 0; i < columns; ++i) text += " --- |";
    text += '\n';
  }
  return text;
}

std::string CsvTable(const TableRows& rows) {
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      absl::StrAppend(&text, i == 0 ? "" : ",", CsvCell(row[i]));
    }
    text += '\n';
  }
  return text;
}

}  // namespace septet
