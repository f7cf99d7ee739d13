// SPDX-License-Identifier: Apache-2.0
// The command that says what a model is.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "nlohmann/json.hpp"
#include "septet/core/autograd/var.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/config/command_line.h"
#include "septet/core/config/text.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/tensor/tensor.h"
#include "septet/retention/decay.h"
#include "septet/retention/lm/commands.h"
#include "septet/retention/lm/flags.pb.h"
#include "septet/retention/lm/model.h"
#include "septet/retention/lm/options.pb.h"
#include "septet/retention/lm/train_task.h"
#include "septet/retention/model_options.h"
#include "septet/retention/model_options.pb.h"
#include "septet/retention/retnet.h"

namespace septet {
namespace {

using Json = ::nlohmann::ordered_json;

// A head's row of the table.
Json DecayRow(int64_t head, double log_gamma) {
  const double half_life = HalfLife(log_gamma);
  Json row{{"head", head},
           {"gamma", std::exp(log_gamma)},
           // Which is 0 to all digits of gamma for slow heads.
           {"one_minus_gamma", -std::expm1(log_gamma)}};
  // JSON has no infinity.
  row["half_life"] = std::isfinite(half_life) ? Json(half_life) : Json();
  return row;
}

void PrintDecays(absl::string_view title, absl::Span<const double> log_gamma,
                 Json* json, std::ostream& out) {
  out << title << "\n  head     1 - gamma   half-life (bytes)\n";
  Json rows = Json::array();
  for (size_t h = 0; h < log_gamma.size(); ++h) {
    out << absl::StrFormat("  %4d  %12.6g  %18.6g\n", h,
                           -std::expm1(log_gamma[h]), HalfLife(log_gamma[h]));
    rows.push_back(DecayRow(static_cast<int64_t>(h), log_gamma[h]));
  }
  json->push_back(std::move(rows));
}

absl::Status PrintRetNetDecays(const RetentionLmOptions& options,
                               const RetentionLm* model, Json* json,
                               std::ostream& out) {
  SEPTET_ASSIGN_OR_RETURN(const RetNetOptions retnet,
                          RetNetOptionsOf(options.model()));
  Json& layers = (*json)["decay"] = Json::array();
  if (model == nullptr || !retnet.retention.learnable_decay) {
    SEPTET_ASSIGN_OR_RETURN(
        const Tensor log_gamma,
        LogDecay(retnet.retention.decay, retnet.retention.heads));
    PrintDecays("decay of every layer", log_gamma.ToVector<double>(), &layers,
                out);
    return absl::OkStatus();
  }
  const BoundParameters p = model->parameters().Bind();
  for (int64_t layer = 0; layer < retnet.layers; ++layer) {
    const Var log_gamma = model->retnet()->retention(layer).LogGamma(p);
    SEPTET_RETURN_IF_ERROR(log_gamma.status());
    PrintDecays(absl::StrCat("decay of layer ", layer),
                log_gamma.tensor().ToVector<double>(), &layers, out);
  }
  return absl::OkStatus();
}

void PrintTensors(const RetentionLm& model, Json* json, std::ostream& out) {
  Json& list = (*json)["tensors"] = Json::array();
  const std::vector<std::string> names = model.parameters().trained_names();
  for (size_t i = 0; i < names.size(); ++i) {
    const Tensor& tensor = model.parameters().trained()[i];
    double sum = 0;
    for (const double x : tensor.ToVector<double>()) sum += x * x;
    const double rms =
        std::sqrt(sum / static_cast<double>(tensor.num_elements()));
    out << absl::StrFormat("  %-40s %10d  rms %.6g  %s\n", names[i],
                           tensor.num_elements(), rms,
                           tensor.shape().ToString());
    list.push_back({{"name", names[i]},
                    {"elements", tensor.num_elements()},
                    {"rms", rms}});
  }
}

}  // namespace

absl::Status InspectRetNet(const RetNetInspectFlags& flags,
                           const RetentionLmOptions& options,
                           const std::vector<std::string>& arguments,
                           std::ostream& out) {
  if (arguments.size() > 1) {
    return UsageError(
        absl::StrCat("expected one run folder or checkpoint, or none, got ",
                     arguments.size()));
  }
  RetentionLmOptions described = options;
  TrainedRetentionLm trained;
  Json json;
  if (!arguments.empty()) {
    if (!flags.preset().empty() || options.ByteSizeLong() > 0) {
      return UsageError(
          "--set, --config and --preset: expected none with a run folder or "
          "checkpoint, which has options of its own");
    }
    SEPTET_ASSIGN_OR_RETURN(trained,
                            LoadRetentionLm(ResolveUserPath(arguments[0])));
    described = trained.options;
    json["step"] = trained.step;
  }
  absl::StatusOr<RetNetModelOptions> model =
      WithPreset(described, flags.preset());
  if (!model.ok()) {
    return UsageError(absl::StrCat("--preset: ", model.status().message()));
  }
  *described.mutable_model() = *std::move(model);
  described = CompleteOptions(described);
  SEPTET_ASSIGN_OR_RETURN(const int64_t parameters,
                          NumRetentionLmParameters(described));
  const RetNetModelOptions& m = described.model();
  const int64_t embeddings =
      (m.tied() ? 1 : 2) * int64_t{m.vocab_size()} * m.dim();
  const std::string kind = RetentionLmKindName(described.kind());
  out << absl::StrFormat(
      "%s, dim %d, %d layers\n"
      "parameters %d, of them %d of embedding and head\n",
      kind, m.dim(), m.layers(), parameters, embeddings);
  json["kind"] = kind;
  json["dim"] = m.dim();
  json["layers"] = m.layers();
  json["parameters"] = parameters;
  json["embedding_parameters"] = embeddings;
  if (trained.model != nullptr) PrintTensors(*trained.model, &json, out);
  if (described.kind() == RetentionLmKindNames::retnet) {
    SEPTET_RETURN_IF_ERROR(
        PrintRetNetDecays(described, trained.model.get(), &json, out));
  }
  SEPTET_ASSIGN_OR_RETURN(const int64_t one,
                          RetentionLmStateBytes(described, 1));
  SEPTET_ASSIGN_OR_RETURN(const int64_t two,
                          RetentionLmStateBytes(described, 2));
  const int64_t kv = int64_t{8} * m.layers() * m.dim();
  if (two > one) {
    out << absl::StrFormat("decoding keeps %d bytes for each token of a text\n",
                           two - one);
    json["state_bytes_per_token"] = two - one;
  } else {
    out << absl::StrFormat(
        "decoding keeps %d bytes of a text of any length: as many as the keys "
        "and values of %.1f tokens\n",
        one, static_cast<double>(one) / static_cast<double>(kv));
    json["state_bytes"] = one;
    json["kv_bytes_per_token"] = kv;
  }
  out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  return absl::OkStatus();
}

}  // namespace septet
