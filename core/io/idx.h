// SPDX-License-Identifier: Apache-2.0
// One tensor in an IDX file, the format of MNIST and its relatives, plain or
// compressed with gzip.
//
// The format (http://yann.lecun.com/exdb/mnist): two zero bytes; a byte for the
// type (0x08 u8, 0x09 i8, 0x0b i16, 0x0c i32, 0x0d f32, 0x0e f64); a byte for
// the number of axes; an extent of 4 bytes for each axis; the elements,
// row-major. Numbers are big endian. Nothing follows.
//
//   SEPTET_ASSIGN_OR_RETURN(Tensor images,                     // u8 [N, H, W]
//                           ReadIdx("train-images-idx3-ubyte.gz"));
//   SEPTET_RETURN_IF_ERROR(WriteIdx("subset.idx.gz", images));
//
// Types: u8, i32, f32, f64. i8 and i16, which no tensor has, are refused by
// name; so are more than 8 axes.
//
// Whether a file is compressed is seen from its content, not from its name. It
// is decompressed into the tensor's own memory; how large that may be is what
// the header says, and a header that says more than the file can hold is an
// error before anything is allocated.
//
// Stability: core's public API; names and meaning stay, additions come.
#ifndef SEPTET_CORE_IO_IDX_H_
#define SEPTET_CORE_IO_IDX_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "septet/core/tensor/tensor.h"

namespace septet {

struct IdxOptions {
  // Files whose tensor has more bytes are refused. A compressed file may hold
  // 1032 times its own size, so that the size of the file alone says little.
  int64_t max_bytes = int64_t{4} << 30;
};

// The tensor of the file at `path`, contiguous. Errors, which begin with the
// path: NotFound and the other codes of core/base/file.h if the file cannot be
// read; DataLoss if it is damaged (too short, too long, no IDX header, wrong
// checksum); Unimplemented for i8, i16 and more than 8 axes; ResourceExhausted
// beyond options.max_bytes or without memory.
absl::StatusOr<Tensor> ReadIdx(absl::string_view path,
                               const IdxOptions& options = {});

// The same of the bytes of a file.
absl::StatusOr<Tensor> ParseIdx(absl::string_view file,
                                const IdxOptions& options = {});

// Writes `tensor` to `path`, compressed if that ends in ".gz"; the file is
// there complete, and on disk, or as it was before. The same tensor gives the
// same bytes. It need not be contiguous. InvalidArgument for a tensor that is
// undefined, has no storage, no axis or an extent of 2^32 or more;
// Unimplemented, with those there are, for another dtype; else the errors of
// AtomicFile (core/base/file.h).
absl::Status WriteIdx(absl::string_view path, const Tensor& tensor);

// The bytes of such a file, uncompressed.
absl::StatusOr<std::string> SerializeIdx(const Tensor& tensor);

}  // namespace septet

#endif  // SEPTET_CORE_IO_IDX_H_
