// SPDX-License-Identifier: Apache-2.0
// Rows of text as a table: for a terminal, as Markdown, as CSV.
//
//   const TableRows rows = {{"check", "verdict"}, {"accuracy, %", "met"}};
//   std::cout << AlignedTable(rows);
//
// The first row is the head. A row may be shorter than others.
#ifndef SEPTET_CORE_EXPERIMENT_TEXT_TABLE_H_
#define SEPTET_CORE_EXPERIMENT_TEXT_TABLE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace septet {

using TableRows = std::vector<std::vector<std::string>>;

// Columns of equal width, counted in characters of UTF-8, with two blanks
// before and between.
std::string AlignedTable(const TableRows& rows);

// `text` in one line, with what Markdown would take for markup escaped.
std::string MarkdownText(absl::string_view text);

// With what Markdown would take for markup escaped.
std::string MarkdownTable(const TableRows& rows);

// RFC 4180, but with line feeds: a cell with a comma, a quote or a line break
// is quoted.
std::string CsvTable(const TableRows& rows);

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_TEXT_TABLE_H_
