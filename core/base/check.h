// SPDX-License-Identifier: Apache-2.0
// Checks of our own invariants; they abort. Whatever a user can type, or put
// into a file, must be answered by an absl::Status instead.
//
//   SEPTET_CHECK(begin <= end) << "in block " << block;
//   SEPTET_CHECK_EQ(x.rank(), 2);
//   SEPTET_DCHECK_LT(i, size());   // inner loops; off unless a test turns it
//   on
//
// A failed check prints file, line, the condition, both values where there are
// two, and the message to standard error, then calls abort().
//
// SEPTET_DCHECK costs one predictable branch where it is off. Tests switch it
// on at run time (core/base:dcheck_on), so that they run the very objects that
// programs run, and nothing is compiled twice.
#ifndef SEPTET_CORE_BASE_CHECK_H_
#define SEPTET_CORE_BASE_CHECK_H_

#include <memory>
#include <sstream>
#include <string>

namespace septet {
namespace base_internal {

// Collects the message; the destructor prints it and aborts.
class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition);
  CheckFailure(const char* file, int line, const std::string& condition);
  [[noreturn]] ~CheckFailure();

  std::ostream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

// Gives both arms of the conditional in SEPTET_CHECK the type void.
struct Voidify {
  void operator&(std::ostream&) const {}
};

// The text "a == b (3 vs. 4)" where the comparison fails, else null.
template <typename Compare, typename A, typename B>
std::unique_ptr<std::string> CompareFailure(Compare compare, const A& a,
                                            const B& b,
                                            const char* expression) {
  if (__builtin_expect(static_cast<bool>(compare(a, b)), true)) return nullptr;
  std::ostringstream text;
  text << expression << " (" << a << " vs. " << b << ")";
  return std::make_unique<std::string>(text.str());
}

extern bool dcheck_enabled;

}  // namespace base_internal

// True where SEPTET_DCHECK is evaluated.
inline bool DcheckEnabled() {
  return __builtin_expect(base_internal::dcheck_enabled, false);
}

}  // namespace septet

#define SEPTET_CHECK(condition)                                       \
  (__builtin_expect(static_cast<bool>(condition), true))              \
      ? (void)0                                                       \
      : ::septet::base_internal::Voidify() &                          \
            ::septet::base_internal::CheckFailure(__FILE__, __LINE__, \
                                                  #condition)         \
                .stream()

// `while` binds the message that follows, and runs at most once.
#define SEPTET_CHECK_OP_(op, a, b)                                            \
  while (auto septet_check_failure = ::septet::base_internal::CompareFailure( \
             [](const auto& x, const auto& y) { return x op y; }, (a), (b),   \
             #a " " #op " " #b))                                              \
  ::septet::base_internal::CheckFailure(__FILE__, __LINE__,                   \
                                        *septet_check_failure)                \
      .stream()

#define SEPTET_CHECK_EQ(a, b) SEPTET_CHECK_OP_(==, a, b)
#define SEPTET_CHECK_NE(a, b) SEPTET_CHECK_OP_(!=, a, b)
#define SEPTET_CHECK_LT(a, b) SEPTET_CHECK_OP_(<, a, b)
#define SEPTET_CHECK_LE(a, b) SEPTET_CHECK_OP_(<=, a, b)
#define SEPTET_CHECK_GT(a, b) SEPTET_CHECK_OP_(>, a, b)
#define SEPTET_CHECK_GE(a, b) SEPTET_CHECK_OP_(>=, a, b)

#define SEPTET_DCHECK(condition) \
  SEPTET_CHECK(!::septet::DcheckEnabled() || (condition))
#define SEPTET_DCHECK_EQ(a, b) \
  if (::septet::DcheckEnabled()) SEPTET_CHECK_EQ(a, b)
#define SEPTET_DCHECK_LT(a, b) \
  if (::septet::DcheckEnabled()) SEPTET_CHECK_LT(a, b)
#define SEPTET_DCHECK_LE(a, b) \
  if (::septet::DcheckEnabled()) SEPTET_CHECK_LE(a, b)

#endif  // SEPTET_CORE_BASE_CHECK_H_
