// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/hdf5_protocol_impl.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/crc32c.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/io/json_string.h"
#include "septet/core/io/quote.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace io_internal {
namespace {

// "7h5f".
constexpr uint32_t kMark = 0x66356837;

constexpr uint8_t kNoDType = 0xff;

// Names and texts of a whole answer.
constexpr size_t kMaxAnswerTextBytes = size_t{64} << 20;

constexpr int64_t kNoName = INT64_MIN;

template <typename T>
void Put(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void PutText(std::string* out, absl::string_view text) {
  Put<uint32_t>(out, static_cast<uint32_t>(text.size()));
  absl::StrAppend(out, text);
}

absl::Status NoAnswer(absl::string_view what) {
  return absl::DataLossError(
      absl::StrCat("the answer of the HDF5 reader is garbage: ", what));
}

// Reads what Put and PutText have written.
class Fields {
 public:
  explicit Fields(absl::string_view bytes) : bytes_(bytes) {}

  template <typename T>
  bool Get(T* value) {
    if (bytes_.size() < sizeof(T)) return false;
    std::memcpy(value, bytes_.data(), sizeof(T));
    bytes_.remove_prefix(sizeof(T));
    return true;
  }

  bool GetText(size_t most, std::string* text) {
    uint32_t size;
    if (!Get(&size) || size > most || size > bytes_.size()) return false;
    text->assign(bytes_.data(), size);
    bytes_.remove_prefix(size);
    return true;
  }

  bool done() const { return bytes_.empty(); }

 private:
  absl::string_view bytes_;
};

bool GetDType(Fields* fields, std::optional<DType>* dtype) {
  uint8_t code;
  if (!fields->Get(&code)) return false;
  if (code == kNoDType) {
    *dtype = std::nullopt;
    return true;
  }
  if (code >= kNumDTypes) return false;
  *dtype = static_cast<DType>(code);
  return true;
}

bool GetShape(Fields* fields, std::vector<int64_t>* shape) {
  uint8_t rank;
  if (!fields->Get(&rank) || rank > kMaxHdf5Rank) return false;
  for (int i = 0; i < rank; ++i) {
    int64_t extent;
    if (!fields->Get(&extent) || extent < 0) return false;
    shape->push_back(extent);
  }
  return true;
}

// A message fit to be shown. It quotes names with QuoteName already.
std::string Printable(absl::string_view message) {
  return absl::StrReplaceAll(JsonString(message).ok()
                                 ? absl::Utf8SafeCHexEscape(message)
                                 : absl::CHexEscape(message),
                             {{"\\'", "'"}, {"\\\"", "\""}, {"\\\\", "\\"}});
}

}  // namespace

std::string MakeFrame(FrameKind kind, absl::string_view payload) {
  std::string frame;
  frame.reserve(kFrameHeaderBytes + payload.size());
  Put<uint32_t>(&frame, kMark);
  Put<uint32_t>(&frame, static_cast<uint32_t>(kind));
  Put<uint32_t>(&frame, static_cast<uint32_t>(payload.size()));
  Put<uint32_t>(&frame, Crc32c(payload));
  absl::StrAppend(&frame, payload);
  return frame;
}

absl::StatusOr<std::optional<Frame>> FirstFrame(absl::string_view bytes) {
  uint32_t mark, kind, size, crc;
  Fields fields(bytes);
  if (!fields.Get(&mark)) return std::nullopt;
  if (mark != kMark) return NoAnswer("a frame does not begin with its mark");
  if (!fields.Get(&kind) || !fields.Get(&size) || !fields.Get(&crc)) {
    return std::nullopt;
  }
  if (kind < static_cast<uint32_t>(FrameKind::kRequest) ||
      kind > static_cast<uint32_t>(FrameKind::kError)) {
    return NoAnswer(absl::StrCat("a frame is of the kind ", kind));
  }
  if (size > kMaxFrameBytes) {
    return NoAnswer(absl::StrCat("a frame has ", size, " bytes, at most ",
                                 kMaxFrameBytes, " are allowed"));
  }
  if (bytes.size() - kFrameHeaderBytes < size) return std::nullopt;
  const absl::string_view payload = bytes.substr(kFrameHeaderBytes, size);
  if (Crc32c(payload) != crc) {
    return NoAnswer("the checksum of a frame is wrong");
  }
  return Frame{static_cast<FrameKind>(kind), payload};
}

std::string EncodeDataset(const DatasetFrame& dataset) {
  std::string payload;
  PutText(&payload, dataset.name);
  PutText(&payload, dataset.type);
  Put<uint8_t>(&payload, dataset.dtype.has_value()
                             ? static_cast<uint8_t>(*dataset.dtype)
                             : kNoDType);
  Put<uint8_t>(&payload, static_cast<uint8_t>(dataset.shape.size()));
  for (const int64_t extent : dataset.shape) Put<int64_t>(&payload, extent);
  return payload;
}

absl::StatusOr<DatasetFrame> DecodeDataset(absl::string_view payload) {
  DatasetFrame dataset;
  Fields fields(payload);
  if (!fields.GetText(kMaxHdf5NameBytes, &dataset.name) ||
      !fields.GetText(kMaxHdf5NameBytes, &dataset.type) ||
      !GetDType(&fields, &dataset.dtype) ||
      !GetShape(&fields, &dataset.shape) || !fields.done()) {
    return NoAnswer("what should name a dataset does not");
  }
  return dataset;
}

std::string EncodeRequest(const RequestFrame& request) {
  std::string frames;
  std::string payload;
  for (const RowsFrame& rows : request.rows) {
    payload.clear();
    PutText(&payload, rows.name);
    Put<int64_t>(&payload, rows.begin);
    Put<int64_t>(&payload, rows.count);
    frames += MakeFrame(FrameKind::kRequest, payload);
  }
  payload.clear();
  PutText(&payload, "");
  Put<int64_t>(&payload, kNoName);
  Put<uint8_t>(&payload, request.texts);
  Put<uint8_t>(&payload, request.tensors);
  Put<int64_t>(&payload, request.max_bytes);
  Put<int64_t>(&payload, request.max_datasets);
  frames += MakeFrame(FrameKind::kRequest, payload);
  return frames;
}

absl::StatusOr<RequestFrame> DecodeRequest(absl::string_view frames) {
  RequestFrame request;
  bool last = false;
  while (!frames.empty()) {
    SEPTET_ASSIGN_OR_RETURN(const std::optional<Frame> frame,
                            FirstFrame(frames));
    if (!frame.has_value() || frame->kind != FrameKind::kRequest || last) {
      return absl::DataLossError("the request is garbage");
    }
    Fields fields(frame->payload);
    RowsFrame rows;
    bool good =
        fields.GetText(kMaxFrameBytes, &rows.name) && fields.Get(&rows.begin);
    if (good && rows.begin == kNoName) {
      uint8_t texts = 0, tensors = 0;
      good = fields.Get(&texts) && fields.Get(&tensors) &&
             fields.Get(&request.max_bytes) &&
             fields.Get(&request.max_datasets);
      request.texts = texts != 0;
      request.tensors = tensors != 0;
      last = true;
    } else if (good) {
      good = fields.Get(&rows.count);
      request.rows.push_back(std::move(rows));
    }
    if (!good || !fields.done()) {
      return absl::DataLossError("the request is garbage");
    }
    frames.remove_prefix(kFrameHeaderBytes + frame->payload.size());
  }
  if (!last) return absl::DataLossError("the request has no end");
  return request;
}

std::string EncodeText(absl::string_view name, absl::string_view text) {
  std::string payload;
  PutText(&payload, name);
  PutText(&payload, text);
  return payload;
}

std::string EncodeError(const absl::Status& status) {
  std::string payload;
  Put<uint32_t>(&payload, static_cast<uint32_t>(status.code()));
  PutText(&payload, status.message().substr(0, kMaxHdf5TextBytes));
  return payload;
}

AnswerParser::AnswerParser(int64_t max_bytes, int64_t max_datasets)
    : bytes_left_(max_bytes),
      items_left_(max_datasets),
      text_bytes_left_(kMaxAnswerTextBytes) {}

absl::Status AnswerParser::Feed(absl::string_view bytes) {
  absl::StrAppend(&buffer_, bytes);
  size_t taken = 0;
  while (taken < buffer_.size()) {
    const absl::string_view rest = absl::string_view(buffer_).substr(taken);
    if (complete_) return NoAnswer("it goes on after its end");
    SEPTET_ASSIGN_OR_RETURN(const std::optional<Frame> frame, FirstFrame(rest));
    if (!frame.has_value()) break;
    SEPTET_RETURN_IF_ERROR(Take(*frame));
    taken += kFrameHeaderBytes + frame->payload.size();
  }
  buffer_.erase(0, taken);
  return absl::OkStatus();
}

absl::Status AnswerParser::CountItem(size_t bytes) {
  if (--items_left_ < 0) {
    return NoAnswer("it lists more than was allowed");
  }
  if (bytes > text_bytes_left_) {
    return NoAnswer(absl::StrCat("its names and texts have more than ",
                                 kMaxAnswerTextBytes, " bytes"));
  }
  text_bytes_left_ -= bytes;
  return absl::OkStatus();
}

absl::Status AnswerParser::Take(const Frame& frame) {
  if (tensor_position_ < tensor_bytes_ && frame.kind != FrameKind::kData &&
      frame.kind != FrameKind::kError) {
    return NoAnswer(absl::StrCat("the tensor ", QuoteName(tensor_name_),
                                 " ends after ", tensor_position_, " of ",
                                 tensor_bytes_, " bytes"));
  }
  switch (frame.kind) {
    case FrameKind::kDataset: {
      SEPTET_RETURN_IF_ERROR(CountItem(frame.payload.size()));
      SEPTET_ASSIGN_OR_RETURN(DatasetFrame dataset,
                              DecodeDataset(frame.payload));
      datasets_.push_back(std::move(dataset));
      return absl::OkStatus();
    }
    case FrameKind::kTensor:
      return BeginTensor(frame.payload);
    case FrameKind::kData:
      return TakeData(frame.payload);
    case FrameKind::kText:
      return TakeText(frame.payload);
    case FrameKind::kEnd:
      complete_ = true;
      if (!frame.payload.empty()) return NoAnswer("its end is not empty");
      return absl::OkStatus();
    case FrameKind::kError: {
      Fields fields(frame.payload);
      uint32_t code;
      std::string message;
      if (!fields.Get(&code) || !fields.GetText(kMaxHdf5TextBytes, &message) ||
          !fields.done() || code == 0 ||
          code > static_cast<uint32_t>(absl::StatusCode::kUnauthenticated)) {
        return NoAnswer("what should say an error does not");
      }
      return absl::Status(static_cast<absl::StatusCode>(code),
                          Printable(message));
    }
    case FrameKind::kRequest:
      break;
  }
  return NoAnswer("it has a request in it");
}

absl::Status AnswerParser::BeginTensor(absl::string_view payload) {
  SEPTET_RETURN_IF_ERROR(CountItem(payload.size()));
  SEPTET_ASSIGN_OR_RETURN(const DatasetFrame header, DecodeDataset(payload));
  if (!header.dtype.has_value() || header.shape.size() > kMaxRank) {
    return NoAnswer(absl::StrCat("the tensor ", QuoteName(header.name),
                                 " has a type or shape that no tensor has"));
  }
  const absl::StatusOr<Shape> shape = Shape::Create(header.shape);
  int64_t bytes;
  if (!shape.ok() ||
      __builtin_mul_overflow(shape->num_elements(),
                             static_cast<int64_t>(DTypeSize(*header.dtype)),
                             &bytes) ||
      bytes > bytes_left_) {
    return NoAnswer(absl::StrCat("the tensor ", QuoteName(header.name),
                                 " has more bytes than was allowed"));
  }
  SEPTET_ASSIGN_OR_RETURN(const Tensor tensor,
                          Tensor::Empty(*shape, *header.dtype));
  if (!tensors_.emplace(header.name, tensor).second) {
    return NoAnswer(
        absl::StrCat("the tensor ", QuoteName(header.name), " is there twice"));
  }
  bytes_left_ -= bytes;
  tensor_name_ = header.name;
  tensor_position_ = 0;
  tensor_bytes_ = static_cast<size_t>(bytes);
  return absl::OkStatus();
}

absl::Status AnswerParser::TakeData(absl::string_view payload) {
  if (payload.empty() || payload.size() > tensor_bytes_ - tensor_position_) {
    return NoAnswer("data are not those of a tensor");
  }
  const Tensor& tensor = tensors_.at(tensor_name_);
  if (tensor.dtype() == DType::kBool &&
      std::any_of(payload.begin(), payload.end(),
                  [](char c) { return static_cast<unsigned char>(c) > 1; })) {
    return NoAnswer(absl::StrCat("the tensor ", QuoteName(tensor_name_),
                                 " of bool has other bytes than 0 and 1"));
  }
  std::memcpy(static_cast<char*>(tensor.raw_mutable_data()) + tensor_position_,
              payload.data(), payload.size());
  tensor_position_ += payload.size();
  return absl::OkStatus();
}

absl::Status AnswerParser::TakeText(absl::string_view payload) {
  SEPTET_RETURN_IF_ERROR(CountItem(payload.size()));
  std::string name, text;
  Fields fields(payload);
  if (!fields.GetText(2 * kMaxHdf5NameBytes, &name) ||
      !fields.GetText(kMaxHdf5TextBytes, &text) || !fields.done()) {
    return NoAnswer("what should be a text is none");
  }
  texts_[std::move(name)] = std::move(text);
  return absl::OkStatus();
}

}  // namespace io_internal
}  // namespace septet
