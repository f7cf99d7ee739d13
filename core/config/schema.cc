// SPDX-License-Identifier: Apache-2.0
#include "septet/core/config/schema.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "septet/core/base/check.h"
#include "septet/core/config/field_impl.h"
#include "septet/core/config/options.pb.h"

namespace septet {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::FileDescriptor;

namespace {

// Bounds of integers are compared as doubles, which is exact below this.
constexpr double kExactIntegers = 9007199254740992.0;  // 2^53

bool IsInteger(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return true;
    default:
      return false;
  }
}

double DefaultNumber(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return field.default_value_int32();
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<double>(field.default_value_int64());
    case FieldDescriptor::CPPTYPE_UINT32:
      return field.default_value_uint32();
    case FieldDescriptor::CPPTYPE_UINT64:
      return static_cast<double>(field.default_value_uint64());
    default:
      return field.default_value_double();
  }
}

std::string DefaultText(const FieldDescriptor& field) {
  if (field.is_repeated()) return "[]";
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(field.default_value_int32());
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(field.default_value_int64());
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(field.default_value_uint32());
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(field.default_value_uint64());
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return config_internal::DoubleText(field.default_value_double());
    case FieldDescriptor::CPPTYPE_FLOAT:
      return config_internal::DoubleText(field.default_value_float());
    case FieldDescriptor::CPPTYPE_BOOL:
      return field.default_value_bool() ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return field.default_value_enum()->name();
    case FieldDescriptor::CPPTYPE_STRING:
      return field.default_value_string().empty()
                 ? "\"\""
                 : field.default_value_string();
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  return "";
}

void CheckBoundsAndDefault(const FieldDescriptor& field,
                           std::vector<std::string>* problems) {
  const OptionDoc& bounds = field.options().GetExtension(doc);
  const bool is_integer = IsInteger(field);
  const bool is_number =
      is_integer || field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE;
  auto add = [&](absl::string_view problem) {
    problems->push_back(absl::StrCat(field.full_name(), ": ", problem));
  };
  if (!is_number) {
    if (bounds.has_min() || bounds.has_max() || bounds.has_above() ||
        bounds.has_below() || bounds.has_unit()) {
      add("bounds and units are for numbers");
    }
    return;
  }
  if (bounds.has_min() && bounds.has_above()) add("both min and above");
  if (bounds.has_max() && bounds.has_below()) add("both max and below");
  auto check_bound = [&](bool has, double bound, absl::string_view name) {
    if (!has) return;
    if (std::isnan(bound)) add(absl::StrCat(name, " is not a number"));
    if (is_integer &&
        !(std::abs(bound) < kExactIntegers && bound == std::floor(bound))) {
      add(absl::StrCat(name, " of an integer must be an integer below 2^53"));
    }
  };
  check_bound(bounds.has_min(), bounds.min(), "min");
  check_bound(bounds.has_max(), bounds.max(), "max");
  check_bound(bounds.has_above(), bounds.above(), "above");
  check_bound(bounds.has_below(), bounds.below(), "below");
  if (!field.is_repeated()) {
    const std::string problem = config_internal::BoundsProblem(
        field, DefaultNumber(field), DefaultText(field));
    if (!problem.empty()) add(absl::StrCat("default: ", problem));
  }
}

