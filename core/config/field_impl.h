// SPDX-License-Identifier: Apache-2.0
// What core/config says about one field of an options message; private to it.
#ifndef SEPTET_CORE_CONFIG_FIELD_IMPL_H_
#define SEPTET_CORE_CONFIG_FIELD_IMPL_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"

namespace septet {
namespace config_internal {

// Name of the field that holds the version of a message's schema.
inline constexpr char kSchemaVersionField[] = "schema_version";

// Options are nested far less; a message inside itself has no end.
inline constexpr int kMaxDepth = 64;

// "int32", "double", "relu|gelu"; of one element where the field is repeated.
std::string ElementTypeName(const google::protobuf::FieldDescriptor& field);

// ElementTypeName, with "list of " where the field is repeated.
std::string TypeName(const google::protobuf::FieldDescriptor& field);

// Names of the values of an enum field, in the order of the .proto.
std::vector<std::string> EnumNames(
    const google::protobuf::EnumDescriptor& type);

// Names of the fields of a message that a user may set.
std::vector<std::string> OptionNames(const google::protobuf::Descriptor& type);

// The shortest text that reads as the same double.
std::string DoubleText(double value);

// The bounds of the field in words, "" without bounds and unit.
std::string RangeText(const google::protobuf::FieldDescriptor& field);

// "" where `value` is a number within the bounds of the field; else what was
// expected and `text`, the value as the user knows it.
std::string BoundsProblem(const google::protobuf::FieldDescriptor& field,
                          double value, absl::string_view text);

// "; nearest is "x" (there are: x, y)", of the parts that exist. `prefix` is
// put in front of each name that is said, and takes no part in what is near.
std::string NearestHint(absl::string_view name,
                        const std::vector<std::string>& names,
                        absl::string_view prefix = "");

}  // namespace config_internal
}  // namespace septet

#endif  // SEPTET_CORE_CONFIG_FIELD_IMPL_H_
