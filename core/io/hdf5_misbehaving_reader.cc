// SPDX-License-Identifier: Apache-2.0
// Stands for the program hdf5_reader in a test and does what that should not:
// the environment variable SEPTET_TEST_READER says what.
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "septet/core/io/hdf5_protocol_impl.h"
#include "septet/core/tensor/dtype.h"

namespace septet {
namespace io_internal {
namespace {

void Write(const std::string& bytes) {
  absl::string_view rest = bytes;
  while (!rest.empty()) {
    const ssize_t count = write(1, rest.data(), rest.size());
    if (count <= 0) _exit(1);
    rest.remove_prefix(static_cast<size_t>(count));
  }
}

std::string Dataset(FrameKind kind, const std::string& name, int64_t rows) {
  return MakeFrame(kind, EncodeDataset({name, "u8", DType::kU8, {rows}}));
}

int Main() {
  const char* const variable = std::getenv("SEPTET_TEST_READER");
  const std::string mode = variable == nullptr ? "" : variable;
  const std::string listed = Dataset(FrameKind::kDataset, "x", 4);
  const std::string end = MakeFrame(FrameKind::kEnd, "");
  if (mode == "crash") {
    Write(listed);
    // No stack is printed, whatever the build.
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
  } else if (mode == "hang") {
    Write(listed);
    while (true) pause();
  } else if (mode == "close and hang") {
    Write(listed);
    close(1);
    while (true) pause();
  } else if (mode == "burn") {
    const rlimit second = {1, 2};
    setrlimit(RLIMIT_CPU, &second);
    signal(SIGXCPU, SIG_DFL);
    for (volatile uint64_t i = 0;; i = i + 1) {
    }
  } else if (mode == "exit") {
    return 3;
  } else if (mode == "text") {
    Write("Segmentation fault (core dumped)\n");
  } else if (mode == "half a frame") {
    Write(listed.substr(0, listed.size() - 1));
  } else if (mode == "wrong checksum") {
    std::string wrong = listed;
    wrong.back() ^= 1;
    Write(wrong);
  } else if (mode == "other tensor") {
    Write(listed + Dataset(FrameKind::kTensor, "y", 0) + end);
  } else if (mode == "other shape") {
    Write(listed + Dataset(FrameKind::kTensor, "x", 3) +
          MakeFrame(FrameKind::kData, "abc") + end);
  } else if (mode == "no tensor") {
    Write(listed + end);
  } else if (mode == "large tensor") {
    Write(listed + Dataset(FrameKind::kTensor, "x", int64_t{1} << 40));
  } else if (mode == "error") {
    // Without reading the request.
    Write(MakeFrame(FrameKind::kError,
                    EncodeError(absl::DataLossError("bad \x01\n things"))));
  } else {
    return 4;
  }
  return 0;
}

}  // namespace
}  // namespace io_internal
}  // namespace septet

int main() { return septet::io_internal::Main(); }
