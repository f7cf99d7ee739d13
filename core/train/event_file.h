// SPDX-License-Identifier: Apache-2.0
// TensorBoard's event files: TFRecord framing around tensorflow.Event messages.
//
// A file is a row of records, each
//   u64  length of the data, little endian
//   u32  masked CRC-32C of these 8 bytes
//   data, here a serialised Event
//   u32  masked CRC-32C of the data
// and its first event says the version, "brain.Event:2".
//
//   std::string bytes = EventRecord(VersionEvent(now));
//   bytes += EventRecord(ScalarsEvent(now, step, {{"loss", 2.5}}));
//
//   SEPTET_ASSIGN_OR_RETURN(EventFileContent content,
//                           ParseEvents(bytes, "events.out.tfevents.0"));
//
// Linear in the bytes.
#ifndef SEPTET_CORE_TRAIN_EVENT_FILE_H_
#define SEPTET_CORE_TRAIN_EVENT_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "septet/core/train/event.pb.h"

namespace septet {

// The bytes of one record.
std::string EventRecord(const events::Event& event);

// The first event of a file. wall_time is in seconds since 1970.
events::Event VersionEvent(double wall_time);

// One value for each name, as a float: what TensorBoard draws as curves.
events::Event ScalarsEvent(
    double wall_time, int64_t step,
    absl::Span<const std::pair<std::string, double>> values);

// A text (Markdown).
events::Event TextEvent(double wall_time, int64_t step, absl::string_view name,
                        absl::string_view text);

// A picture. InvalidArgument if `png` does not begin as a PNG file does, with a
// width and a height of at least 1.
absl::StatusOr<events::Event> ImageEvent(double wall_time, int64_t step,
                                         absl::string_view name,
                                         absl::string_view png);

struct EventFileContent {
  std::vector<events::Event> events;
  std::vector<size_t> ends;  // of each event's record, in bytes
  // Bytes of a last record that ends before its time: a writer was killed.
  size_t torn_bytes = 0;
};

// What the bytes of a file hold; `name` stands for the path in messages.
// DataLoss, with the offset, the expected and the actual, for a record whose
// checksums are wrong or whose data is no Event.
absl::StatusOr<EventFileContent> ParseEvents(absl::string_view bytes,
                                             absl::string_view name);

// The same, with what stands before the damage in *content after an error.
absl::Status ParseEvents(absl::string_view bytes, absl::string_view name,
                         EventFileContent* content);

// The same for the file at `path`. Errors: also those of core/base/file.h.
absl::StatusOr<EventFileContent> ReadEvents(absl::string_view path);

}  // namespace septet

#endif  // SEPTET_CORE_TRAIN_EVENT_FILE_H_
