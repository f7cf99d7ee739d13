// SPDX-License-Identifier: Apache-2.0
#include "septet/baselines/byte_lm/generate.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/baselines/byte_lm/model.h"
#include "septet/baselines/byte_lm/model_options.pb.h"
#include "septet/core/autograd/var.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/nn/parameters.h"
#include "septet/core/nn/pass.h"
#include "septet/core/ops/index.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<ByteLm> SmallModel() {
  ByteLmModelOptions options;
  options.set_dim(16);
  options.set_layers(2);
  options.set_head_dim(8);
  return ByteLm::Create(options, 3).value();
}

std::string Text(const ByteLm& model, absl::string_view prompt,
                 const GenerateOptions& options) {
  std::string text;
  SEPTET_EXPECT_OK(Generate(model, prompt, options, [&](char byte) {
    text.push_back(byte);
    return true;
  }));
  return text;
}

// The likeliest byte behind `text`, without a cache.
char Greedy(const ByteLm& model, absl::string_view text) {
  std::vector<int64_t> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  const auto time = static_cast<int64_t>(ids.size());
  const Tensor tokens = Tensor::FromValues<int64_t>({1, time}, ids).value();
  const Var logits = model.transformer().Forward(model.parameters().Bind(),
                                                 Pass(), {tokens, {}, {}});
  return static_cast<char>(ArgMax(logits).tensor().data<int64_t>()[time - 1]);
}

TEST(GenerateTest, TheCacheGivesWhatTheWholeWindowGives) {
  const auto model = SmallModel();
  GenerateOptions options;
  options.length = 40;
  options.context = 12;
  options.sampling.temperature = 0;
  const std::string got = Text(*model, "ab", options);
  ASSERT_EQ(got.size(), 40u);
  // The window grows to 12 bytes, then begins anew with the last 6.
  std::string text = "ab";
  size_t window = 2;
  for (const char byte : got) {
    if (window > 12) window = 6;
    EXPECT_EQ(byte, Greedy(*model, absl::string_view(text).substr(text.size() -
                                                                  window)));
    text.push_back(byte);
    ++window;
  }
}

TEST(GenerateTest, SeedsDecide) {
  const auto model = SmallModel();
  GenerateOptions options;
  options.length = 50;
  const std::string text = Text(*model, "Hello", options);
  EXPECT_EQ(Text(*model, "Hello", options), text);
  options.seed = 2;
  EXPECT_NE(Text(*model, "Hello", options), text);
  // A text is the beginning of a longer one.
  options.seed = 1;
  options.length = 20;
  EXPECT_EQ(Text(*model, "Hello", options), text.substr(0, 20));
}

TEST(GenerateTest, AnEmptyPromptIsALineFeed) {
  const auto model = SmallModel();
  GenerateOptions options;
  options.length = 10;
  EXPECT_EQ(Text(*model, "", options), Text(*model, "\n", options));
}

TEST(GenerateTest, OfALongPromptTheEndIsRead) {
  const auto model = SmallModel();
  GenerateOptions options;
  options.length = 10;
  options.context = 8;
  const std::string end = "wxyz";
  EXPECT_EQ(Text(*model, std::string(100, 'q') + end, options),
            Text(*model, end, options));
}

TEST(GenerateTest, APenaltyMakesBytesNew) {
  const auto model = SmallModel();
  GenerateOptions options;
  options.length = 60;
  options.context = 64;
  options.sampling.temperature = 0;
  options.sampling.repetition_penalty = 1e6;
  std::string text = Text(*model, "a", options);
  // Logits of what was there are about 0 or far below.
  std::sort(text.begin(), text.end());
  EXPECT_GT(std::unique(text.begin(), text.end()) - text.begin(), 50);
}

TEST(GenerateTest, StopsWhenToldTo) {
  const auto model = SmallModel();
  int calls = 0;
  SEPTET_EXPECT_OK(
      Generate(*model, "x", {}, [&](char) { return ++calls < 3; }));
  EXPECT_EQ(calls, 3);
}

TEST(GenerateTest, Errors) {
  const auto model = SmallModel();
  const auto expect = [&](const GenerateOptions& options, const char* message) {
    EXPECT_THAT(
        Generate(*model, "x", options, [](char) { return true; }),
        StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(message)));
  };
  GenerateOptions options;
  options.length = -1;
  expect(options, "length is -1, expected at least 0");
  options = {};
  options.context = 1;
  expect(options, "context is 1, expected at least 2");
  options = {};
  options.sampling.top_p = 2;
  expect(options, "top_p is 2");
}

}  // namespace
}  // namespace septet
