// SPDX-License-Identifier: Apache-2.0
// Linked into every test by septet_cc_test: turns SEPTET_DCHECK on.
#include "septet/core/base/check.h"

namespace septet {
namespace base_internal {
namespace {

[[maybe_unused]] const bool kOn = (dcheck_enabled = true);

}  // namespace
}  // namespace base_internal
}  // namespace septet
