// SPDX-License-Identifier: Apache-2.0
// Named tensors out of whatever file somebody keeps weights in.
//
//   SEPTET_ASSIGN_OR_RETURN(auto tensors, OpenCheckpoint("model.pt"));
//   Tensor w = tensors.at("encoder.0.weight");
//
// Which of these it is is seen from the content; the file's name counts for
// nothing:
// - safetensors (safetensors.h);
// - an index of safetensors, whose shards lie beside it
//   (sharded_safetensors.h);
// - .npz, and .npy, whose only tensor has the name "" (npy.h);
// - what torch.save wrote, of which numbers and texts are left out
//   (torch_checkpoint.h).
//
// All tensors must be of dtypes that there are here; each header named above
// has a reader that gives the others all the same. Cost: as of those headers.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_IO_OPEN_CHECKPOINT_H_
#define SEPTET_CORE_IO_OPEN_CHECKPOINT_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// All tensors of the file at `path`, with the limits that those headers have by
// default. Errors, which begin with the path, as those of the reader that the
// content asks for; DataLoss, with the first bytes, if it is none of them.
absl::StatusOr<std::map<std::string, Tensor>> OpenCheckpoint(
    absl::string_view path);

}  // namespace septet

#endif  // SEPTET_CORE_IO_OPEN_CHECKPOINT_H_
