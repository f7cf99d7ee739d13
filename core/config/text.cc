// SPDX-License-Identifier: Apache-2.0
#include "septet/core/config/text.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/text_format.h"
#include "septet/core/base/check.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/field_impl.h"
#include "septet/core/config/setter.h"

namespace septet {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::Reflection;
using ::google::protobuf::TextFormat;

namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 20;

void Fill(Message* message, int depth) {
  const Descriptor& type = *message->GetDescriptor();
  SEPTET_CHECK_LT(depth, config_internal::kMaxDepth) << type.full_name();
  const Reflection& reflection = *message->GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor* field = type.field(i);
    const bool is_message =
        field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (field->is_repeated()) {
      if (!is_message) continue;
      for (int j = 0; j < reflection.FieldSize(*message, field); ++j) {
        Fill(reflection.MutableRepeatedMessage(message, field, j), depth + 1);
      }
      continue;
    }
    const bool has = reflection.HasField(*message, field);
    if (!has && field->containing_oneof() != nullptr) continue;
    if (is_message) {
      Fill(reflection.MutableMessage(message, field), depth + 1);
      continue;
    }
    if (has) continue;
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        reflection.SetInt32(message, field, field->default_value_int32());
        break;
      case FieldDescriptor::CPPTYPE_INT64:
        reflection.SetInt64(message, field, field->default_value_int64());
        break;
      case FieldDescriptor::CPPTYPE_UINT32:
        reflection.SetUInt32(message, field, field->default_value_uint32());
        break;
      case FieldDescriptor::CPPTYPE_UINT64:
        reflection.SetUInt64(message, field, field->default_value_uint64());
        break;
      case FieldDescriptor::CPPTYPE_DOUBLE:
        reflection.SetDouble(message, field, field->default_value_double());
        break;
      case FieldDescriptor::CPPTYPE_FLOAT:
        reflection.SetFloat(message, field, field->default_value_float());
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        reflection.SetBool(message, field, field->default_value_bool());
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        reflection.SetEnum(message, field, field->default_value_enum());
        break;
      case FieldDescriptor::CPPTYPE_STRING:
        reflection.SetString(message, field, field->default_value_string());
        break;
      case FieldDescriptor::CPPTYPE_MESSAGE:
        break;
    }
  }
}

// The type itself and those of all messages in it.
void CollectTypes(const Descriptor* type,
                  std::vector<const Descriptor*>* types) {
  if (std::count(types->begin(), types->end(), type) != 0) return;
  types->push_back(type);
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->message_type() != nullptr) {
      CollectTypes(type->field(i)->message_type(), types);
    }
  }
}

// Collects the parser's complaints, and adds the nearest names to those about
// unknown ones. The parser gives no structure, so its wording is taken apart;
// a complaint in another wording is passed on as it is.
class Complaints : public google::protobuf::io::ErrorCollector {
 public:
  Complaints(absl::string_view name, const Descriptor* type) : name_(name) {
    CollectTypes(type, &types_);
  }

  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    lines_.push_back(absl::StrCat(Place(line, column), WithNearest(message)));
  }
  // Unknown fields are only warned about; see ParseOptions.
  void AddWarning(int line, google::protobuf::io::ColumnNumber column,
                  const std::string& message) override {
    AddError(line, column, message);
  }

  const std::vector<std::string>& lines() const { return lines_; }

 private:
  // Both count from 0; -1 is the whole text.
  std::string Place(int line, int column) const {
    if (line < 0) return absl::StrCat(name_, ": ");
    return absl::StrCat(name_, ":", line + 1, ":", column + 1, ": ");
  }

  std::string WithNearest(const std::string& message) const {
    const std::vector<std::string> quoted = absl::StrSplit(message, '"');
    if (quoted.size() < 4) return message;
    if (absl::StrContains(message, " has no field named ")) {
      for (const Descriptor* type : types_) {
        if (type->full_name() != quoted[1]) continue;
        return absl::StrCat(
            "no option \"", quoted[3], "\" in ", quoted[1],
            config_internal::NearestHint(quoted[3],
                                         config_internal::OptionNames(*type)));
      }
    }
    if (absl::StartsWith(message, "Unknown enumeration value of ")) {
      for (const Descriptor* type : types_) {
        const FieldDescriptor* field = type->FindFieldByName(quoted[3]);
        if (field == nullptr || field->enum_type() == nullptr) continue;
        return absl::StrCat(
            quoted[3], ": no value \"", quoted[1], "\"",
            config_internal::NearestHint(
                quoted[1], config_internal::EnumNames(*field->enum_type())));
      }
    }
    return message;
  }

  const std::string name_;
  std::vector<const Descriptor*> types_;
  std::vector<std::string> lines_;
};

}  // namespace

void FillDefaults(Message* options) { Fill(options, 0); }

std::string PrintOptions(const Message& options) {
  TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  std::string text;
  SEPTET_CHECK(printer.PrintToString(options, &text));
  return text;
}

absl::Status ParseOptions(absl::string_view text, absl::string_view name,
                          Message* options) {
  std::unique_ptr<Message> parsed(options->New());
  Complaints complaints(name, options->GetDescriptor());
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&complaints);
  // Goes on behind an unknown name, so that all are found, and that the schema
  // version is known where they come from another version.
  parser.AllowUnknownField(true);
  parser.SetRecursionLimit(config_internal::kMaxDepth);
  const bool complete = parser.ParseFromString(std::string(text), parsed.get());
  const absl::Status valid = AnnotateStatus(ValidateOptions(*parsed), name);
  if (valid.code() == absl::StatusCode::kFailedPrecondition) return valid;
  if (!complete || !complaints.lines().empty()) {
    return absl::InvalidArgumentError(
        complaints.lines().empty()
            ? absl::StrCat(name, ": not protobuf text format")
            : absl::StrJoin(complaints.lines(), "\n"));
  }
  SEPTET_RETURN_IF_ERROR(valid);
  options->GetReflection()->Swap(options, parsed.get());
  return absl::OkStatus();
}

absl::Status ReadOptionsFile(const std::string& path, Message* options) {
  SEPTET_ASSIGN_OR_RETURN(const std::string text, ReadFileToString(path));
  if (text.size() > kMaxFileBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is larger than the ", kMaxFileBytes,
                     " bytes that an options file may have"));
  }
  return ParseOptions(text, path, options);
}

}  // namespace septet
