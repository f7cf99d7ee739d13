// SPDX-License-Identifier: Apache-2.0
// Tensors and numbers in the files that torch.save writes (.pt, .pth, .bin,
// .ckpt), read without Python and without running anything that is in them.
//
//   SEPTET_ASSIGN_OR_RETURN(auto tensors, ReadTorchCheckpoint("model.pt"));
//   Tensor w = tensors.at("encoder.0.weight");
//
//   SEPTET_ASSIGN_OR_RETURN(TorchCheckpoint all,
//                           OpenTorchCheckpoint("training.pt"));
//   Tensor m = all.tensors.at("optimizer.state.0.exp_avg");
//   int64_t epoch = std::get<int64_t>(all.values.at("epoch"));
//
// Containers (told apart by their first bytes):
//   zip     (torch >= 1.6)  <root>/data.pkl, a pickle; <root>/data/<key>, the
//           storages; <root>/byteorder, "little" or "big". Checksums are not
//           compared, as torch.load does not: it can write files without them.
//   legacy  (since 0.1)     pickles of a magic number, the protocol (1001) and
//           facts of the system; the pickle of the object; the pickle of a list
//           of keys; for each key the number of elements, 8 bytes, and the
//           elements. Elements are little endian on every machine.
//
// The pickle (protocols 2 to 5) is read by a small machine of its own. It knows
// dict, OrderedDict, Counter, list, tuple, set, frozenset, str, bytes, int,
// float, bool, None; torch.Size, torch.device, torch.dtype; tensors and
// parameters, also with attributes (which are dropped); and the scalars of
// NumPy. Any other class or function is an error that says its name. Nothing is
// imported or called.
//
// Names: containers are flattened with dots, {"a": [x, {"b": y}]} to "a.0" and
// "a.1.b". A file that holds nothing but one tensor gives it the name "".
// Empty containers leave no trace. Two values of one name are an error.
//
// dtypes: float64 float32 float16 bfloat16 int64 int32 uint16 uint8 bool. Other
// tensors (int8, int16, uint32, uint64, complex, float8), those of more than 8
// axes, and those that are the negative of their storage (imaginary parts of
// conjugates) leave the rest of the file readable: see `unsupported`.
//
// Views: strides and offsets are honoured. Tensors of one storage that are
// contiguous share it here, too; others are copied, but for axes of stride 0
// (expand), which stay so.
//
// Cost: the file is mapped. In a zip archive no element is touched until it is
// used, where the archive is as torch writes it (stored, aligned); else, and in
// legacy files, where elements lie at any address, each storage is copied once.
// Beyond that, memory for the objects of the pickle; see max_object_bytes.
//
// Not read: TorchScript archives, the tar files of before 0.1.10, protocols 0
// and 1, tensors on `meta`, quantized and sparse ones, arrays of NumPy.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_IO_TORCH_CHECKPOINT_H_
#define SEPTET_CORE_IO_TORCH_CHECKPOINT_H_

#include <cstdint>
#include <map>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// What is neither tensor nor container: None, bool, int, float, and text. bytes
// are text, too; a dtype is text like "torch.float32", a device like "cuda:0".
using TorchValue =
    std::variant<std::monostate, bool, int64_t, double, std::string>;

struct TorchCheckpoint {
  // On the CPU, read only. A parameter is its tensor.
  std::map<std::string, Tensor> tensors;

  std::map<std::string, TorchValue> values;

  // What a tensor or a value is that cannot be had: "int16 [2, 3]: no such
  // dtype here; ...", "an integer of 20 bytes".
  std::map<std::string, std::string> unsupported;
};

struct TorchCheckpointOptions {
  // What all compressed entries of a zip archive may inflate to. torch stores
  // them; archives that were packed again may have such.
  int64_t max_inflated_bytes = int64_t{4} << 30;

  // What the objects of the pickle may take, and once more what is made of them
  // beside tensors' elements: names and values. An object takes 70 bytes and
  // more, and may have one in the pickle, which may be compressed, or be in
  // many places; training states have some thousands.
  int64_t max_object_bytes = int64_t{1} << 30;

  // What copies of tensors that are not contiguous may take. Of one storage
  // there may be many.
  int64_t max_copied_bytes = int64_t{4} << 30;
};

// All that is in the file at `path`. Errors, which begin with the path:
// NotFound and the other codes of core/base/file.h if it cannot be read;
// DataLoss if it is damaged or no such file, naming the byte of the pickle, the
// entry or the tensor; Unimplemented for a class, a function or a kind of file
// that is not read, naming it; ResourceExhausted beyond the limits or without
// memory.
absl::StatusOr<TorchCheckpoint> OpenTorchCheckpoint(
    absl::string_view path, const TorchCheckpointOptions& options = {});

// The same of the bytes of a file; `name` stands for the path in messages.
absl::StatusOr<TorchCheckpoint> ParseTorchCheckpoint(
    std::string bytes, absl::string_view name,
    const TorchCheckpointOptions& options = {});

// The tensors alone. Unimplemented, naming the first, if one of them cannot be
// had.
absl::StatusOr<std::map<std::string, Tensor>> ReadTorchCheckpoint(
    absl::string_view path, const TorchCheckpointOptions& options = {});

// Whether a file that begins with these bytes (20 are enough) may be one of
// torch.save. Any zip archive may.
bool LooksLikeTorchCheckpoint(absl::string_view begin);

}  // namespace septet

#endif  // SEPTET_CORE_IO_TORCH_CHECKPOINT_H_
