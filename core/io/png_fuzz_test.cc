// SPDX-License-Identifier: Apache-2.0
// Any bytes as a PNG file; see image_fuzz_testutil.h.
#include <cstddef>
#include <cstdint>

#include "septet/core/io/image_fuzz_testutil.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  septet::FuzzImage({reinterpret_cast<const char*>(data), size});
  return 0;
}
