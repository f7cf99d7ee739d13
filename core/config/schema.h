// SPDX-License-Identifier: Apache-2.0
// What the options of a protobuf message are, and whether the message follows
// the rules of options.proto.
//
//   TEST(ModelOptionsTest, FollowsTheRules) {
//     SEPTET_EXPECT_OK(CheckOptionsSchema(ModelOptions::descriptor()));
//   }
//   std::fputs(HelpText(ModelOptions::descriptor()).c_str(), stdout);
//
// Every test of a package with options has the first of these. Cost: a walk
// over the descriptors.
#ifndef SEPTET_CORE_CONFIG_SCHEMA_H_
#define SEPTET_CORE_CONFIG_SCHEMA_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "google/protobuf/descriptor.h"

namespace septet {

// OK where the message, and each message in it, follows the rules in
// options.proto. Errors: InvalidArgument with a line for each broken rule.
absl::Status CheckOptionsSchema(const google::protobuf::Descriptor* type);

// One option, in words.
struct OptionInfo {
  std::string name;  // "model.layers"; "layers.<i>.width" in a list
  std::string type;  // "int32", "list of double", "relu|gelu"
  std::string
      default_value;  // "4"; "\"\"" for an empty string, "[]" for a list
  std::string range;  // "1 to 96", "above 0", "0 to below 1 s", or ""
  std::string help;
};

// The options of the message and of the messages in it, in the order of the
// .proto, without schema_version.
std::vector<OptionInfo> ListOptions(const google::protobuf::Descriptor* type);

// A table with a line for each option: name, type, default, range, help.
// `indent` is put in front of each line. Empty for no options.
std::string OptionTable(const std::vector<OptionInfo>& options,
                        absl::string_view indent);

// OptionTable of ListOptions, indented by two spaces.
std::string HelpText(const google::protobuf::Descriptor* type);

}  // namespace septet

#endif  // SEPTET_CORE_CONFIG_SCHEMA_H_
