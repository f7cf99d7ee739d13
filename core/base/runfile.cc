// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/runfile.h"

#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace septet {

absl::StatusOr<std::string> FindRunfile(absl::string_view path) {
  if (path.empty() || path[0] == '/') {
    return absl::InvalidArgumentError(
        absl::StrCat("runfile \"", path,
                     "\": expected a path that begins with a repository"));
  }
  std::vector<std::string> roots;
  for (const char* name : {"RUNFILES_DIR", "TEST_SRCDIR"}) {
    const char* root = std::getenv(name);
    if (root != nullptr && *root != '\0') roots.emplace_back(root);
  }
  char program[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", program, sizeof(program));
  if (size > 0 && size < static_cast<ssize_t>(sizeof(program))) {
    absl::string_view name(program, static_cast<size_t>(size));
    // A new build has taken the place of the file that runs.
    absl::ConsumeSuffix(&name, " (deleted)");
    roots.push_back(absl::StrCat(name, ".runfiles"));
  }
  std::vector<std::string> tried;
  for (const std::string& root : roots) {
    tried.push_back(absl::StrCat(root, "/", path));
    if (access(tried.back().c_str(), R_OK) == 0) return tried.back();
  }
  return absl::NotFoundError(
      absl::StrCat("no runfile ", path, "; looked for ",
                   tried.empty() ? "nothing" : absl::StrJoin(tried, ", ")));
}

}  // namespace septet
