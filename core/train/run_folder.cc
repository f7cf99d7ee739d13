// SPDX-License-Identifier: Apache-2.0
#include "septet/core/train/run_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/base/config.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/stubs/common.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/thread_pool.h"
#include "septet/core/bench/machine.h"
#include "septet/core/config/text.h"
#include "septet/core/io/json_string.h"
#include "septet/core/io/quote.h"

namespace septet {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr char kManifestName[] = "manifest.json";
// Of the manifest itself. Raise it when an old one would be read wrongly.
constexpr int kManifestVersion = 1;

// ---- the environment ----

std::string ShellQuote(absl::string_view text) {
  constexpr absl::string_view kPlain(
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
      "@%+=:,./-_");
  if (!text.empty() && text.find_first_not_of(kPlain) == text.npos) {
    return std::string(text);
  }
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

// Whether a word of a command line says how a run begins, in any of the forms
// that the flags have.
bool IsStartFlag(absl::string_view word) {
  for (const char* name : {"resume", "fresh"}) {
    if (word == absl::StrCat("--", name) ||
        word == absl::StrCat("--no", name) ||
        absl::StartsWith(word, absl::StrCat("--", name, "="))) {
      return true;
    }
  }
  return false;
}

// The workspace that the program was started in: where `bazel run` was called,
// or the nearest folder above the working directory that has a workspace file.
std::string WorkspaceFolder() {
  if (const char* folder = std::getenv("BUILD_WORKSPACE_DIRECTORY")) {
    return folder;
  }
  std::error_code error;
  std::filesystem::path folder = std::filesystem::current_path(error);
  while (!error && !folder.empty()) {
    for (const char* name : {"WORKSPACE", "WORKSPACE.bazel", "MODULE.bazel"}) {
      if (std::filesystem::exists(folder / name, error)) return folder;
    }
    if (folder == folder.parent_path()) break;
    folder = folder.parent_path();
  }
  return "";
}

std::string GitDescription() {
  const std::string folder = WorkspaceFolder();
  if (folder.empty()) return "unknown";
  const std::string command = absl::StrCat(
      "git --no-optional-locks -C ", ShellQuote(folder),
      " describe --always --dirty --abbrev=12 2>/dev/null </dev/null");
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"),
                                                   &pclose);
  if (pipe == nullptr) return "unknown";
  std::string text;
  char buffer[256];
  while (fgets(buffer, sizeof(buffer), pipe.get()) != nullptr) text += buffer;
  text = std::string(absl::StripAsciiWhitespace(text));
  return text.empty() ? "unknown" : text;
}

// What the bits of a result may depend on: not the number of threads.
std::map<std::string, std::string> OfBits(
    const std::map<std::string, std::string>& environment) {
  std::map<std::string, std::string> facts;
  for (const char* name : {"git", "compiler", "cpu", "vector_target", "onednn",
                           "openblas", "OPENBLAS_CORETYPE"}) {
    const auto found = environment.find(name);
    if (found != environment.end()) facts.insert(*found);
  }
  return facts;
}

// ---- differences between two messages of one type ----

std::string FieldText(const Message& message, const FieldDescriptor& field) {
  std::string text;
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  if (!field.is_repeated()) {
    printer.PrintFieldValueToString(message, &field, -1, &text);
    return text;
  }
  std::vector<std::string> elements;
  const int size = message.GetReflection()->FieldSize(message, &field);
  for (int i = 0; i < size; ++i) {
    printer.PrintFieldValueToString(message, &field, i, &text);
    elements.push_back(text);
  }
  return absl::StrCat("[", absl::StrJoin(elements, ", "), "]");
}

// Whether the run so far does not depend on the field.
bool MayAlwaysDiffer(const FieldDescriptor& field) {
  if (field.containing_type()->full_name() != "septet.TrainOptions") {
    return false;
  }
  const std::string& name = field.name();
  return name == "log_every" || name == "evaluate_every" ||
         name == "checkpoint_every" || name == "checkpoint_seconds" ||
         name == "keep_checkpoints";
}

bool Grows(const Message& old_message, const Message& new_message,
           const FieldDescriptor& field) {
  if (field.is_repeated()) return false;
  const Reflection* reflection = old_message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection->GetInt32(old_message, &field) <
             reflection->GetInt32(new_message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection->GetInt64(old_message, &field) <
             reflection->GetInt64(new_message, &field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection->GetUInt32(old_message, &field) <
             reflection->GetUInt32(new_message, &field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection->GetUInt64(old_message, &field) <
             reflection->GetUInt64(new_message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection->GetDouble(old_message, &field) <
             reflection->GetDouble(new_message, &field);
    default:
      return false;
  }
}

struct Comparison {
  std::vector<std::string> differences;  // that are not allowed
  bool changed = false;                  // some that are
};

// Both messages have every field set.
void Compare(const Message& old_message, const Message& new_message,
             const std::string& prefix,
             const std::vector<std::string>& may_grow, Comparison* result) {
  const Reflection* reflection = old_message.GetReflection();
  const google::protobuf::Descriptor* type = old_message.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor& field = *type->field(i);
    const std::string name = absl::StrCat(prefix, field.name());
    if (!field.is_repeated() &&
        field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      Compare(reflection->GetMessage(old_message, &field),
              reflection->GetMessage(new_message, &field),
              absl::StrCat(name, "."), may_grow, result);
      continue;
    }
    const std::string old_text = FieldText(old_message, field);
    const std::string new_text = FieldText(new_message, field);
    if (old_text == new_text) continue;
    bool may_grow_here = false;
    for (const std::string& other : may_grow) may_grow_here |= other == name;
    if (MayAlwaysDiffer(field) ||
        (may_grow_here && Grows(old_message, new_message, field))) {
      result->changed = true;
      continue;
    }
    result->differences.push_back(
        absl::StrCat(name, " was ", old_text, ", is now ", new_text,
                     may_grow_here ? " (it may only grow)" : ""));
  }
}

// ---- the manifest ----

struct StoredManifest {
  std::string tool;
  std::string seed;
  std::map<std::string, std::string> facts;
  std::string options_type;
  std::string options_text;
  std::vector<std::map<std::string, std::string>> runs;
};

absl::StatusOr<std::map<std::string, std::string>> StringMap(
    const nlohmann::json& json, absl::string_view what) {
  if (!json.is_object()) {
    return absl::DataLossError(absl::StrCat(what, " is no object"));
  }
  std::map<std::string, std::string> map;
  for (const auto& [key, value] : json.items()) {
    const auto* text = value.get_ptr<const std::string*>();
    if (text == nullptr) {
      return absl::DataLossError(
          absl::StrCat(what, ": ", QuoteName(key), " is no text"));
    }
    map[key] = *text;
  }
  return map;
}

// Whether the text is that of a manifest, be it damaged or of another version,
// and not that of another program's file of this name, of which there are many.
bool IsOfRun(absl::string_view text) {
  return absl::StrContains(text, "\"manifest_version\"") &&
         absl::StrContains(text, "\"tool\"") &&
         absl::StrContains(text, "\"seed\"");
}

absl::StatusOr<StoredManifest> ParseManifest(absl::string_view text) {
  const nlohmann::json json =
      nlohmann::json::parse(text.begin(), text.end(), /*cb=*/nullptr,
                            /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::DataLossError("not a manifest: is no JSON object");
  }
  const auto version = json.find("manifest_version");
  if (version == json.end() || !version->is_number_integer()) {
    return absl::DataLossError("not a manifest: has no 'manifest_version'");
  }
  if (*version != kManifestVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("manifest_version is ", version->dump(),
                     ", this program reads ", kManifestVersion));
  }
  StoredManifest manifest;
  const std::pair<const char*, std::string*> texts[] = {
      {"tool", &manifest.tool},
      {"seed", &manifest.seed},
      {"options_type", &manifest.options_type},
      {"options_text", &manifest.options_text}};
  for (const auto& [name, target] : texts) {
    const auto found = json.find(name);
    const auto* value =
        found == json.end() ? nullptr : found->get_ptr<const std::string*>();
    if (value == nullptr) {
      return absl::DataLossError(
          absl::StrCat("expected a text as '", name, "'"));
    }
    *target = *value;
  }
  const auto facts = json.find("facts");
  if (facts == json.end()) return absl::DataLossError("has no 'facts'");
  SEPTET_ASSIGN_OR_RETURN(manifest.facts, StringMap(*facts, "facts"));
  const auto runs = json.find("runs");
  if (runs == json.end() || !runs->is_array()) {
    return absl::DataLossError("expected a list as 'runs'");
  }
  for (const nlohmann::json& run : *runs) {
    SEPTET_ASSIGN_OR_RETURN(auto environment, StringMap(run, "runs"));
    manifest.runs.push_back(std::move(environment));
  }
  return manifest;
}

// An object of texts, one a line.
absl::StatusOr<std::string> PrintMap(
    const std::map<std::string, std::string>& map, absl::string_view indent) {
  std::vector<std::string> lines;
  for (const auto& [key, value] : map) {
    SEPTET_ASSIGN_OR_RETURN(const std::string key_json, JsonString(key));
    SEPTET_ASSIGN_OR_RETURN(const std::string value_json, JsonString(value),
                            _ << QuoteName(key));
    lines.push_back(absl::StrCat(indent, "  ", key_json, ": ", value_json));
  }
  if (lines.empty()) return std::string("{}");
  return absl::StrCat("{\n", absl::StrJoin(lines, ",\n"), "\n", indent, "}");
}

// The options with every field set; null without options.
std::unique_ptr<Message> Complete(const Message* options) {
  if (options == nullptr) return nullptr;
  std::unique_ptr<Message> copy(options->New());
  copy->CopyFrom(*options);
  FillDefaults(copy.get());
  return copy;
}

std::string OptionsType(const Message* options) {
  return options == nullptr ? "" : options->GetDescriptor()->full_name();
}

absl::StatusOr<std::string> PrintManifest(
    const Manifest& manifest,
    const std::vector<std::map<std::string, std::string>>& runs) {
  SEPTET_ASSIGN_OR_RETURN(const std::string tool, JsonString(manifest.tool),
                          _ << "manifest: tool");
  SEPTET_ASSIGN_OR_RETURN(const std::string facts,
                          PrintMap(manifest.facts, "  "),
                          _ << "manifest: facts");
  std::string options = "{}\n";
  std::string options_text;
  if (const auto complete = Complete(manifest.options); complete != nullptr) {
    options_text = PrintOptions(*complete);
    google::protobuf::util::JsonPrintOptions print;
    print.add_whitespace = true;
    print.preserve_proto_field_names = true;
    print.always_print_primitive_fields = true;
    options.clear();
    const auto status =
        google::protobuf::util::MessageToJsonString(*complete, &options, print);
    if (!status.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("manifest: options: ", status.ToString()));
    }
  }
  SEPTET_ASSIGN_OR_RETURN(options_text, JsonString(options_text),
                          _ << "manifest: options");
  std::vector<std::string> run_texts;
  for (const auto& run : runs) {
    SEPTET_ASSIGN_OR_RETURN(const std::string text, PrintMap(run, "    "),
                            _ << "manifest: runs");
    run_texts.push_back(absl::StrCat("    ", text));
  }
  return absl::StrCat(
      "{\n  \"manifest_version\": ", kManifestVersion, ",\n  \"tool\": ", tool,
      // As a text: readers of JSON keep 53 bits of a number.
      ",\n  \"seed\": \"", manifest.seed, "\",\n  \"options_type\": \"",
      OptionsType(manifest.options), "\",\n  \"options\": ",
      absl::StrReplaceAll(absl::StripTrailingAsciiWhitespace(options),
                          {{"\n", "\n  "}}),
      ",\n  \"options_text\": ", options_text, ",\n  \"facts\": ", facts,
      ",\n  \"runs\": [\n", absl::StrJoin(run_texts, ",\n"), "\n  ]\n}\n");
}

// Both maps in one order, with what differs in words.
void CompareMaps(const std::map<std::string, std::string>& was,
                 const std::map<std::string, std::string>& is,
                 std::vector<std::string>* differences) {
  std::map<std::string, std::pair<std::string, std::string>> both;
  for (const auto& [key, value] : was) both[key] = {value, "missing"};
  for (const auto& [key, value] : is) {
    both.insert({key, {"missing", ""}}).first->second.second = value;
  }
  for (const auto& [key, values] : both) {
    if (values.first == values.second) continue;
    differences->push_back(
        absl::StrCat(key, " was ", values.first, ", is now ", values.second));
  }
}

absl::StatusOr<Comparison> CompareManifests(const StoredManifest& stored,
                                            const Manifest& manifest) {
  Comparison result;
  if (stored.tool != manifest.tool) {
    result.differences.push_back(
        absl::StrCat("tool was ", stored.tool, ", is now ", manifest.tool));
  }
  if (stored.seed != absl::StrCat(manifest.seed)) {
    result.differences.push_back(
        absl::StrCat("seed was ", stored.seed, ", is now ", manifest.seed));
  }
  CompareMaps(stored.facts, manifest.facts, &result.differences);
  const std::string type = OptionsType(manifest.options);
  if (stored.options_type != type) {
    result.differences.push_back(absl::StrCat("options were of the type '",
                                              stored.options_type,
                                              "', are now of '", type, "'"));
  } else if (manifest.options != nullptr) {
    std::unique_ptr<Message> old_options(manifest.options->New());
    SEPTET_RETURN_IF_ERROR(
        ParseOptions(stored.options_text, "options_text", old_options.get()));
    FillDefaults(old_options.get());
    Compare(*old_options, *Complete(manifest.options), "", manifest.may_grow,
            &result);
  }
  return result;
}

// OK if a run with `manifest` goes on with that of `stored`.
absl::Status CheckSameRun(const StoredManifest& stored,
                          const Manifest& manifest, bool* changed) {
  SEPTET_ASSIGN_OR_RETURN(const Comparison result,
                          CompareManifests(stored, manifest));
  *changed = result.changed;
  if (result.differences.empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "cannot resume, this is another run: ",
      absl::StrJoin(result.differences, "; "),
      ". Use the options of the run, another folder, or --fresh to begin "
      "again"));
}

