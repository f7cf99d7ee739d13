// SPDX-License-Identifier: Apache-2.0
// What hdf5.h and the program hdf5_reader say to each other; private to them.
//
// Both directions are a row of frames: 16 bytes (a mark, the kind, the number
// of bytes that follow, their CRC-32C), then the bytes. The request is one
// frame, the answer: kDataset for each dataset of the file; for each that was
// asked for, kTensor and as many kData as it takes; kText for each text; kEnd.
// Or, at any point, kError as the last one.
//
// The program reads files that may make it do anything, and so the answer is
// believed in nothing: every number is checked before it is used, and what is
// allocated is bounded by what was asked for.
#ifndef SEPTET_CORE_IO_HDF5_PROTOCOL_IMPL_H_
#define SEPTET_CORE_IO_HDF5_PROTOCOL_IMPL_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace io_internal {

inline constexpr size_t kFrameHeaderBytes = 16;
// Of one frame, beside its header.
inline constexpr size_t kMaxFrameBytes = size_t{1} << 20;
// HDF5 itself has no more axes.
inline constexpr int kMaxHdf5Rank = 32;
inline constexpr size_t kMaxHdf5NameBytes = 4096;
// Of a text that is listed, and of a message.
inline constexpr size_t kMaxHdf5TextBytes = 64 << 10;

enum class FrameKind : uint32_t {
  kRequest = 1,
  kDataset = 2,
  kTensor = 3,
  kData = 4,
  kText = 5,
  kEnd = 6,
  kError = 7,
};

// A frame with these bytes, at most kMaxFrameBytes.
std::string MakeFrame(FrameKind kind, absl::string_view payload);

struct Frame {
  FrameKind kind;
  absl::string_view payload;
};

// The first frame of `bytes`; nothing if it is not complete yet. DataLoss if it
// is none.
absl::StatusOr<std::optional<Frame>> FirstFrame(absl::string_view bytes);

// A dataset as the answer lists it.
struct DatasetFrame {
  std::string name;
  std::string type;  // "f32", "i8", "string", "compound", ...
  std::optional<DType> dtype;
  std::vector<int64_t> shape;
};

// Rows of one dataset; a negative count means all from `begin` on.
struct RowsFrame {
  std::string name;
  int64_t begin = 0;
  int64_t count = -1;
};

struct RequestFrame {
  bool texts = false;    // send the texts
  bool tensors = false;  // send tensors: `rows`, or all if there are none
  std::vector<RowsFrame> rows;
  int64_t max_bytes = 0;     // of all tensors
  int64_t max_datasets = 0;  // in the file
};

std::string EncodeDataset(const DatasetFrame& dataset);
absl::StatusOr<DatasetFrame> DecodeDataset(absl::string_view payload);

// The request may have many names: it is the frames of EncodeRequest, one for
// each and one more, of which the last has no name.
std::string EncodeRequest(const RequestFrame& request);
absl::StatusOr<RequestFrame> DecodeRequest(absl::string_view frames);

std::string EncodeText(absl::string_view name, absl::string_view text);
std::string EncodeError(const absl::Status& status);

// Takes the answer as it comes.
class AnswerParser {
 public:
  // Allocates no tensor beyond max_bytes in all, and keeps no more than
  // max_datasets datasets and texts.
  AnswerParser(int64_t max_bytes, int64_t max_datasets);

  // The next bytes of the answer. An error that the program reported comes back
  // as it is, but that its message is escaped; DataLoss for what is no answer.
  absl::Status Feed(absl::string_view bytes);

  // Whether the answer is complete.
  bool complete() const { return complete_; }

  const std::vector<DatasetFrame>& datasets() const { return datasets_; }
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& texts() const { return texts_; }

 private:
  absl::Status Take(const Frame& frame);
  absl::Status BeginTensor(absl::string_view payload);
  absl::Status TakeData(absl::string_view payload);
  absl::Status TakeText(absl::string_view payload);
  absl::Status CountItem(size_t bytes);

  int64_t bytes_left_;
  int64_t items_left_;
  size_t text_bytes_left_;
  std::string buffer_;
  std::vector<DatasetFrame> datasets_;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, std::string> texts_;
  std::string tensor_name_;  // of the tensor in work
  size_t tensor_position_ = 0;
  size_t tensor_bytes_ = 0;
  bool complete_ = false;
};

}  // namespace io_internal
}  // namespace septet

#endif  // SEPTET_CORE_IO_HDF5_PROTOCOL_IMPL_H_
