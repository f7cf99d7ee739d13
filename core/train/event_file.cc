// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/event_file.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/base/crc32c.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/train/event.pb.h"

namespace septet {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr size_t kChecksumBytes = 4;
constexpr int kStringType = 7;   // tensorflow::DT_STRING
constexpr int kTensorClass = 2;  // tensorflow::DATA_CLASS_TENSOR

void AppendLittleEndian(uint64_t value, size_t bytes, std::string* out) {
  for (size_t i = 0; i < bytes; ++i) {
    out->push_back(static_cast<char>(value >> (8 * i) & 0xff));
  }
}

uint64_t LittleEndian(absl::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

uint32_t BigEndian32(absl::string_view bytes) {
  uint32_t value = 0;
  for (const char c : bytes.substr(0, 4)) {
    value = value << 8 | static_cast<unsigned char>(c);
  }
  return value;
}

events::Event EventAt(double wall_time, int64_t step) {
  events::Event event;
  event.set_wall_time(wall_time);
  event.set_step(step);
  return event;
}

// OK if the four bytes at the beginning of `stored` are the checksum of `data`.
absl::Status CheckChecksum(absl::string_view name, size_t offset,
                           absl::string_view what, absl::string_view data,
                           absl::string_view stored) {
  const uint32_t want = MaskCrc32c(Crc32c(data));
  const auto got =
      static_cast<uint32_t>(LittleEndian(stored.substr(0, kChecksumBytes)));
  if (want == got) return absl::OkStatus();
  return absl::DataLossError(absl::StrFormat(
      "%s: record at byte %d: checksum of its %s is %08x, expected %08x", name,
      offset, what, got, want));
}

}  // namespace

std::string EventRecord(const events::Event& event) {
  const std::string data = event.SerializeAsString();
  std::string record;
  record.reserve(data.size() + kLengthBytes + 2 * kChecksumBytes);
  AppendLittleEndian(data.size(), kLengthBytes, &record);
  AppendLittleEndian(MaskCrc32c(Crc32c(record)), kChecksumBytes, &record);
  record += data;
  AppendLittleEndian(MaskCrc32c(Crc32c(data)), kChecksumBytes, &record);
  return record;
}

events::Event VersionEvent(double wall_time) {
  events::Event event;
  event.set_wall_time(wall_time);
  event.set_file_version("brain.Event:2");
  return event;
}

events::Event ScalarsEvent(
    double wall_time, int64_t step,
    absl::Span<const std::pair<std::string, double>> values) {
  events::Event event = EventAt(wall_time, step);
  for (const auto& [name, number] : values) {
    events::Summary::Value* value = event.mutable_summary()->add_value();
    value->set_tag(name);
    value->set_simple_value(static_cast<float>(number));
  }
  return event;
}

events::Event TextEvent(double wall_time, int64_t step, absl::string_view name,
                        absl::string_view text) {
  events::Event event = EventAt(wall_time, step);
  events::Summary::Value* value = event.mutable_summary()->add_value();
  value->set_tag(std::string(name));
  value->mutable_metadata()->mutable_plugin_data()->set_plugin_name("text");
  value->mutable_metadata()->set_data_class(kTensorClass);
  events::TensorProto* tensor = value->mutable_tensor();
  tensor->set_dtype(kStringType);
  // A scalar: TensorBoard shows a list as a table.
  tensor->mutable_tensor_shape();
  tensor->add_string_val(std::string(text));
  return event;
}

absl::StatusOr<events::Event> ImageEvent(double wall_time, int64_t step,
                                         absl::string_view name,
                                         absl::string_view png) {
  // The signature and the first chunk: IHDR with width, height, bits and type.
  constexpr absl::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
  if (png.size() < 33 || !absl::StartsWith(png, kSignature) ||
      png.substr(12, 4) != "IHDR") {
    return absl::InvalidArgumentError(
        absl::StrCat("picture '", name, "': its ", png.size(),
                     " bytes are not those of a PNG file"));
  }
  const uint32_t width = BigEndian32(png.substr(16));
  const uint32_t height = BigEndian32(png.substr(20));
  if (width < 1 || height < 1 || width > INT32_MAX || height > INT32_MAX) {
    return absl::InvalidArgumentError(
        absl::StrCat("picture '", name, "': is ", width, " x ", height,
                     " pixels, expected 1 to ", INT32_MAX, " each way"));
  }
  int channels = 3;
  switch (png[25]) {
    case 0:
      channels = 1;
      break;
    case 4:
      channels = 2;
      break;
    case 6:
      channels = 4;
      break;
    default:
      break;
  }
  events::Event event = EventAt(wall_time, step);
  events::Summary::Value* value = event.mutable_summary()->add_value();
  value->set_tag(std::string(name));
  events::Summary::Image* image = value->mutable_image();
  image->set_width(static_cast<int32_t>(width));
  image->set_height(static_cast<int32_t>(height));
  image->set_colorspace(channels);
  image->set_encoded_image_string(std::string(png));
  return event;
}

absl::Status ParseEvents(absl::string_view bytes, absl::string_view name,
                         EventFileContent* content) {
  *content = EventFileContent();
  size_t offset = 0;
  while (offset < bytes.size()) {
    const absl::string_view rest = bytes.substr(offset);
    content->torn_bytes = rest.size();
    if (rest.size() < kLengthBytes + kChecksumBytes) break;
    const absl::string_view length_bytes = rest.substr(0, kLengthBytes);
    SEPTET_RETURN_IF_ERROR(CheckChecksum(name, offset, "length", length_bytes,
                                         rest.substr(kLengthBytes)));
    const uint64_t length = LittleEndian(length_bytes);
    const size_t room = rest.size() - kLengthBytes - kChecksumBytes;
    if (room < kChecksumBytes || length > room - kChecksumBytes) break;
    const absl::string_view data =
        rest.substr(kLengthBytes + kChecksumBytes, length);
    SEPTET_RETURN_IF_ERROR(CheckChecksum(
        name, offset, "data", data,
        rest.substr(kLengthBytes + kChecksumBytes + data.size())));
    events::Event event;
    if (data.size() > INT32_MAX ||
        !event.ParseFromArray(data.data(), static_cast<int>(data.size()))) {
      return absl::DataLossError(absl::StrCat(name, ": record at byte ", offset,
                                              ": its ", data.size(),
                                              " bytes are no event"));
    }
    content->events.push_back(std::move(event));
    offset += kLengthBytes + data.size() + 2 * kChecksumBytes;
    content->ends.push_back(offset);
    content->torn_bytes = 0;
  }
  return absl::OkStatus();
}

absl::StatusOr<EventFileContent> ParseEvents(absl::string_view bytes,
                                             absl::string_view name) {
  EventFileContent content;
  SEPTET_RETURN_IF_ERROR(ParseEvents(bytes, name, &content));
  return content;
}

absl::StatusOr<EventFileContent> ReadEvents(absl::string_view path) {
  SEPTET_ASSIGN_OR_RETURN(const std::string bytes, ReadFileToString(path));
  return ParseEvents(bytes, path);
}

}  // namespace septet
