// SPDX-License-Identifier: Apache-2.0
// Options as text: files that a user writes, and the complete record that
// manifests and checkpoints keep.
//
//   ModelOptions options;
//   SEPTET_RETURN_IF_ERROR(ReadOptionsFile("small.textproto", &options));
//   const std::string record = PrintOptions(CompleteOptions(options));
//
// The format is protobuf's text format. A file that a user writes may leave out
// what shall have its default, schema_version included; a record holds every
// field, so that it means the same when a default changes.
#ifndef SEPTET_CORE_CONFIG_TEXT_H_
#define SEPTET_CORE_CONFIG_TEXT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace septet {

// Sets every field that is not set to its default, in this message and in all
// messages in it, which are made where they are missing. Of a oneof no member
// is set that was not; lists stay as they are.
void FillDefaults(google::protobuf::Message* options);

// A copy of `options` with every field set; see FillDefaults.
template <typename Options>
Options CompleteOptions(const Options& options) {
  Options copy(options);
  FillDefaults(&copy);
  return copy;
}

// `options` in text format, a line a field. ParseOptions of it gives an equal
// message, doubles to the last bit.
std::string PrintOptions(const google::protobuf::Message& options);

// Reads text format into `options`, in place of what was there; after an error
// it is as it was. `name` is what messages call the text.
// Errors: FailedPrecondition for another schema version, else InvalidArgument;
// a line "name:line:column: ..." for each problem, unknown names with the
// nearest one; then what ValidateOptions finds.
absl::Status ParseOptions(absl::string_view text, absl::string_view name,
                          google::protobuf::Message* options);

// ParseOptions of the file at `path`, of at most 1 MiB.
// Errors: also those of ReadFileToString in core/base/file.h (NotFound, ...),
// and InvalidArgument for a file that is too large.
absl::Status ReadOptionsFile(const std::string& path,
                             google::protobuf::Message* options);

}  // namespace septet

#endif  // SEPTET_CORE_CONFIG_TEXT_H_
