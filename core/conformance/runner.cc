// SPDX-License-Identifier: Apache-2.0
#include "septet/core/conformance/runner.h"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "septet/core/autograd/op.h"
#include "septet/core/base/check.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/conformance/case.h"
#include "septet/core/conformance/family.h"
#include "septet/core/tensor/dtype.h"

namespace septet {
namespace {

namespace fs = std::filesystem;

// A line of the trace, "gelu cpu/f32 composite", tells of a kernel that should
// have run if the op has any.
bool IsFallback(const std::string& line) {
  const std::vector<std::string> words = absl::StrSplit(line, ' ');
  if (words.size() != 3 || words[2] != "composite") return false;
  const Op* op = FindOp(words[0]);
  return op != nullptr && op->LinkedKernels() != "none";
}

std::string Message(const absl::Status& status) {
  return absl::StrCat(absl::StatusCodeToString(status.code()), ": ",
                      status.message());
}

// Where a path really is: two names of one file give one string.
std::string Canonical(const fs::path& path) {
  std::error_code error;
  const fs::path canonical = fs::canonical(path, error);
  return error ? path.string() : canonical.string();
}

// Appends the case files below `directory`. `entered` keeps links from leading
// in circles.
absl::Status AddDirectory(const fs::path& directory,
                          std::set<std::string>* entered,
                          std::vector<std::string>* files) {
  if (!entered->insert(Canonical(directory)).second) return absl::OkStatus();
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code unknown;  // of a dangling link, say: then it is a file
    if (fs::is_directory(it->path(), unknown)) {
      SEPTET_RETURN_IF_ERROR(AddDirectory(it->path(), entered, files));
    } else if (it->path().extension() == ".safetensors") {
      files->push_back(it->path().string());
    }
  }
  if (error) {
    return absl::ErrnoToStatus(error.value(), directory.string());
  }
  return absl::OkStatus();
}

}  // namespace

CaseResult RunCase(Case* file, const RunOptions& options) {
  SEPTET_CHECK(options.dtype == DType::kF64 || options.dtype == DType::kF32)
      << DTypeName(options.dtype);
  CaseResult result;
  result.path = file->path();
  result.dtype = options.dtype;
  const absl::StatusOr<std::string> name = file->Family();
  if (!name.ok()) {
    result.failures.push_back(Message(name.status()));
    return result;
  }
  result.family = *name;
  const absl::StatusOr<const Family*> family = FindFamily(*name);
  if (!family.ok()) {
    result.failures.push_back(Message(family.status()));
    return result;
  }

  CaseRun run(file, options.dtype,
              options.dtype == DType::kF64 ? (*family)->f64 : (*family)->f32);
  absl::Status status;
  {
    std::optional<ScopedReference> reference;
    if (options.reference) reference.emplace();
    DispatchTrace trace;
    status = (*family)->run(run);
    result.dispatch = trace.lines();
  }
  result.dispatch.insert(result.dispatch.end(), run.dispatch().begin(),
                         run.dispatch().end());
  result.tensors = run.results();
  result.ignored.assign(file->ignored().begin(), file->ignored().end());

  if (!status.ok()) result.failures.push_back(Message(status));
  size_t wrong = 0;
  for (const TensorResult& tensor : result.tensors) {
    if (!tensor.comparison.passed) ++wrong;
  }
  if (wrong > 0) {
    result.failures.push_back(absl::StrCat(wrong, " of ", result.tensors.size(),
                                           " tensors disagree"));
  }
  for (const std::string& line : result.dispatch) {
    if (!options.reference && IsFallback(line)) {
      result.failures.push_back(
          absl::StrCat("not a kernel but the composite ran: ", line));
    }
  }
  // What an adapter that failed has not come to is not unused.
  if (!status.ok()) return result;
  if (result.tensors.empty()) {
    result.failures.push_back("nothing was compared");
  }
  const std::vector<std::string> unused = file->UnusedTensors();
  if (!unused.empty()) {
    result.failures.push_back(
        absl::StrCat("unused tensors: ", absl::StrJoin(unused, ", ")));
  }
  return result;
}

CaseResult RunCaseFile(absl::string_view path, const RunOptions& options) {
  absl::StatusOr<Case> file = Case::Read(path);
  if (file.ok()) return RunCase(&*file, options);
  CaseResult result;
  result.path = std::string(path);
  result.dtype = options.dtype;
  result.failures.push_back(Message(file.status()));
  return result;
}

std::string CaseResult::ToString() const {
  std::string text =
      absl::StrCat(passed() ? "PASS " : "FAIL ", family.empty() ? "?" : family,
                   " ", DTypeName(dtype), " ", path, "\n");
  size_t name_width = 0;
  size_t type_width = 0;
  for (const TensorResult& tensor : tensors) {
    name_width = std::max(name_width, tensor.name.size());
    type_width = std::max(type_width, tensor.type.size());
  }
  for (const TensorResult& tensor : tensors) {
    absl::StrAppend(&text, tensor.comparison.passed ? "  " : "! ", tensor.name,
                    std::string(name_width - tensor.name.size() + 1, ' '),
                    tensor.type,
                    std::string(type_width - tensor.type.size() + 2, ' '),
                    tensor.comparison.ToString(), "\n");
  }
  if (!ignored.empty()) {
    absl::StrAppend(&text, "  ignored: ", absl::StrJoin(ignored, ", "), "\n");
  }
  if (!dispatch.empty()) {
    absl::StrAppend(&text, "  dispatch: ", absl::StrJoin(dispatch, "; "), "\n");
  }
  for (const std::string& failure : failures) {
    absl::StrAppend(&text, "! ", failure, "\n");
  }
  return text;
}

absl::StatusOr<std::vector<std::string>> FindCaseFiles(
    const std::vector<std::string>& paths) {
  if (paths.empty()) {
    return absl::InvalidArgumentError(
        "no files: name case files or directories of them");
  }
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code unknown;
    if (!fs::is_directory(path, unknown)) {
      files.push_back(path);
      continue;
    }
    const size_t before = files.size();
    std::set<std::string> entered;
    SEPTET_RETURN_IF_ERROR(AddDirectory(path, &entered, &files));
    if (files.size() == before) {
      return absl::NotFoundError(
          absl::StrCat(path, ": no *.safetensors in this directory"));
    }
  }
  std::sort(files.begin(), files.end());
  std::set<std::string> seen;
  files.erase(std::remove_if(files.begin(), files.end(),
                             [&](const std::string& file) {
                               return !seen.insert(Canonical(file)).second;
                             }),
              files.end());
  return files;
}

}  // namespace septet
