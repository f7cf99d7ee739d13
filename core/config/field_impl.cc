// SPDX-License-Identifier: Apache-2.0
#include "septet/core/config/field_impl.h"

#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "septet/core/base/edit_distance.h"
#include "septet/core/config/options.pb.h"

namespace septet {
namespace config_internal {

using ::google::protobuf::Descriptor;
using ::google::protobuf::EnumDescriptor;
using ::google::protobuf::FieldDescriptor;

std::string ElementTypeName(const FieldDescriptor& field) {
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    return absl::StrJoin(EnumNames(*field.enum_type()), "|");
  }
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) return "options";
  return field.cpp_type_name();
}

std::string TypeName(const FieldDescriptor& field) {
  return absl::StrCat(field.is_repeated() ? "list of " : "",
                      ElementTypeName(field));
}

std::vector<std::string> EnumNames(const EnumDescriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) {
    names.push_back(type.value(i)->name());
  }
  return names;
}

std::vector<std::string> OptionNames(const Descriptor& type) {
  std::vector<std::string> names;
  for (int i = 0; i < type.field_count(); ++i) {
    if (type.field(i)->name() == kSchemaVersionField) continue;
    names.push_back(type.field(i)->name());
  }
  return names;
}

std::string DoubleText(double value) {
  char buffer[32];  // the longest is -2.2250738585072014e-308
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  return std::string(buffer, result.ptr);
}

std::string RangeText(const FieldDescriptor& field) {
  const OptionDoc& bounds = field.options().GetExtension(doc);
  std::string low;
  if (bounds.has_min()) low = DoubleText(bounds.min());
  if (bounds.has_above())
    low = absl::StrCat("above ", DoubleText(bounds.above()));
  std::string high;
  if (bounds.has_max()) high = DoubleText(bounds.max());
  if (bounds.has_below()) {
    high = absl::StrCat("below ", DoubleText(bounds.below()));
  }
  std::string text;
  if (!low.empty() && !high.empty()) {
    text = absl::StrCat(low, " to ", high);
  } else if (!low.empty()) {
    text = bounds.has_above() ? low : absl::StrCat("at least ", low);
  } else if (!high.empty()) {
    text = bounds.has_below() ? high : absl::StrCat("at most ", high);
  }
  if (bounds.has_unit()) {
    absl::StrAppend(&text, text.empty() ? "" : " ", bounds.unit());
  }
  return text;
}

std::string BoundsProblem(const FieldDescriptor& field, double value,
                          absl::string_view text) {
  if (std::isnan(value)) return absl::StrCat("expected a number, got ", text);
  const OptionDoc& bounds = field.options().GetExtension(doc);
  if ((bounds.has_min() && value < bounds.min()) ||
      (bounds.has_max() && value > bounds.max()) ||
      (bounds.has_above() && value <= bounds.above()) ||
      (bounds.has_below() && value >= bounds.below())) {
    return absl::StrCat("expected ", RangeText(field), ", got ", text);
  }
  return "";
}

std::string NearestHint(absl::string_view name,
                        const std::vector<std::string>& names,
                        absl::string_view prefix) {
  std::string hint;
  const std::string nearest = NearestName(name, names);
  if (!nearest.empty()) {
    absl::StrAppend(&hint, "; nearest is \"", prefix, nearest, "\"");
  }
  if (names.empty()) return absl::StrCat(hint, " (there are none)");
  const std::string separator = absl::StrCat(", ", prefix);
  return absl::StrCat(hint, " (there are: ", prefix,
                      absl::StrJoin(names, separator), ")");
}

}  // namespace config_internal
}  // namespace septet
