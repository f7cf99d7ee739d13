// SPDX-License-Identifier: Apache-2.0
// The pickles that torch.save writes, as a graph of plain nodes. Private to
// core/io; see torch_checkpoint.h for what is understood.
//
// A pickle is a program for a stack machine. This machine builds nodes and has
// no way to do anything else: a name is looked up in a fixed table, and one
// that is not there is the end.
//
// Cost: linear in the pickle, in time and memory: each opcode makes at most one
// node or moves what the opcodes before have pushed. A node takes a hundred
// times as much as the one byte that may stand for it.
#ifndef SEPTET_CORE_IO_PICKLE_IMPL_H_
#define SEPTET_CORE_IO_PICKLE_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/dtype.h"

namespace septet {
namespace io_internal {

// An element type of PyTorch, and ours if there is one.
struct TorchType {
  absl::string_view name;     // "float32"; "" for bytes without a type
  absl::string_view storage;  // "FloatStorage"; "" if it has none of its own
  int bytes;
  std::optional<DType> dtype;
};

enum class PickleKind : uint8_t {
  kNone,
  kBool,       // number
  kInt,        // number
  kLongInt,    // text: little endian, two's complement, more than 8 bytes
  kFloat,      // real
  kText,       // text; number: the node of _codecs.encode of it, or 0
  kTorchType,  // text, like "torch.float32"; type
  kList,       // items; sets and torch.Size are lists or tuples, too
  kTuple,      // items
  kDict,       // items: key, value, key, value, ...
  kPairs,      // items: a list of pairs
  kStorage,    // number: index in storages
  kTensor,     // number: index in tensors
  // What no object of a file is, but is on the stack at times.
  kFunction,    // number: which
  kClass,       // number: which
  kStorageOf,   // type
  kNumpyDType,  // text: "f8"; number: 1 if big endian
};

struct PickleNode {
  PickleKind kind = PickleKind::kNone;
  int64_t number = 0;
  double real = 0;
  absl::string_view text;
  const TorchType* type = nullptr;
  std::vector<uint32_t> items;
};

struct PickleStorage {
  const TorchType* type = nullptr;
  absl::string_view key;
  int64_t elements = 0;  // in the file
  // What is seen of it, in elements.
  int64_t view_begin = 0;
  int64_t view_elements = 0;
};

struct PickleTensor {
  uint32_t storage = 0;  // index in storages
  const TorchType* type = nullptr;
  // In elements, as in the pickle: not checked against the storage.
  int64_t offset = 0;
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;  // as many
  // The elements are the negatives of what the storage has.
  bool negative = false;
};

struct Pickle {
  // Nodes may contain each other in circles. In deques, which take no more
  // while they grow.
  std::deque<PickleNode> nodes;
  std::deque<PickleStorage> storages;
  std::deque<PickleTensor> tensors;
  uint32_t root = 0;
  size_t bytes = 0;  // length of the pickle
  // Texts that are not in the file as such.
  std::deque<std::string> texts;
};

// The pickle at the start of `bytes`, which must outlive it: texts are views.
// Errors name the byte: DataLoss if it is damaged; Unimplemented for an opcode,
// a class or a function that is not known; ResourceExhausted if the machine
// takes more memory than `max_object_bytes`.
absl::StatusOr<Pickle> ReadPickle(absl::string_view bytes,
                                  int64_t max_object_bytes);

}  // namespace io_internal
}  // namespace septet

#endif  // SEPTET_CORE_IO_PICKLE_IMPL_H_
