// SPDX-License-Identifier: Apache-2.0
// NumPy's files: one array (.npy), and several by name in a zip archive (.npz).
//
// The format
// (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html):
// "\x93NUMPY"; two bytes for the version, 1.0 to 3.0; the length of the header
// (2 bytes in version 1.0, else 4); the header, the text of a Python dict,
//   {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
// with spaces and a line feed behind; the elements. Nothing follows.
//
//   SEPTET_ASSIGN_OR_RETURN(Tensor images, ReadNpy("celeba.npy"));
//   SEPTET_RETURN_IF_ERROR(WriteNpy("half.npy", images));
//
//   SEPTET_ASSIGN_OR_RETURN(auto arrays, ReadNpz("data.npz"));
//   Tensor x = arrays.at("x");                    // the entry "x.npy"
//   SEPTET_RETURN_IF_ERROR(WriteNpz("out.npz", {{"x", x}}));
//
// Types: f2 f4 f8 i4 i8 u1 u2 b1, little and big endian. Others (i1, i2, u4,
// u8, complex, text, dates, objects, structures) are refused by name, and so
// are more than 8 axes. Not to be written: bf16, which NumPy does not have.
//
// The header is read by a parser of its own for just this text: nothing is run,
// whatever is in it, and objects, which are pickles, are not read.
//
// Cost: files are mapped; an array is a view of the mapping, which is touched
// when it is used. In Fortran order it is a transposed view (see
// Tensor::Contiguous). Copied are big endian arrays and those that are
// misaligned or compressed. b1 is read once, to see that bytes are 0 or 1; so
// is what is in an archive, for its checksum.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_IO_NPY_H_
#define SEPTET_CORE_IO_NPY_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

// The array in the file at `path`, which may not be written to where it is a
// view. Errors, which begin with the path: NotFound and the other codes of
// core/base/file.h if the file cannot be read; DataLoss if it is damaged or no
// such file; Unimplemented for a type, a version or a number of axes that is
// not supported; ResourceExhausted without memory for a copy.
absl::StatusOr<Tensor> ReadNpy(absl::string_view path);

// The same of the bytes of a file; `name` stands for the path in messages.
absl::StatusOr<Tensor> ParseNpy(std::string bytes, absl::string_view name);

// Writes `tensor` to `path`: the file is there complete, and on disk, or as it
// was before. The bytes are those that NumPy writes: version 1.0, C order,
// little endian. It need not be contiguous. InvalidArgument for a tensor that
// is undefined or has no storage, Unimplemented for bf16, else the errors of
// AtomicFile (core/base/file.h).
absl::Status WriteNpy(absl::string_view path, const Tensor& tensor);

// The bytes of such a file.
absl::StatusOr<std::string> SerializeNpy(const Tensor& tensor);

struct NpzOptions {
  // What all compressed arrays of a file may take together. A compressed file
  // may stand for 1032 times its own size.
  int64_t max_inflated_bytes = int64_t{4} << 30;
};

// All arrays of the archive at `path`; names are those of the entries without
// ".npy". Errors as those of ReadNpy, with the entry's name, and: DataLoss if
// two arrays have one name, an entry is no array, or a checksum is wrong;
// Unimplemented for an entry that is encrypted or compressed by another method
// than deflate; ResourceExhausted beyond the limit.
absl::StatusOr<std::map<std::string, Tensor>> ReadNpz(
    absl::string_view path, const NpzOptions& options = {});

// The same of the bytes of a file; `name` stands for the path in messages.
absl::StatusOr<std::map<std::string, Tensor>> ParseNpz(
    std::string bytes, absl::string_view name, const NpzOptions& options = {});

struct NpzWriteOptions {
  // Compressed, as by numpy.savez_compressed. Takes memory for the compressed
  // bytes of one array.
  bool deflate = false;
};

// Writes an archive; see WriteNpy. The same tensors give the same bytes.
// Elements that are not compressed begin at multiples of 64 bytes, so that they
// can be mapped. InvalidArgument, too, for a name that is empty or longer than
// 65531 bytes, Unimplemented for bf16, naming the tensor.
absl::Status WriteNpz(absl::string_view path,
                      const std::map<std::string, Tensor>& tensors,
                      const NpzWriteOptions& options = {});

// The bytes of such a file.
absl::StatusOr<std::string> SerializeNpz(
    const std::map<std::string, Tensor>& tensors,
    const NpzWriteOptions& options = {});

}  // namespace septet

#endif  // SEPTET_CORE_IO_NPY_H_
