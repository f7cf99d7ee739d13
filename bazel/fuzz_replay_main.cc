// SPDX-License-Identifier: Apache-2.0
// Gives each file named on the command line to a fuzz target: what
// septet_fuzz_test runs as an ordinary test, without libFuzzer and with any
// compiler. A crash or a sanitizer's report fails it; so does a missing file.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "no corpus file given\n");
    return 1;
  }
  // libFuzzer begins with the empty input too.
  LLVMFuzzerTestOneInput(nullptr, 0);
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "cannot read %s\n", argv[i]);
      return 1;
    }
    // Printed first, so that the last line names the input of a crash.
    std::printf("%s\n", argv[i]);
    std::fflush(stdout);
    const std::vector<char> text((std::istreambuf_iterator<char>(file)),
                                 std::istreambuf_iterator<char>());
    // A copy of exactly this size lets a sanitizer see a read past its end.
    const std::vector<uint8_t> input(text.begin(), text.end());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  std::printf("%d corpus files\n", argc - 1);
  return 0;
}
