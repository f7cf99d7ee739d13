// SPDX-License-Identifier: Apache-2.0
#include "septet/core/config/setter.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/unknown_field_set.h"
#include "septet/core/base/check.h"
#include "septet/core/config/field_impl.h"

namespace septet {

using ::google::protobuf::Descriptor;
using ::google::protobuf::EnumValueDescriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::Reflection;

namespace {

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", text, "\"");
}

template <typename Int>
std::string ParseInteger(absl::string_view text, const FieldDescriptor& field,
                         Int* value) {
  if (absl::SimpleAtoi(text, value)) return "";
  return absl::StrCat("expected ", config_internal::ElementTypeName(field),
                      " from ", std::numeric_limits<Int>::min(), " to ",
                      std::numeric_limits<Int>::max(), ", got ", Quoted(text));
}

// Reads `text` as one value of `field` and puts it into `message`: at the end
// of the list where the field is repeated. Returns what is wrong, or "".
std::string PutValue(absl::string_view text, const FieldDescriptor& field,
                     Message* message) {
  const Reflection& reflection = *message->GetReflection();
  const bool append = field.is_repeated();
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
    text = absl::StripAsciiWhitespace(text);
  }
  std::string problem;
  switch (field.cpp_type()) {
#define SEPTET_PUT_INTEGER_(CPPTYPE, Type, Name)           \
  case FieldDescriptor::CPPTYPE: {                         \
    Type value = 0;                                        \
    problem = ParseInteger(text, field, &value);           \
    if (problem.empty()) {                                 \
      problem = config_internal::BoundsProblem(            \
          field, static_cast<double>(value), text);        \
    }                                                      \
    if (!problem.empty()) return problem;                  \
    append ? reflection.Add##Name(message, &field, value)  \
           : reflection.Set##Name(message, &field, value); \
    return "";                                             \
  }
    SEPTET_PUT_INTEGER_(CPPTYPE_INT32, int32_t, Int32)
    SEPTET_PUT_INTEGER_(CPPTYPE_INT64, int64_t, Int64)
    SEPTET_PUT_INTEGER_(CPPTYPE_UINT32, uint32_t, UInt32)
    SEPTET_PUT_INTEGER_(CPPTYPE_UINT64, uint64_t, UInt64)
#undef SEPTET_PUT_INTEGER_
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double value = 0;
      if (!absl::SimpleAtod(text, &value)) {
        return absl::StrCat("expected double, got ", Quoted(text));
      }
      // SimpleAtod makes infinity of what is too large.
      if (std::isinf(value) &&
          !absl::StrContains(absl::AsciiStrToLower(text), "inf")) {
        return absl::StrCat("expected double of at most 1.8e308, got ",
                            Quoted(text));
      }
      problem = config_internal::BoundsProblem(field, value, text);
      if (!problem.empty()) return problem;
      append ? reflection.AddDouble(message, &field, value)
             : reflection.SetDouble(message, &field, value);
      return "";
    }
    case FieldDescriptor::CPPTYPE_BOOL: {
      const bool value = text == "true" || text == "1";
      if (!value && text != "false" && text != "0") {
        return absl::StrCat("expected true, false, 1 or 0, got ", Quoted(text));
      }
      append ? reflection.AddBool(message, &field, value)
             : reflection.SetBool(message, &field, value);
      return "";
    }
    case FieldDescriptor::CPPTYPE_ENUM: {
      const EnumValueDescriptor* value =
          field.enum_type()->FindValueByName(std::string(text));
      if (value == nullptr) {
        return absl::StrCat(
            "no value ", Quoted(text),
            config_internal::NearestHint(
                text, config_internal::EnumNames(*field.enum_type())));
      }
      append ? reflection.AddEnum(message, &field, value)
             : reflection.SetEnum(message, &field, value);
      return "";
    }
    case FieldDescriptor::CPPTYPE_STRING:
      append ? reflection.AddString(message, &field, std::string(text))
             : reflection.SetString(message, &field, std::string(text));
      return "";
    case FieldDescriptor::CPPTYPE_FLOAT:
    case FieldDescriptor::CPPTYPE_MESSAGE:
      break;
  }
  // CheckOptionsSchema keeps such fields out; messages were answered before.
  SEPTET_CHECK(false) << field.full_name() << " has type " << field.type_name();
  return "";
}

