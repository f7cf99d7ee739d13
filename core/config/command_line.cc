// SPDX-License-Identifier: Apache-2.0
#include "septet/core/config/command_line.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "google/protobuf/descriptor.h"
#include "septet/core/base/check.h"
#include "septet/core/base/file.h"
#include "septet/core/base/signals.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/field_impl.h"
#include "septet/core/config/schema.h"
#include "septet/core/config/setter.h"
#include "septet/core/config/text.h"

namespace septet {

using ::google::protobuf::FieldDescriptor;

namespace {

constexpr char kUsagePayload[] = "septet/usage_error";

std::vector<std::string> FlagNames(const ToolSpec& tool) {
  std::vector<std::string> names;
  if (tool.flags != nullptr) {
    names = config_internal::OptionNames(*tool.flags->GetDescriptor());
  }
  names.push_back("help");
  if (tool.options != nullptr) {
    names.push_back("config");
    names.push_back("set");
  }
  return names;
}

const FieldDescriptor* FindFlag(const ToolSpec& tool, absl::string_view name) {
  if (tool.flags == nullptr) return nullptr;
  return tool.flags->GetDescriptor()->FindFieldByName(std::string(name));
}

// Our own mistakes in the messages of a tool.
void CheckTool(const ToolSpec& tool) {
  for (const auto* message : {tool.flags, tool.options}) {
    if (message == nullptr) continue;
    const absl::Status status = CheckOptionsSchema(message->GetDescriptor());
    SEPTET_CHECK(status.ok()) << status.message();
  }
  if (tool.flags == nullptr) return;
  for (int i = 0; i < tool.flags->GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *tool.flags->GetDescriptor()->field(i);
    SEPTET_CHECK(field.message_type() == nullptr) << field.full_name();
    SEPTET_CHECK(field.name() != "help" && field.name() != "config" &&
                 field.name() != "set")
        << field.full_name();
  }
}

bool IsSingleBool(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_BOOL &&
         !field.is_repeated();
}

// One pass over the words of a command line.
class Parser {
 public:
  Parser(const ToolSpec& tool, const std::vector<std::string>& args)
      : tool_(tool), args_(args) {}

  absl::StatusOr<CommandLine> Parse() {
    CommandLine result;
    for (const std::string& arg : args_) {
      if (arg == "--") break;
      if (arg == "--help") {
        result.help = true;
        return result;
      }
    }
    bool flags_end = false;
    for (next_ = 0; next_ < args_.size();) {
      const std::string& arg = args_[next_++];
      if (flags_end || arg == "-" || !absl::StartsWith(arg, "-")) {
        result.arguments.push_back(arg);
      } else if (arg == "--") {
        flags_end = true;
      } else {
        ParseFlag(arg);
      }
    }
    if (tool_.arguments.empty() && !result.arguments.empty()) {
      AddProblem("takes no arguments, got \"",
                 absl::StrJoin(result.arguments, "\", \""), "\"");
    }
    for (const auto& flag : values_) {
      AddProblems("--", SetOption(tool_.flags,
                                  absl::StrCat(flag.first, "=", flag.second)));
    }
    if (has_config_) {
      const absl::Status status =
          ReadOptionsFile(ResolveUserPath(config_), tool_.options);
      // The code says whether the file is missing or of another version; keep
      // it where there is nothing else to say.
      if (!status.ok() && problems_.empty() && sets_.empty()) {
        return AnnotateStatus(status, "--config");
      }
      AddProblems("--config: ", status);
    }
    if (tool_.options != nullptr) {
      AddProblems("--set ", SetOptions(tool_.options, sets_));
    }
    if (!problems_.empty()) {
      return absl::InvalidArgumentError(absl::StrJoin(problems_, "\n"));
    }
    return result;
  }

 private:
  template <typename... Parts>
  void AddProblem(const Parts&... parts) {
    problems_.push_back(absl::StrCat(parts...));
  }

  // `prefix` goes in front of each line.
  void AddProblems(absl::string_view prefix, const absl::Status& status) {
    if (status.ok()) return;
    problems_.push_back(absl::StrCat(
        prefix, absl::StrReplaceAll(status.message(),
                                    {{"\n", absl::StrCat("\n", prefix)}})));
  }

