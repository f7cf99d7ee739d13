// SPDX-License-Identifier: Apache-2.0
// Datasets of an HDF5 file as tensors.
//
//   SEPTET_ASSIGN_OR_RETURN(auto tensors, ReadHdf5("hopper-medium.hdf5"));
//   const Tensor& goal = tensors.at("infos/goal");
//
//   // Rows 1000 to 1255 of a large one.
//   SEPTET_ASSIGN_OR_RETURN(auto rows,
//                           ReadHdf5Rows(path, {{"observations", 1000, 256}}));
//
// Names are paths without the leading slash. What tensors hold:
//   file                        tensor
//   float of 16, 32, 64 bits    f16, f32, f64
//   i32, i64, u8, u16           the same
//   i8, i16; u32                i32; i64
//   enum of FALSE and TRUE      bool (NumPy's bool, as h5py writes it)
// of either byte order, contiguous, compact or chunked, with the filters that
// HDF5 itself has (deflate, shuffle, fletcher32, ...), of up to 8 axes. Others
// (u64, texts, compounds, references, lists of varying length; other filters,
// such as h5py's lzf) are listed by ListHdf5 and refused by name. Only hard
// links are followed; data that lie in another file (external links and
// storage, virtual datasets) are never read.
//
// libhdf5 crashes on damaged files. It is therefore linked into a program of
// its own, //core/io:hdf5_reader, which is started for each call with limits on
// memory and time and sends back what it finds; whatever happens to it is a
// Status here. The program is looked for
//   1. where Hdf5Options::reader says;
//   2. among the runfiles, as septet/core/io/hdf5_reader: `bazel run` and
//      `bazel test` put it there for every target that depends on this library,
//      in this workspace and in those that have it as @septet;
//   3. beside the running program, as hdf5_reader: for programs installed by
//      hand.
//
// Cost: starting the program, some 10 ms; then about half a gigabyte a second,
// less where data are compressed.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_IO_HDF5_H_
#define SEPTET_CORE_IO_HDF5_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct Hdf5Options {
  // Path of the program hdf5_reader; empty: looked for as said above.
  std::string reader;

  // Of the tensors of one call, together. A small file may stand for much.
  int64_t max_bytes = int64_t{16} << 30;

  // Of a file: datasets, and as many texts again.
  int64_t max_datasets = 100'000;

  // Limits of the program: its address space; its time on a processor; and how
  // long it may send nothing, in seconds.
  int64_t reader_memory_bytes = int64_t{4} << 30;
  int64_t reader_cpu_seconds = 3600;
  double reader_idle_seconds = 60;

  // InvalidArgument for limits that are not positive.
  absl::Status Validate() const;
};

struct Hdf5Dataset {
  std::string name;
  std::string type;            // in the file: "f32", "u64", "string", ...
  std::optional<DType> dtype;  // of the tensor; nothing if it cannot be one
  std::vector<int64_t> shape;
};

// Rows begin, begin + 1, ... of a dataset: elements along its first axis.
struct Hdf5Rows {
  std::string name;
  int64_t begin = 0;
  int64_t count = -1;  // all that there are from `begin` on
};

// The errors of all of these, whose messages begin with the path: NotFound and
// the other codes of core/base/file.h if the file cannot be read; DataLoss if
// it is not HDF5 or damaged, the program crashed on it, was stopped by its
// limits of time, or sent what makes no sense; ResourceExhausted beyond
// max_bytes, max_datasets or reader_memory_bytes; FailedPrecondition if the
// program is not there; InvalidArgument for wrong options.

// All datasets, sorted by name; each once, under the first of its names.
absl::StatusOr<std::vector<Hdf5Dataset>> ListHdf5(
    absl::string_view path, const Hdf5Options& options = {});

// All datasets that a tensor can hold; the others are left out. Contiguous
// tensors, which the caller may write.
absl::StatusOr<std::map<std::string, Tensor>> ReadHdf5(
    absl::string_view path, const Hdf5Options& options = {});

// The datasets named, each once, and of them the rows. NotFound, with the
// nearest name, for one that is not there; Unimplemented for one that no tensor
// can hold; InvalidArgument for rows that it does not have.
absl::StatusOr<std::map<std::string, Tensor>> ReadHdf5Rows(
    absl::string_view path, const std::vector<Hdf5Rows>& rows,
    const Hdf5Options& options = {});

// The short texts in a file: datasets of a single text by their name, and
// attributes of a single text or number as "name@attribute", those of the file
// itself as "@attribute". Numbers as the shortest decimals that read the same.
// Texts of more than 64 KiB are left out.
absl::StatusOr<std::map<std::string, std::string>> ReadHdf5Texts(
    absl::string_view path, const Hdf5Options& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_IO_HDF5_H_