void CheckType(const Descriptor& type, std::set<const Descriptor*>* above,
               std::set<const Descriptor*>* done,
               std::vector<std::string>* problems) {
  if (above->count(&type) != 0) {
    problems->push_back(absl::StrCat(type.full_name(), ": is inside itself"));
    return;
  }
  if (!done->insert(&type).second) return;
  above->insert(&type);
  if (type.file()->syntax() != FileDescriptor::SYNTAX_PROTO2) {
    problems->push_back(absl::StrCat(type.full_name(), ": is not proto2"));
  }
  if (type.extension_range_count() > 0) {
    problems->push_back(absl::StrCat(type.full_name(), ": has extensions"));
  }
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    auto add = [&](absl::string_view problem) {
      problems->push_back(absl::StrCat(field.full_name(), ": ", problem));
    };
    if (field.is_required()) add("is required, want optional");
    if (field.name() == config_internal::kSchemaVersionField) {
      if (field.type() != FieldDescriptor::TYPE_INT32 || field.is_repeated() ||
          field.default_value_int32() < 1) {
        add("want optional int32 with a default of at least 1");
      }
      continue;
    }
    switch (field.type()) {
      case FieldDescriptor::TYPE_MESSAGE:
        if (field.is_map()) {
          add("is a map");
        } else {
          if (field.options().HasExtension(doc)) {
            add("(septet.doc) is for fields that are not messages");
          }
          CheckType(*field.message_type(), above, done, problems);
        }
        continue;
      case FieldDescriptor::TYPE_INT32:
      case FieldDescriptor::TYPE_INT64:
      case FieldDescriptor::TYPE_UINT32:
      case FieldDescriptor::TYPE_UINT64:
      case FieldDescriptor::TYPE_DOUBLE:
      case FieldDescriptor::TYPE_BOOL:
      case FieldDescriptor::TYPE_STRING:
      case FieldDescriptor::TYPE_ENUM:
        break;
      case FieldDescriptor::TYPE_FLOAT:
        add("is a float, want double");
        continue;
      default:
        add(absl::StrCat("has type ", field.type_name(),
                         ", want one of int32, int64, uint32, uint64, double, "
                         "bool, string, enum, message"));
        continue;
    }
    if (field.options().GetExtension(doc).help().empty()) {
      add("has no (septet.doc).help");
    }
    CheckBoundsAndDefault(field, problems);
  }
  above->erase(&type);
}

void AddOptions(const Descriptor& type, const std::string& prefix, int depth,
                std::vector<OptionInfo>* options) {
  SEPTET_CHECK_LT(depth, config_internal::kMaxDepth) << type.full_name();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (field.name() == config_internal::kSchemaVersionField) continue;
    const std::string name = absl::StrCat(prefix, field.name());
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      AddOptions(*field.message_type(),
                 absl::StrCat(name, field.is_repeated() ? ".<i>." : "."),
                 depth + 1, options);
      continue;
    }
    OptionInfo info;
    info.name = name;
    info.type = config_internal::TypeName(field);
    info.default_value = DefaultText(field);
    info.range = config_internal::RangeText(field);
    info.help = field.options().GetExtension(doc).help();
    options->push_back(std::move(info));
  }
}

}  // namespace

absl::Status CheckOptionsSchema(const Descriptor* type) {
  std::vector<std::string> problems;
  std::set<const Descriptor*> above, done;
  CheckType(*type, &above, &done, &problems);
  if (problems.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrJoin(problems, "\n"));
}

std::vector<OptionInfo> ListOptions(const Descriptor* type) {
  std::vector<OptionInfo> options;
  AddOptions(*type, "", 0, &options);
  return options;
}

std::string OptionTable(const std::vector<OptionInfo>& options,
                        absl::string_view indent) {
  if (options.empty()) return "";
  std::vector<std::vector<std::string>> rows = {
      {"name", "type", "default", "range", "help"}};
  for (const OptionInfo& option : options) {
    rows.push_back({option.name, option.type, option.default_value,
                    option.range, option.help});
  }
  // A cell wider than this shifts its own line only.
  constexpr size_t kMaxWidth = 32;
  std::vector<size_t> widths(rows[0].size(), 0);
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      if (row[i].size() <= kMaxWidth) {
        widths[i] = std::max(widths[i], row[i].size());
      }
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line(indent);
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      const size_t pad =
          row[i].size() < widths[i] ? widths[i] - row[i].size() : 0;
      line += std::string(pad + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    absl::StrAppend(&text, line, "\n");
  }
  return text;
}

std::string HelpText(const Descriptor* type) {
  return OptionTable(ListOptions(type), "  ");
}

}  // namespace septet
