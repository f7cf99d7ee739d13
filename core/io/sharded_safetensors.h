// SPDX-License-Identifier: Apache-2.0
// Tensors by name in several safetensors files and an index of them, as the
// Hugging Face Hub keeps large models:
//
//   model.safetensors.index.json
//     {"metadata": {"total_size": 24, "method": "demo"},
//      "weight_map": {"b": "model-00002-of-00002.safetensors",
//                     "w": "model-00001-of-00002.safetensors"}}
//   model-00001-of-00002.safetensors
//   model-00002-of-00002.safetensors
//
//   SEPTET_ASSIGN_OR_RETURN(std::string index,
//                           WriteShardedSafetensors(directory, {{"w", w}}));
//   SEPTET_ASSIGN_OR_RETURN(ShardedSafetensors model,
//                           ShardedSafetensors::Open(index));
//   SEPTET_ASSIGN_OR_RETURN(Tensor w, model.Get("w"));
//
// Opening maps every shard and reads the headers. "total_size" is written but
// not checked: programs do not agree on whether shared tensors count twice.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_IO_SHARDED_SAFETENSORS_H_
#define SEPTET_CORE_IO_SHARDED_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/io/safetensors.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// What an index file says.
struct SafetensorsIndex {
  std::map<std::string, std::string> weight_map;  // tensor -> file name
  std::map<std::string, std::string> metadata;    // those that are strings
};

// Parses the JSON of an index. DataLoss if it is not an object with a
// "weight_map" from strings to names of files in the same directory ('/', '\',
// control characters, "." and ".." are refused), if a key is there twice, or if
// what else it holds is nested deeper than 32. Other keys are skipped.
absl::StatusOr<SafetensorsIndex> ParseSafetensorsIndex(absl::string_view json);

// An open index with its shards. Copies are handles of the same mappings.
class ShardedSafetensors {
 public:
  // Reads the index at `index_path` and opens the shards beside it. NotFound
  // if it or a shard is missing; DataLoss if one is corrupt, if a tensor is not
  // in the shard that the index names, or if it is in another one, too. Tensors
  // of which the index says nothing are left out.
  static absl::StatusOr<ShardedSafetensors> Open(absl::string_view index_path);

  // Sorted bytewise.
  const std::vector<std::string>& names() const;

  // The strings of the index's "metadata".
  const std::map<std::string, std::string>& metadata() const;

  bool Contains(absl::string_view name) const;

  // As those of SafetensorsFile.
  absl::StatusOr<SafetensorsInfo> Info(absl::string_view name) const;
  absl::StatusOr<Tensor> Get(absl::string_view name) const;

  // As given to Open.
  const std::string& path() const;

 private:
  struct Content;

  explicit ShardedSafetensors(std::shared_ptr<const Content> content);

  absl::StatusOr<const SafetensorsFile*> Find(absl::string_view name) const;

  std::shared_ptr<const Content> content_;
};

struct ShardedSafetensorsOptions {
  // What the file names begin with. A name of a file, not of a path.
  std::string stem = "model";

  // A shard has at most so many bytes of elements, unless a single tensor has
  // more: that one has a shard of its own. At least 1. 5 GB is the Hub's own.
  int64_t max_shard_bytes = 5'000'000'000;

  // InvalidArgument, naming the member.
  absl::Status Validate() const;
};

// Writes the tensors, by name one after the other, into
// <directory>/<stem>-00001-of-0000N.safetensors and so on, then
// <stem>.safetensors.index.json, whose path is returned. No tensors make one
// shard. Each shard and the index carry `metadata`.
//
// Each file appears complete or not at all, the index last. Write into a new
// directory: over an older model of the same stem and number of shards, a crash
// in between leaves the old index with some new shards.
//
// InvalidArgument as SerializeSafetensors, for options, and for a metadata key
// "total_size"; errors of writing as WriteSafetensors.
absl::StatusOr<std::string> WriteShardedSafetensors(
    absl::string_view directory, const std::map<std::string, Tensor>& tensors,
    const std::map<std::string, std::string>& metadata = {},
    const ShardedSafetensorsOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_IO_SHARDED_SAFETENSORS_H_
