// SPDX-License-Identifier: Apache-2.0
// Parameters from files of other programs: other names, transposed weights,
// several tensors in one.
//
//   SEPTET_ASSIGN_OR_RETURN(
//       auto tensors,
//       ConvertTensors(theirs, {{"fc.weight", {"linear.weight"}, true},
//                               {"fc.bias", {"linear.bias"}}}));
//   SEPTET_RETURN_IF_ERROR(store.Import(tensors));
//
// Gradients in another program's names are converted likewise. For
// transformers, transformer_import.h makes the list.
#ifndef SEPTET_CORE_NN_IMPORT_H_
#define SEPTET_CORE_NN_IMPORT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// Where one of our parameters comes from.
struct TensorSource {
  std::string parameter;             // our name
  std::vector<std::string> tensors;  // theirs, joined along the last axis
  // Theirs are [out, in] where ours is [in, out]: each is transposed first.
  bool transpose = false;
  // Columns [begin, end) of the last axis of that, -1: all; a part of a joint
  // weight.
  int64_t begin = 0;
  int64_t end = -1;
  // Nothing is converted, and nothing said, where their file has none of it.
  bool optional = false;
};

// Our tensors by name. Those of theirs that no source names are an error unless
// their names end in one of `ignored`.
// Errors: InvalidArgument that lists all of theirs that are missing or unknown,
// or names the tensors that cannot be joined, transposed or cut.
absl::StatusOr<std::map<std::string, Tensor>> ConvertTensors(
    const std::map<std::string, Tensor>& theirs,
    absl::Span<const TensorSource> sources,
    absl::Span<const std::string> ignored = {});

}  // namespace septet

#endif  // SEPTET_CORE_NN_IMPORT_H_