std::string UnknownName(absl::string_view part, absl::string_view parent,
                        const Descriptor& type) {
  return absl::StrCat(
      "no option ", Quoted(part), parent.empty() ? "" : " in ", parent,
      config_internal::NearestHint(part, config_internal::OptionNames(type)));
}

// Does one assignment; returns what is wrong, without the option's name, or "".
std::string Assign(absl::string_view path, absl::string_view value,
                   Message* message) {
  const std::vector<absl::string_view> parts = absl::StrSplit(path, '.');
  std::string parent;  // the path so far
  for (size_t i = 0; i < parts.size(); ++i) {
    const Descriptor& type = *message->GetDescriptor();
    const FieldDescriptor* field = type.FindFieldByName(std::string(parts[i]));
    if (field == nullptr) return UnknownName(parts[i], parent, type);
    if (field->name() == config_internal::kSchemaVersionField) {
      return absl::StrCat(config_internal::kSchemaVersionField,
                          " cannot be set; this program speaks ",
                          field->default_value_int32());
    }
    const bool last = i + 1 == parts.size();
    absl::StrAppend(&parent, parent.empty() ? "" : ".", parts[i]);
    const Reflection& reflection = *message->GetReflection();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (last) {
        return absl::StrCat(
            "is ", field->is_repeated() ? "a list of groups" : "a group",
            " of options; set one of ",
            absl::StrJoin(config_internal::OptionNames(*field->message_type()),
                          ", ", [&](std::string* out, const std::string& name) {
                            absl::StrAppend(
                                out, parent,
                                field->is_repeated() ? ".<i>." : ".", name);
                          }));
      }
      if (!field->is_repeated()) {
        message = reflection.MutableMessage(message, field);
        continue;
      }
      const int size = reflection.FieldSize(*message, field);
      int index = -1;
      ++i;
      if (!absl::SimpleAtoi(parts[i], &index) || index < 0 || index >= size) {
        return absl::StrCat(
            parent, " is a list of ", size, size == 1 ? " group" : " groups",
            " of options: ",
            size == 0 ? "add some in an options file"
                      : absl::StrCat("expected an index from 0 to ", size - 1),
            ", got ", Quoted(parts[i]));
      }
      absl::StrAppend(&parent, ".", parts[i]);
      if (i + 1 == parts.size()) {
        return absl::StrCat(
            "is a group of options; set one of ",
            absl::StrJoin(config_internal::OptionNames(*field->message_type()),
                          ", "));
      }
      message = reflection.MutableRepeatedMessage(message, field, index);
      continue;
    }
    if (!last) {
      return absl::StrCat(parent, " is ", config_internal::TypeName(*field),
                          " and has no options in it");
    }
    if (!field->is_repeated()) return PutValue(value, *field, message);
    reflection.ClearField(message, field);
    if (absl::StripAsciiWhitespace(value).empty()) return "";
    size_t number = 0;
    for (absl::string_view element : absl::StrSplit(value, ',')) {
      const std::string problem = PutValue(element, *field, message);
      if (!problem.empty()) {
        return absl::StrCat("element ", number, ": ", problem);
      }
      ++number;
    }
  }
  return "";
}

struct Problems {
  std::vector<std::string> versions;
  std::vector<std::string> values;
};

std::string Joined(absl::string_view prefix, absl::string_view name) {
  return prefix.empty() ? std::string(name) : absl::StrCat(prefix, ".", name);
}

