// SPDX-License-Identifier: Apache-2.0
#include "septet/core/experiment/seed_record.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/text.h"
#include "septet/core/experiment/json_impl.h"
#include "septet/core/io/json_object.h"
#include "septet/core/io/json_value.h"

namespace septet {
namespace {

using ::septet::experiment_internal::GetAnyNumber;
using ::septet::experiment_internal::GetLine;

// FNV-1a of 64 bits.
uint64_t Hash(absl::string_view text) {
  uint64_t hash = 14695981039346656037u;
  for (unsigned char c : text) hash = (hash ^ c) * 1099511628211u;
  return hash;
}

absl::StatusOr<SeedRecord> RecordOf(const JsonValue& json) {
  SEPTET_RETURN_IF_ERROR(
      experiment_internal::CheckSchemaVersion(json, kSeedRecordSchemaVersion));
  SeedRecord record;
  SEPTET_ASSIGN_OR_RETURN(record.fingerprint, GetLine(json, "fingerprint"));
  SEPTET_ASSIGN_OR_RETURN(const int64_t seed, json.GetInteger("seed"));
  if (seed < 0) {
    return absl::DataLossError(absl::StrCat(json.Get("seed")->where(), " is ",
                                            seed, ", expected at least 0"));
  }
  record.seed = static_cast<uint64_t>(seed);
  SEPTET_ASSIGN_OR_RETURN(record.git, GetLine(json, "git"));
  SEPTET_ASSIGN_OR_RETURN(record.seconds, json.GetNumber("seconds"));
  SEPTET_ASSIGN_OR_RETURN(const JsonValue metrics, json.Get("metrics"));
  if (metrics.kind() != JsonValue::Kind::kObject) {
    return absl::DataLossError(
        absl::StrCat(metrics.where(), ": expected an object"));
  }
  for (const std::string& name : metrics.names()) {
    SEPTET_ASSIGN_OR_RETURN(record.result.metrics[name],
                            GetAnyNumber(metrics, name));
  }
  return record;
}

}  // namespace

std::string RunFingerprint(const Experiment& experiment, Preset preset,
                           const google::protobuf::Message* options) {
  std::string text =
      absl::StrCat(experiment.name, "\n", PresetName(preset), "\n");
  if (options != nullptr) {
    absl::StrAppend(&text, options->GetDescriptor()->full_name(), "\n",
                    PrintOptions(*options));
  }
  return absl::StrFormat("%016x", Hash(text));
}

absl::Status WriteSeedRecord(absl::string_view path, const SeedRecord& record) {
  JsonObject json;
  json.SetInteger("schema_version", kSeedRecordSchemaVersion);
  json.SetString("fingerprint", record.fingerprint);
  json.SetInteger("seed", static_cast<int64_t>(record.seed));
  json.SetString("git", record.git);
  json.SetNumber("seconds", record.seconds);
  JsonObject metrics;
  for (const auto& [name, value] : record.result.metrics) {
    experiment_internal::SetAnyNumber(&metrics, name, value);
  }
  json.SetObject("metrics", metrics);
  SEPTET_ASSIGN_OR_RETURN(const std::string text, json.Text());
  return WriteFileAtomically(path, experiment_internal::IndentJson(text));
}

absl::StatusOr<SeedRecord> ParseSeedRecord(absl::string_view text,
                                           absl::string_view name) {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue json, JsonValue::Parse(text, name));
  return experiment_internal::FieldsOf(RecordOf(json));
}

absl::StatusOr<SeedRecord> ReadSeedRecord(absl::string_view path) {
  SEPTET_ASSIGN_OR_RETURN(const JsonValue json,
                          experiment_internal::ReadJsonFile(path));
  return experiment_internal::FieldsOf(RecordOf(json));
}

}  // namespace septet
