// SPDX-License-Identifier: Apache-2.0
// Prints how many datasets the HDF5 file named has, or the error. A test copies
// it to places where the program hdf5_reader is, and is not.
#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "septet/core/io/hdf5.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const absl::StatusOr<std::vector<septet::Hdf5Dataset>> datasets =
      septet::ListHdf5(argv[1]);
  if (!datasets.ok()) {
    std::fprintf(stderr, "%s\n", datasets.status().ToString().c_str());
    return 1;
  }
  std::printf("%d datasets\n", static_cast<int>(datasets->size()));
  return 0;
}
