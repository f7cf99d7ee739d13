// SPDX-License-Identifier: Apache-2.0
// A tree of run folders as one page of HTML: verdicts, figures, manifests.
//
//   SEPTET_ASSIGN_OR_RETURN(
//       std::string page,
//       HtmlReport("septet_runs", /*page_folder=*/"septet_runs", std::cerr));
//
// The page needs nothing but itself: figures are in it (SVG, or else PNG, up to
// 8 MiB each and 64 MiB together; larger ones are links), there are no scripts,
// and a policy in its head forbids it to load anything. Metrics, CSV and other
// files are links. All text is escaped. What cannot be read is said on the page
// and as a warning.
#ifndef SEPTET_CORE_EXPERIMENT_HTML_REPORT_H_
#define SEPTET_CORE_EXPERIMENT_HTML_REPORT_H_

#include <ostream>
#include <string>

#include "absl/status/statusor.h"

namespace septet {

// The page of the folders at and below `root` that hold a manifest.json, a
// verdict.json, a result.json or a metrics.jsonl; links lead there from
// `page_folder`. Folders behind symbolic links are left out. Errors: NotFound
// and others of core/base/file.h for `root`; NotFound if there are no such
// folders.
absl::StatusOr<std::string> HtmlReport(const std::string& root,
                                       const std::string& page_folder,
                                       std::ostream& warnings);

}  // namespace septet

#endif  // SEPTET_CORE_EXPERIMENT_HTML_REPORT_H_
