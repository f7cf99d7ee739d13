// SPDX-License-Identifier: Apache-2.0
// The numbers of a figure as CSV (RFC 4180, lines ended by "\n"), in one layout
// for all kinds. The first line is
//
//   panel,kind,series,x,y,low,high,value
//
// panel: which of a grid's figures, counted from 1 ("2", and "2.3" for a grid
// in a grid); 1 where there is one. What the others hold:
//
//   kind       a line for each   series   x              y         low, high
//   value lines      point             label    x              y         band
//   scatter    point             label    x              y         error bar
//   bars       bar               label    category       height    error bar
//   histogram  bin               label    its middle     height    its edges
//   heat map   cell              title    column         row value images row
//   of an image   caption  which image    which row            pixels
//
// Columns and rows are named by their categories, or counted from 0; pixels are
// numbers with spaces between, of RGB images three a pixel. Numbers are written
// with the fewest digits that give the same double again; nan, inf and -inf are
// written so. What a series does not have is empty.
#ifndef SEPTET_CORE_PLOT_CSV_H_
#define SEPTET_CORE_PLOT_CSV_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace septet {

// The number in the fewest digits that give it again: "0.1", "1e+22", "nan".
std::string CsvNumber(double value);

// `text`, in double quotes where it holds a comma, a quote, a line break, or
// spaces at an end; quotes inside doubled.
std::string CsvField(absl::string_view text);

// The fields with commas between, and "\n".
std::string CsvLine(const std::vector<std::string>& fields);

}  // namespace septet

#endif  // SEPTET_CORE_PLOT_CSV_H_
