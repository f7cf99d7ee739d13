// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/check.h"

#include <cstdio>
#include <cstdlib>
#include <string>

namespace septet {
namespace base_internal {

bool dcheck_enabled = false;

CheckFailure::CheckFailure(const char* file, int line, const char* condition) {
  stream_ << file << ":" << line << ": check failed: " << condition << " ";
}

CheckFailure::CheckFailure(const char* file, int line,
                           const std::string& condition)
    : CheckFailure(file, line, condition.c_str()) {}

CheckFailure::~CheckFailure() {
  std::fprintf(stderr, "%s\n", stream_.str().c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace base_internal
}  // namespace septet
