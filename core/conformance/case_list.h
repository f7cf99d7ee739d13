// SPDX-License-Identifier: Apache-2.0
// Files that hold several cases of one family: the option "cases" is a JSON
// list of objects, and the tensors of entry k are named with the suffix _k.
//
//   SEPTET_ASSIGN_OR_RETURN(const CaseList cases, CaseList::Parse(run.file()));
//   for (size_t k = 0; k < cases.size(); ++k) {
//     SEPTET_ASSIGN_OR_RETURN(const double eps, cases.Double(k, "eps"));
//
// Errors name the file, the entry, the key, what was expected and what is
// there.
#ifndef SEPTET_CORE_CONFORMANCE_CASE_LIST_H_
#define SEPTET_CORE_CONFORMANCE_CASE_LIST_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/conformance/case.h"

namespace septet {

class CaseList {
 public:
  // Reads the option "cases" of `file`. InvalidArgument if it is missing, or no
  // JSON list of at least one object.
  static absl::StatusOr<CaseList> Parse(const Case& file);

  size_t size() const { return entries_.size(); }

  // InvalidArgument if entry k has no such key, or it has another type. An
  // integer is a number, too.
  absl::StatusOr<double> Double(size_t k, absl::string_view key) const;
  absl::StatusOr<int64_t> Int(size_t k, absl::string_view key) const;
  absl::StatusOr<bool> Bool(size_t k, absl::string_view key) const;
  absl::StatusOr<std::string> String(size_t k, absl::string_view key) const;

  bool Has(size_t k, absl::string_view key) const;

 private:
  // Each value as its JSON text.
  using Entry = std::map<std::string, std::string, std::less<>>;

  absl::StatusOr<std::string> Find(size_t k, absl::string_view key) const;
  absl::Status Error(size_t k, absl::string_view key,
                     absl::string_view expected) const;

  std::string path_;
  std::vector<Entry> entries_;
};

}  // namespace septet

#endif  // SEPTET_CORE_CONFORMANCE_CASE_LIST_H_