  void ParseFlag(const std::string& arg) {
    absl::string_view name = arg;
    absl::string_view value;
    const size_t equals = name.find('=');
    const bool has_value = equals != absl::string_view::npos;
    if (has_value) {
      value = name.substr(equals + 1);
      name = name.substr(0, equals);
    }
    if (!absl::StartsWith(name, "--")) {
      AddUnknown(name);
      return;
    }
    const absl::string_view word = name.substr(2);
    const bool is_config = word == "config" && tool_.options != nullptr;
    const bool is_set = word == "set" && tool_.options != nullptr;
    const FieldDescriptor* field = FindFlag(tool_, word);
    if (field != nullptr &&
        field->name() == config_internal::kSchemaVersionField) {
      field = nullptr;
    }
    if (field == nullptr && !is_config && !is_set) {
      const FieldDescriptor* negated = absl::StartsWith(word, "no")
                                           ? FindFlag(tool_, word.substr(2))
                                           : nullptr;
      if (negated == nullptr || !IsSingleBool(*negated)) {
        AddUnknown(name);
      } else if (has_value) {
        AddProblem(name, ": takes no value, got \"", value, "\"");
      } else {
        values_[negated->name()] = "false";
      }
      return;
    }
    if (field != nullptr && IsSingleBool(*field)) {
      values_[field->name()] = has_value ? std::string(value) : "true";
      return;
    }
    if (!has_value) {
      if (next_ == args_.size() || absl::StartsWith(args_[next_], "--")) {
        AddProblem(name, ": needs a value: ", name, "=",
                   is_set      ? "NAME=VALUE"
                   : is_config ? "FILE"
                               : config_internal::TypeName(*field));
        return;
      }
      value = args_[next_++];
    }
    if (is_set) {
      sets_.emplace_back(value);
    } else if (is_config) {
      config_ = std::string(value);
      has_config_ = true;
    } else if (field->is_repeated() && values_.count(field->name()) != 0) {
      absl::StrAppend(&values_[field->name()], ",", value);
    } else {
      values_[field->name()] = std::string(value);
    }
  }

  void AddUnknown(absl::string_view name) {
    const absl::string_view word =
        name.substr(std::min(name.size(), name.find_first_not_of('-')));
    AddProblem("unknown flag ", name,
               config_internal::NearestHint(word, FlagNames(tool_), "--"));
  }

