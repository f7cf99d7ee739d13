// SPDX-License-Identifier: Apache-2.0
// Any bytes as the answer of the program hdf5_reader: as they are, and cut into
// frames whose checksums are right, which no search would find.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/check.h"
#include "septet/core/io/hdf5_protocol_impl.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace io_internal {
namespace {

constexpr int64_t kMaxBytes = 1 << 16;
constexpr int64_t kMaxItems = 100;

void Feed(absl::string_view answer, size_t step) {
  AnswerParser parser(kMaxBytes, kMaxItems);
  while (!answer.empty()) {
    const absl::string_view piece = answer.substr(0, step);
    if (!parser.Feed(piece).ok()) break;
    answer.remove_prefix(piece.size());
  }
  int64_t bytes = 0;
  for (const auto& [name, tensor] : parser.tensors()) {
    bytes +=
        tensor.num_elements() * static_cast<int64_t>(DTypeSize(tensor.dtype()));
  }
  SEPTET_CHECK(bytes <= kMaxBytes) << bytes;
  SEPTET_CHECK(static_cast<int64_t>(parser.datasets().size() +
                                    parser.texts().size() +
                                    parser.tensors().size()) <= kMaxItems);
}

void Fuzz(absl::string_view input) {
  Feed(input, input.size());
  const absl::StatusOr<RequestFrame> request = DecodeRequest(input);
  SEPTET_CHECK(request.ok() ||
               request.status().code() == absl::StatusCode::kDataLoss);
  // Kind, length, payload; and so on.
  std::string frames;
  absl::string_view rest = input;
  while (rest.size() >= 2) {
    const auto kind =
        static_cast<FrameKind>(1 + static_cast<unsigned char>(rest[0]) % 7);
    const size_t size = static_cast<unsigned char>(rest[1]);
    frames += MakeFrame(kind, rest.substr(2, size));
    rest.remove_prefix(std::min(rest.size(), 2 + size));
  }
  Feed(frames, frames.size());
  Feed(frames, 5);
}

}  // namespace
}  // namespace io_internal
}  // namespace septet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::io_internal::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
