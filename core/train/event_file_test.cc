// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/event_file.h"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/crc32c.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/train/event.pb.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Header of a PNG file of 3 x 2 pixels.
std::string Png(char colour_type) {
  std::string png("\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\3\0\0\0\2\10", 25);
  png += colour_type;
  return png + std::string("\0\0\0crc.", 7);
}

TEST(EventFileTest, TheBytesAreTensorFlows) {
  // As tensorboard 2.21 writes these two events, with RecordWriter of
  // tensorboard.summary.writer and the messages of tensorboard.compat.proto.
  EXPECT_EQ(absl::BytesToHexString(EventRecord(VersionEvent(1.5))),
            "1800000000000000a37f4b22"
            "09000000000000f83f1a0d627261696e2e4576656e743a32"
            "2a28646c");
  EXPECT_EQ(absl::BytesToHexString(
                EventRecord(ScalarsEvent(2.0, 300, {{"loss", 0.5}}))),
            "1b000000000000001a0d9e13"
            "09000000000000004010ac022a0d0a0b0a046c6f7373150000003f"
            "dfc52b60");
}

TEST(EventFileTest, ComesBackAsItWas) {
  std::string bytes = EventRecord(VersionEvent(1));
  bytes += EventRecord(ScalarsEvent(
      2, 7, {{"a", 0.25}, {"b", std::numeric_limits<double>::quiet_NaN()}}));
  bytes += EventRecord(TextEvent(3, 8, "notes", "*hello*"));
  SEPTET_ASSERT_OK_AND_ASSIGN(const events::Event image,
                              ImageEvent(4, 9, "picture", Png(2)));
  bytes += EventRecord(image);
  const std::string path = ::testing::TempDir() + "/events";
  SEPTET_ASSERT_OK(WriteFileAtomically(path, bytes));
  SEPTET_ASSERT_OK_AND_ASSIGN(const EventFileContent content, ReadEvents(path));
  ASSERT_EQ(content.events.size(), 4);
  EXPECT_EQ(content.ends.back(), bytes.size());
  EXPECT_EQ(content.torn_bytes, 0);
  EXPECT_EQ(content.events[0].file_version(), "brain.Event:2");
  const events::Event& scalars = content.events[1];
  EXPECT_EQ(scalars.wall_time(), 2);
  EXPECT_EQ(scalars.step(), 7);
  ASSERT_EQ(scalars.summary().value_size(), 2);
  EXPECT_EQ(scalars.summary().value(0).tag(), "a");
  EXPECT_EQ(scalars.summary().value(0).simple_value(), 0.25f);
  const float nan = scalars.summary().value(1).simple_value();
  EXPECT_NE(nan, nan);
  const events::Summary::Value& text = content.events[2].summary().value(0);
  EXPECT_EQ(text.metadata().plugin_data().plugin_name(), "text");
  EXPECT_EQ(text.tensor().string_val(0), "*hello*");
  EXPECT_TRUE(text.tensor().has_tensor_shape());
  EXPECT_EQ(text.tensor().tensor_shape().dim_size(), 0);
  const events::Summary::Image& picture =
      content.events[3].summary().value(0).image();
  EXPECT_EQ(picture.width(), 3);
  EXPECT_EQ(picture.height(), 2);
  EXPECT_EQ(picture.colorspace(), 3);
  EXPECT_EQ(picture.encoded_image_string(), Png(2));
}

TEST(EventFileTest, AnEndThatIsMissingIsTorn) {
  const std::string first = EventRecord(VersionEvent(1));
  const std::string bytes =
      first + EventRecord(ScalarsEvent(2, 7, {{"a", 0.25}}));
  for (size_t size = 0; size < bytes.size(); ++size) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const EventFileContent content,
                                ParseEvents(bytes.substr(0, size), "file"));
    const size_t whole = size >= first.size() ? first.size() : 0;
    EXPECT_EQ(content.torn_bytes, size - whole) << size;
    EXPECT_EQ(content.events.size(), whole == 0 ? 0 : 1) << size;
  }
}

TEST(EventFileTest, EveryChangedByteIsSeen) {
  const std::string first = EventRecord(VersionEvent(1));
  const std::string good =
      first + EventRecord(ScalarsEvent(2, 7, {{"a", 0.25}}));
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bytes = good;
    bytes[i] ^= 0x10;
    EXPECT_THAT(
        ParseEvents(bytes, "file").status(),
        StatusIs(
            absl::StatusCode::kDataLoss,
            AllOf(HasSubstr(absl::StrCat("file: record at byte ",
                                         i < first.size() ? 0 : first.size())),
                  HasSubstr("expected"))))
        << i;
  }
}

TEST(EventFileTest, WhatStandsBeforeDamageCanBeHad) {
  const std::string first = EventRecord(VersionEvent(1));
  std::string bytes = first + first + first;
  bytes[first.size() + 20] ^= 1;
  EventFileContent content;
  EXPECT_THAT(ParseEvents(bytes, "file", &content),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("file")));
  EXPECT_EQ(content.events.size(), 1);
  EXPECT_EQ(content.ends, std::vector<size_t>{first.size()});
}

TEST(EventFileTest, ALyingLengthTakesNoMemory) {
  // 2^63 bytes, with the right checksum.
  const std::string bytes = EventRecord(VersionEvent(1));
  std::string lying(7, '\0');
  lying += '\x80';
  const auto append_checksum = [](std::string* text, absl::string_view data) {
    const uint32_t crc = MaskCrc32c(Crc32c(data));
    for (int i = 0; i < 4; ++i) {
      text->push_back(static_cast<char>(crc >> (8 * i) & 0xff));
    }
  };
  append_checksum(&lying, std::string(lying));
  SEPTET_ASSERT_OK_AND_ASSIGN(const EventFileContent content,
                              ParseEvents(bytes + lying + "data", "file"));
  EXPECT_EQ(content.events.size(), 1);
  EXPECT_EQ(content.torn_bytes, lying.size() + 4);
  // Data with a right checksum that is no message.
  std::string record("\1\0\0\0\0\0\0\0", 8);
  append_checksum(&record, std::string(record));
  record += '\xff';
  append_checksum(&record, "\xff");
  EXPECT_THAT(ParseEvents(record, "file").status(),
              StatusIs(absl::StatusCode::kDataLoss,
                       HasSubstr("file: record at byte 0: its 1 bytes are no "
                                 "event")));
}

TEST(EventFileTest, PicturesAreLookedAt) {
  for (const auto& [type, channels] :
       {std::pair<char, int>{0, 1}, {2, 3}, {3, 3}, {4, 2}, {6, 4}}) {
    SEPTET_ASSERT_OK_AND_ASSIGN(const events::Event event,
                                ImageEvent(0, 0, "p", Png(type)));
    EXPECT_EQ(event.summary().value(0).image().colorspace(), channels);
  }
  const auto invalid = [](const std::string& text) {
    return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text));
  };
  EXPECT_THAT(ImageEvent(0, 0, "p", "").status(),
              invalid("picture 'p': its 0 bytes are not those of a PNG file"));
  std::string png = Png(2);
  png[0] = 'x';
  EXPECT_THAT(ImageEvent(0, 0, "p", png).status(), invalid("PNG file"));
  png = Png(2);
  png[19] = 0;
  EXPECT_THAT(ImageEvent(0, 0, "p", png).status(), invalid("is 0 x 2 pixels"));
  png = Png(2);
  png[20] = '\xff';
  EXPECT_THAT(ImageEvent(0, 0, "p", png).status(), invalid("3 x 4278190082"));
}

}  // namespace
}  // namespace septet
