// SPDX-License-Identifier: Apache-2.0
// Text from a language model of bytes, a byte at a time.
//
//   GenerateOptions options;
//   options.sampling.temperature = 0.8;
//   SEPTET_RETURN_IF_ERROR(Generate(model, "Q: ", options, [](char byte) {
//     std::cout << byte << std::flush;
//     return true;
//   }));
//
// Byte i is drawn with element i of the stream "generate" of the seed
// (core/nn/sampling.h). The model sees at most the last `context` bytes: keys
// and values of past bytes are kept (KvCache), and when the cache is full it is
// filled again with the newest half of them, so that a byte costs what reading
// the weights and at most `context` keys costs, and every second half a prefill
// of context / 2 bytes. Positions beyond those of training, which rotary models
// read badly, do not occur.
#ifndef SEPTET_BASELINES_BYTE_LM_GENERATE_H_
#define SEPTET_BASELINES_BYTE_LM_GENERATE_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "septet/baselines/byte_lm/model.h"
#include "septet/core/nn/sampling.h"

namespace septet {

struct GenerateOptions {
  int64_t length = 500;   // bytes to write, >= 0
  int64_t context = 128;  // bytes that the model sees at most, >= 2
  uint64_t seed = 1;
  SamplingOptions sampling;
};

// Calls write(byte) for each byte behind the prompt, until one returns false.
// An empty prompt stands for a line feed, as texts end with one. Errors:
// InvalidArgument for a length or context out of range; those of the sampling
// options and of the model.
absl::Status Generate(const ByteLm& model, absl::string_view prompt,
                      const GenerateOptions& options,
                      absl::FunctionRef<bool(char)> write);

}  // namespace septet

#endif  // SEPTET_BASELINES_BYTE_LM_GENERATE_H_