// ---- the folder ----

absl::Status SystemError(const std::error_code& error, absl::string_view what,
                         absl::string_view path) {
  return absl::ErrnoToStatus(error.value(), absl::StrCat(what, " ", path));
}

// Whether there is anything in the folder but what a killed process has left
// of a first manifest.
absl::StatusOr<bool> HoldsFiles(const std::string& path) {
  std::error_code error;
  std::filesystem::directory_iterator entry(path, error);
  for (; !error && entry != std::filesystem::directory_iterator();
       entry.increment(error)) {
    const std::string name = entry->path().filename();
    if (!absl::StartsWith(name, absl::StrCat(".", kManifestName, ".tmp."))) {
      return true;
    }
  }
  if (error) return SystemError(error, "read directory", path);
  return false;
}

// The manifest goes last, so that a removal that was cut short can be repeated.
absl::Status RemoveContents(const std::string& path) {
  std::error_code error;
  std::vector<std::filesystem::path> entries;
  for (std::filesystem::directory_iterator entry(path, error);
       !error && entry != std::filesystem::directory_iterator();
       entry.increment(error)) {
    entries.push_back(entry->path());
  }
  if (error) return SystemError(error, "read directory", path);
  for (const bool last : {false, true}) {
    for (const std::filesystem::path& entry : entries) {
      if ((entry.filename() == kManifestName) != last) continue;
      std::filesystem::remove_all(entry, error);
      if (error) return SystemError(error, "remove", entry.string());
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::map<std::string, std::string> RunEnvironment() {
  const Machine machine = ReadMachine();
  std::map<std::string, std::string> environment;
  environment["git"] = GitDescription();
  environment["compiler"] = machine.compiler;
  environment["cpu"] = machine.cpu;
  environment["cores"] = absl::StrCat(machine.cores);
  environment["vector_target"] = machine.highway_target;
  environment["onednn"] = machine.onednn;
  environment["openblas"] = machine.openblas;
  const char* core_type = std::getenv("OPENBLAS_CORETYPE");
  environment["OPENBLAS_CORETYPE"] = core_type == nullptr ? "" : core_type;
  const ThreadPool* pool = CurrentThreadPool();
  environment["threads"] =
      absl::StrCat(pool == nullptr ? 1 : pool->num_threads());
  environment["protobuf"] =
      google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION);
#ifdef ABSL_LTS_RELEASE_VERSION
  environment["abseil"] =
      absl::StrCat(ABSL_LTS_RELEASE_VERSION, ".", ABSL_LTS_RELEASE_PATCH_LEVEL);
#else
  environment["abseil"] = "unknown";
#endif
  return environment;
}

std::string ResumeCommand() {
  const absl::StatusOr<std::string> line =
      ReadFileToString("/proc/self/cmdline");
  if (!line.ok()) return "the same command with --resume";
  std::vector<std::string> words;
  for (absl::string_view word : absl::StrSplit(
           absl::StripSuffix(*line, absl::string_view("\0", 1)), '\0')) {
    words.push_back(std::string(word));
  }
  std::vector<std::string> command;
  bool arguments = false;  // behind "--"
  for (const std::string& word : words) {
    if (!arguments && word == "--") {
      command.push_back("--resume");
      arguments = true;
    }
    if (!arguments && IsStartFlag(word)) continue;
    command.push_back(ShellQuote(word));
  }
  if (!arguments) command.push_back("--resume");
  return absl::StrJoin(command, " ");
}

absl::Status CheckManifestText(absl::string_view text,
                               const Manifest& manifest) {
  SEPTET_ASSIGN_OR_RETURN(const StoredManifest stored, ParseManifest(text));
  bool changed = false;
  return CheckSameRun(stored, manifest, &changed);
}

absl::StatusOr<std::vector<std::string>> ManifestDifferences(
    absl::string_view text, const Manifest& manifest) {
  SEPTET_ASSIGN_OR_RETURN(const StoredManifest stored, ParseManifest(text));
  if (stored.tool != manifest.tool) {
    return absl::FailedPreconditionError(
        absl::StrCat("is of a run of ", QuoteName(stored.tool), ", not of ",
                     QuoteName(manifest.tool)));
  }
  SEPTET_ASSIGN_OR_RETURN(Comparison result,
                          CompareManifests(stored, manifest));
  return std::move(result.differences);
}

RunFolder::RunFolder(std::string path, int lock)
    : path_(std::move(path)), lock_(lock) {}
RunFolder::RunFolder(RunFolder&& other) noexcept
    : path_(std::move(other.path_)),
      lock_(std::exchange(other.lock_, -1)),
      resumed_(other.resumed_) {}
RunFolder& RunFolder::operator=(RunFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(lock_, other.lock_);
  std::swap(resumed_, other.resumed_);
  return *this;
}
RunFolder::~RunFolder() {
  if (lock_ >= 0) close(lock_);
}

std::string RunFolder::Path(absl::string_view relative) const {
  return absl::StrCat(path_, "/", relative);
}

absl::StatusOr<RunFolder> RunFolder::Open(absl::string_view path,
                                          const Manifest& manifest,
                                          const RunFolderOptions& options,
                                          std::ostream* warnings) {
  if (options.resume && options.fresh) {
    return absl::InvalidArgumentError(
        "--resume goes on with a run and --fresh removes it: give one of them");
  }
  SEPTET_RETURN_IF_ERROR(MakeDirectories(path));
  const std::string name(path);
  const int lock = open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("open directory ", path));
  }
  RunFolder folder(name, lock);
  int locked;
  do {
    locked = flock(lock, LOCK_EX | LOCK_NB);
  } while (locked != 0 && errno == EINTR);
  if (locked != 0) {
    if (errno == EWOULDBLOCK) {
      return absl::FailedPreconditionError(absl::StrCat(
          path, ": another process is at work in this run folder"));
    }
    return absl::ErrnoToStatus(errno, absl::StrCat("lock directory ", path));
  }

  const std::string manifest_path = folder.Path(kManifestName);
  absl::StatusOr<std::string> text = ReadFileToString(manifest_path);
  if (!text.ok() && !absl::IsNotFound(text.status())) return text.status();
  if (!text.ok()) {
    SEPTET_ASSIGN_OR_RETURN(const bool holds_files, HoldsFiles(name));
    if (holds_files) {
      return absl::FailedPreconditionError(
          absl::StrCat(path, ": holds files but no ", kManifestName,
                       ", so it is no run folder; name an empty or a new one"));
    }
  } else if (!options.resume && !IsOfRun(*text)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, ": its ", kManifestName,
                     " is not that of a run, so the folder is left alone; name "
                     "an empty or a new one"));
  } else if (!options.resume && !options.fresh) {
    return absl::AlreadyExistsError(
        absl::StrCat(path,
                     ": holds a run already; --resume goes on with it, --fresh "
                     "removes it and begins again"));
  }

  const std::map<std::string, std::string> environment = RunEnvironment();
  std::vector<std::map<std::string, std::string>> runs = {environment};
  if (text.ok() && options.resume) {
    SEPTET_ASSIGN_OR_RETURN(StoredManifest stored, ParseManifest(*text),
                            _ << manifest_path);
    bool changed = false;
    SEPTET_RETURN_IF_ERROR(CheckSameRun(stored, manifest, &changed))
        << manifest_path;
    folder.resumed_ = true;
    runs = std::move(stored.runs);
    std::vector<std::string> differences;
    if (!runs.empty()) {
      CompareMaps(OfBits(runs.back()), OfBits(environment), &differences);
    }
    if (!differences.empty()) {
      (warnings == nullptr ? std::cerr : *warnings)
          << "warning: " << path
          << ": resumed in another environment, the numbers may differ in "
             "their last bits: "
          << absl::StrJoin(differences, "; ") << std::endl;
    }
    if (runs.empty() || runs.back() != environment) {
      runs.push_back(environment);
      changed = true;
    }
    if (!changed) return folder;
  } else if (text.ok()) {
    SEPTET_RETURN_IF_ERROR(RemoveContents(name));
  }
  SEPTET_RETURN_IF_ERROR(RemoveTemporaryFiles(name));
  SEPTET_ASSIGN_OR_RETURN(const std::string content,
                          PrintManifest(manifest, runs));
  SEPTET_RETURN_IF_ERROR(WriteFileAtomically(manifest_path, content));
  return folder;
}

}  // namespace septet
