// SPDX-License-Identifier: Apache-2.0
#include "septet/core/nn/import.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

// Names that a message lists.
constexpr size_t kListed = 8;

std::string List(const std::vector<std::string>& names) {
  const size_t n = std::min(names.size(), kListed);
  return absl::StrCat(names.size(), ": '",
                      absl::StrJoin(names.begin(), names.begin() + n, "', '"),
                      "'", n < names.size() ? ", ..." : "");
}

absl::StatusOr<Tensor> Joined(const std::vector<Tensor>& parts) {
  if (parts.size() == 1) return parts[0];
  const int rank = parts[0].rank();
  if (rank < 1) {
    return absl::InvalidArgumentError("a scalar cannot be joined");
  }
  int64_t width = 0;
  for (const Tensor& part : parts) {
    if (part.rank() != rank || part.dtype() != parts[0].dtype() ||
        part.shape().WithDim(rank - 1, 1) !=
            parts[0].shape().WithDim(rank - 1, 1)) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot join ", part.DebugString(), " to ",
                       parts[0].DebugString(), " along the last axis"));
    }
    width += part.dim(rank - 1);
  }
  SEPTET_ASSIGN_OR_RETURN(
      Tensor result, Tensor::Empty(parts[0].shape().WithDim(rank - 1, width),
                                   parts[0].dtype()));
  int64_t begin = 0;
  for (const Tensor& part : parts) {
    const int64_t end = begin + part.dim(rank - 1);
    SEPTET_ASSIGN_OR_RETURN(const Tensor target,
                            result.Slice(rank - 1, begin, end));
    SEPTET_RETURN_IF_ERROR(target.CopyFrom(part));
    begin = end;
  }
  return result;
}

absl::StatusOr<Tensor> Convert(const TensorSource& source,
                               std::vector<Tensor> parts) {
  for (Tensor& part : parts) {
    if (!source.transpose) continue;
    if (part.rank() != 2) {
      return absl::InvalidArgumentError(absl::StrCat(
          "is ", part.DebugString(), ", expected rank 2 to transpose"));
    }
    SEPTET_ASSIGN_OR_RETURN(part, part.Permute({1, 0}));
  }
  SEPTET_ASSIGN_OR_RETURN(Tensor result, Joined(parts));
  if (source.begin == 0 && source.end == -1) return result;
  if (result.rank() < 1) {
    return absl::InvalidArgumentError("a scalar cannot be cut");
  }
  const int64_t width = result.dim(result.rank() - 1);
  return result.Slice(-1, source.begin, source.end == -1 ? width : source.end);
}

}  // namespace

absl::StatusOr<std::map<std::string, Tensor>> ConvertTensors(
    const std::map<std::string, Tensor>& theirs,
    absl::Span<const TensorSource> sources,
    absl::Span<const std::string> ignored) {
  std::map<std::string, Tensor> result;
  std::set<std::string> used;
  std::vector<std::string> missing;
  for (const TensorSource& source : sources) {
    std::vector<Tensor> parts;
    std::vector<std::string> absent;
    for (const std::string& name : source.tensors) {
      used.insert(name);
      const auto it = theirs.find(name);
      if (it == theirs.end()) {
        absent.push_back(name);
      } else {
        parts.push_back(it->second);
      }
    }
    if (source.optional && parts.empty()) continue;
    missing.insert(missing.end(), absent.begin(), absent.end());
    if (!absent.empty()) continue;
    SEPTET_ASSIGN_OR_RETURN(result[source.parameter],
                            Convert(source, std::move(parts)),
                            _ << "import of '" << source.parameter << "' from '"
                              << absl::StrJoin(source.tensors, "', '") << "'");
  }
  std::vector<std::string> unknown;
  for (const auto& [name, tensor] : theirs) {
    if (used.count(name) > 0) continue;
    const std::string& text = name;
    if (std::any_of(ignored.begin(), ignored.end(),
                    [&](const std::string& suffix) {
                      return absl::EndsWith(text, suffix);
                    })) {
      continue;
    }
    unknown.push_back(name);
  }
  std::vector<std::string> problems;
  if (!missing.empty()) problems.push_back("missing " + List(missing));
  if (!unknown.empty()) problems.push_back("unknown " + List(unknown));
  if (!problems.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("import of tensors: ", absl::StrJoin(problems, "; ")));
  }
  return result;
}

}  // namespace septet