void Validate(const Message& message, const std::string& prefix,
              Problems* problems) {
  const Reflection& reflection = *message.GetReflection();
  const auto& unknown = reflection.GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    problems->values.push_back(absl::StrCat(
        prefix.empty() ? message.GetDescriptor()->full_name() : prefix,
        ": a field or enum value with number ", unknown.field(i).number(),
        " that this program does not know"));
  }
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string name = Joined(prefix, field->name());
    if (field->name() == config_internal::kSchemaVersionField) {
      const int got = reflection.GetInt32(message, field);
      const int want = field->default_value_int32();
      if (got != want) {
        problems->versions.push_back(
            absl::StrCat(name, ": this program speaks version ", want, " of ",
                         message.GetDescriptor()->full_name(), ", got ", got));
      }
      continue;
    }
    const bool repeated = field->is_repeated();
    const int count = repeated ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const std::string full = repeated ? absl::StrCat(name, ".", i) : name;
      double number = 0;
      std::string text;
      switch (field->cpp_type()) {
#define SEPTET_GET_(CPPTYPE, Name, Text)                                     \
  case FieldDescriptor::CPPTYPE: {                                           \
    const auto value = repeated                                              \
                           ? reflection.GetRepeated##Name(message, field, i) \
                           : reflection.Get##Name(message, field);           \
    number = static_cast<double>(value);                                     \
    text = Text(value);                                                      \
    break;                                                                   \
  }
        SEPTET_GET_(CPPTYPE_INT32, Int32, absl::StrCat)
        SEPTET_GET_(CPPTYPE_INT64, Int64, absl::StrCat)
        SEPTET_GET_(CPPTYPE_UINT32, UInt32, absl::StrCat)
        SEPTET_GET_(CPPTYPE_UINT64, UInt64, absl::StrCat)
        SEPTET_GET_(CPPTYPE_DOUBLE, Double, config_internal::DoubleText)
#undef SEPTET_GET_
        case FieldDescriptor::CPPTYPE_MESSAGE:
          Validate(repeated ? reflection.GetRepeatedMessage(message, field, i)
                            : reflection.GetMessage(message, field),
                   full, problems);
          continue;
        default:
          continue;
      }
      const std::string problem =
          config_internal::BoundsProblem(*field, number, text);
      if (!problem.empty()) {
        problems->values.push_back(absl::StrCat(full, ": ", problem));
      }
    }
  }
}

}  // namespace

absl::Status SetOption(Message* options, absl::string_view assignment) {
  return SetOptions(options, {std::string(assignment)});
}

absl::Status SetOptions(Message* options,
                        const std::vector<std::string>& assignments) {
  std::unique_ptr<Message> copy(options->New());
  copy->CopyFrom(*options);
  std::vector<std::string> problems;
  for (const std::string& assignment : assignments) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0) {
      problems.push_back(
          absl::StrCat("expected name=value, got ", Quoted(assignment)));
      continue;
    }
    const absl::string_view path =
        absl::string_view(assignment).substr(0, equals);
    const std::string problem = Assign(
        path, absl::string_view(assignment).substr(equals + 1), copy.get());
    if (!problem.empty()) problems.push_back(absl::StrCat(path, ": ", problem));
  }
  if (!problems.empty()) {
    return absl::InvalidArgumentError(absl::StrJoin(problems, "\n"));
  }
  options->GetReflection()->Swap(options, copy.get());
  return absl::OkStatus();
}

absl::Status ValidateOptions(const Message& options) {
  Problems problems;
  Validate(options, "", &problems);
  if (!problems.versions.empty()) {
    return absl::FailedPreconditionError(
        absl::StrJoin(problems.versions, "\n"));
  }
  if (!problems.values.empty()) {
    return absl::InvalidArgumentError(absl::StrJoin(problems.values, "\n"));
  }
  return absl::OkStatus();
}

}  // namespace septet
