// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets of PNG and of JPEG do with their input.
#ifndef SEPTET_CORE_IO_IMAGE_FUZZ_TESTUTIL_H_
#define SEPTET_CORE_IO_IMAGE_FUZZ_TESTUTIL_H_

#include "absl/strings/string_view.h"

namespace septet {

// Reads `input` as an image in each way: an error, or an image that, written as
// PNG and read again, is the same.
void FuzzImage(absl::string_view input);

}  // namespace septet

#endif  // SEPTET_CORE_IO_IMAGE_FUZZ_TESTUTIL_H_
