// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/program_testutil.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"

extern char** environ;

namespace septet {
namespace {

std::string Variable(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

}  // namespace

std::string Runfile(absl::string_view path) {
  return absl::StrCat(Variable("TEST_SRCDIR", "."), "/",
                      Variable("TEST_WORKSPACE", "septet"), "/", path);
}

absl::StatusOr<ProgramResult> RunProgram(const std::vector<std::string>& argv) {
  if (argv.empty()) {
    return absl::InvalidArgumentError("expected a program, got nothing");
  }
  // Files, not pipes: a program that writes much to both cannot block.
  const std::string stem = absl::StrCat(Variable("TEST_TMPDIR", "/tmp"),
                                        "/program_testutil.", getpid());
  const std::string out = absl::StrCat(stem, ".out");
  const std::string err = absl::StrCat(stem, ".err");
  constexpr int kWrite = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), kWrite, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), kWrite, 0600);
  std::vector<char*> words;
  for (const std::string& word : argv) {
    words.push_back(const_cast<char*>(word.c_str()));
  }
  words.push_back(nullptr);
  pid_t pid = 0;
  const int error =
      posix_spawn(&pid, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) {
    return absl::ErrnoToStatus(error, absl::StrCat("cannot start ", argv[0]));
  }
  int state = 0;
  while (waitpid(pid, &state, 0) < 0) {
    if (errno != EINTR) {
      return absl::ErrnoToStatus(errno, absl::StrCat("waiting for ", argv[0]));
    }
  }
  ProgramResult result;
  result.exit_code =
      WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
  SEPTET_ASSIGN_OR_RETURN(result.out, ReadFileToString(out));
  SEPTET_ASSIGN_OR_RETURN(result.err, ReadFileToString(err));
  return result;
}

}  // namespace septet
