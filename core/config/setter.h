// SPDX-License-Identifier: Apache-2.0
// Setting options of a protobuf message by name, as `--set` does, and checking
// them against the bounds in the .proto.
//
//   ModelOptions options;
//   SEPTET_RETURN_IF_ERROR(SetOptions(
//       &options, {"layers=6", "attention.kind=cope", "rates=0.1,0.2"}));
//
// A name is a path of fields with dots between; a message in a list is named by
// its index ("layers.0.width"), counted from 0, and must be there already. The
// value is everything behind the first '=':
//   numbers   decimal; a double also as 1e-3, inf;
//   bool      true, false, 1, 0;
//   enum      the name of a value, as in the .proto;
//   string    as it stands, without quotes;
//   list      values with commas between; nothing is the empty list. It
//   replaces
//             the list that was there. A string in a list cannot hold a comma.
// White space around a value is dropped, except in strings.
//
// The values go into a copy, which replaces the message at the end: after an
// error the message is as it was. schema_version cannot be set.
#ifndef SEPTET_CORE_CONFIG_SETTER_H_
#define SEPTET_CORE_CONFIG_SETTER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/message.h"

namespace septet {

// Sets one option: `assignment` is "name=value".
// Errors: InvalidArgument that names the option, what was expected and what was
// got; for an unknown name or enum value the nearest one and all that are
// there.
absl::Status SetOption(google::protobuf::Message* options,
                       absl::string_view assignment);

// Sets several in order; of two for the same option the later holds.
// Errors: as above, a line for each assignment that is wrong.
absl::Status SetOptions(google::protobuf::Message* options,
                        const std::vector<std::string>& assignments);

// OK where every number in the message, and in those inside it, is one and is
// within its bounds, every enum has a known value, no field came from a newer
// program, and every schema_version that is set is the one this program speaks.
// Errors: FailedPrecondition for a schema version (alone, since the other
// complaints follow from it), else InvalidArgument with a line for each value,
// by its full name.
absl::Status ValidateOptions(const google::protobuf::Message& options);

}  // namespace septet

#endif  // SEPTET_CORE_CONFIG_SETTER_H_