  const ToolSpec& tool_;
  const std::vector<std::string>& args_;
  size_t next_ = 0;                            // the next word of args_
  std::map<std::string, std::string> values_;  // flag -> value
  std::vector<std::string> sets_;
  std::string config_;
  bool has_config_ = false;
  std::vector<std::string> problems_;
};

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(
    const ToolSpec& tool, const std::vector<std::string>& args) {
  CheckTool(tool);
  return Parser(tool, args).Parse();
}

std::string ToolHelp(const ToolSpec& tool) {
  CheckTool(tool);
  std::string help = absl::StrCat(
      "usage: ", tool.name, " [FLAG]...", tool.arguments.empty() ? "" : " ",
      tool.arguments, "\n", tool.summary, "\n\nflags:\n");
  std::vector<OptionInfo> flags;
  if (tool.flags != nullptr) flags = ListOptions(tool.flags->GetDescriptor());
  if (tool.options != nullptr) {
    flags.push_back(
        {"config", "string", "\"\"", "", "File with options in text format."});
    flags.push_back({"set", "NAME=VALUE", "", "",
                     "Sets an option below; any number of times."});
  }
  flags.push_back({"help", "bool", "false", "", "Prints this."});
  for (OptionInfo& flag : flags) flag.name = absl::StrCat("--", flag.name);
  absl::StrAppend(&help, OptionTable(flags, "  "));
  if (tool.options != nullptr) {
    absl::StrAppend(&help, "\noptions, for --set and --config:\n",
                    HelpText(tool.options->GetDescriptor()));
  }
  return help;
}

absl::Status UsageError(absl::string_view message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kUsagePayload, absl::Cord());
  return status;
}

bool IsUsageError(const absl::Status& status) {
  return status.GetPayload(kUsagePayload).has_value();
}

int RunTool(
    const ToolSpec& tool, int argc, const char* const* argv,
    absl::FunctionRef<absl::Status(const std::vector<std::string>&)> run) {
  // argv[0] is missing where the caller of exec left it out.
  const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
  absl::Status status;
  bool usage_error = false;
  if (auto line = ParseCommandLine(tool, args); !line.ok()) {
    status = line.status();
    usage_error = true;
  } else if (line->help) {
    std::fputs(ToolHelp(tool).c_str(), stdout);
    return std::fflush(stdout) == 0 ? 0 : 1;
  } else {
    status = run(line->arguments);
    usage_error = IsUsageError(status);
  }
  if (status.ok()) return 0;
  const std::string text = absl::StrReplaceAll(
      status.message(), {{"\n", absl::StrCat("\n", tool.name, ": ")}});
  std::fprintf(stderr, "%s: %s\n", tool.name.c_str(), text.c_str());
  if (usage_error) {
    std::fprintf(stderr, "See `%s --help`.\n", tool.name.c_str());
    return 2;
  }
  const int interrupted = InterruptExitCode(status);
  return interrupted != 0 ? interrupted : 1;
}

namespace {

std::vector<std::string> CommandNames(
    const std::vector<ToolCommand>& commands) {
  std::vector<std::string> names;
  for (const ToolCommand& command : commands) {
    names.push_back(command.tool.name);
  }
  return names;
}

// Our own mistakes in a list of commands.
void CheckCommands(const std::vector<ToolCommand>& commands) {
  SEPTET_CHECK(!commands.empty()) << "no commands";
  std::set<std::string> names;
  for (const ToolCommand& command : commands) {
    const std::string& name = command.tool.name;
    SEPTET_CHECK(!name.empty() && name[0] != '-') << "'" << name << "'";
    SEPTET_CHECK(names.insert(name).second) << "two commands '" << name << "'";
    SEPTET_CHECK(command.run != nullptr) << name;
    CheckTool(command.tool);
  }
}

}  // namespace

std::string ToolsHelp(absl::string_view name, absl::string_view summary,
                      const std::vector<ToolCommand>& commands) {
  CheckCommands(commands);
  std::string help = absl::StrCat("usage: ", name, " COMMAND [FLAG]...\n",
                                  summary, "\n\ncommands:\n");
  size_t width = 0;
  for (const ToolCommand& command : commands) {
    width = std::max(width, command.tool.name.size());
  }
  for (const ToolCommand& command : commands) {
    const std::string& word = command.tool.name;
    const std::string& text = command.tool.summary;
    absl::StrAppend(&help, "  ", word, std::string(width - word.size(), ' '),
                    "  ", text.substr(0, text.find('\n')), "\n");
  }
  absl::StrAppend(&help, "\n`", name,
                  " COMMAND --help` prints what a command takes.\n");
  return help;
}

int RunTools(absl::string_view name, absl::string_view summary,
             const std::vector<ToolCommand>& commands, int argc,
             const char* const* argv) {
  CheckCommands(commands);
  const absl::string_view word = argc > 1 ? argv[1] : "";
  if (word == "--help") {
    std::fputs(ToolsHelp(name, summary, commands).c_str(), stdout);
    return std::fflush(stdout) == 0 ? 0 : 1;
  }
  for (const ToolCommand& command : commands) {
    if (command.tool.name != word) continue;
    ToolSpec tool = command.tool;
    tool.name = absl::StrCat(name, " ", word);
    return RunTool(tool, argc - 1, argv + 1, command.run);
  }
  const std::string hint =
      config_internal::NearestHint(word, CommandNames(commands));
  const std::string problem =
      argc <= 1 ? absl::StrCat("needs a command", hint)
      : absl::StartsWith(word, "-")
          ? absl::StrCat("needs a command before ", word, hint)
          : absl::StrCat("no command \"", word, "\"", hint);
  std::fprintf(stderr, "%s: %s\nSee `%s --help`.\n", std::string(name).c_str(),
               problem.c_str(), std::string(name).c_str());
  return 2;
}

}  // namespace septet
