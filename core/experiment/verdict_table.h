// SPDX-License-Identifier: Apache-2.0
// A verdict as the table "paper, measured (mean, worst seed), threshold,
// verdict": for a terminal, as Markdown for a README, as CSV for other
// programs.
//
//   std::cout << VerdictText(verdict);
//
// Numbers are shown with four digits, and more where a value would else look
// like a threshold that it is not; CSV has all digits.
#ifndef SEPTET_CORE_EXPERIMENT_VERDICT_TABLE_H_
#define SEPTET_CORE_EXPERIMENT_VERDICT_TABLE_H_

#include <string>

#include "septet/core/experiment/text_table.h"
#include "septet/core/experiment/verdict.h"

namespace septet {

// A row for each check, below the head.
TableRows VerdictRows(const Verdict& verdict);

// "quick, seeds 1 to 3, 62 s on AMD EPYC 9R14, revision 1a2b3c".
std::string VerdictSummary(const Verdict& verdict);

// Experiment, claim and source, the table, the summary.
std::string VerdictText(const Verdict& verdict);

// The table and the summary.
std::string VerdictMarkdown(const Verdict& verdict);

// A row for each check with everything that is known of it.
std::string VerdictCsv(const Verdict& verdict);

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_VERDICT_TABLE_H_
