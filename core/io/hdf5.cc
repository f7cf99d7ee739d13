// SPDX-License-Identifier: Apache-2.0
#include "septet/core/io/hdf5.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/file.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/system_call.h"
#include "septet/core/io/hdf5_protocol_impl.h"
#include "septet/core/io/quote.h"
#include "septet/core/tensor/tensor.h"

extern char** environ;

namespace septet {
namespace {

using io_internal::AnswerParser;
using io_internal::DatasetFrame;
using io_internal::RequestFrame;
using io_internal::RowsFrame;

constexpr absl::string_view kSignature("\x89HDF\r\n\x1a\n", 8);

// What is read from the program at once: as much as its pipe holds.
constexpr size_t kPipeBytes = size_t{1} << 20;

// Longer waits make no difference to poll().
constexpr double kMaxIdleSeconds = 1e6;

// A descriptor that is closed at the end of its scope, or before.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    Close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  ~Descriptor() { Close(); }
  int get() const { return fd_; }
  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

// HDF5's signature stands at the start, or at 512, 1024, 2048, ... behind
// something of the user's.
bool HasSignature(absl::string_view file) {
  for (size_t place = 0; place < file.size();
       place = place == 0 ? 512 : 2 * place) {
    if (file.substr(place, kSignature.size()) == kSignature) return true;
  }
  return false;
}

absl::StatusOr<std::string> FindReader(const Hdf5Options& options) {
  if (!options.reader.empty()) return options.reader;
  constexpr absl::string_view kRunfile = "septet/core/io/hdf5_reader";
  std::vector<std::string> candidates;
  for (const char* variable : {"RUNFILES_DIR", "TEST_SRCDIR"}) {
    const char* const folder = std::getenv(variable);
    if (folder != nullptr && *folder != '\0') {
      candidates.push_back(absl::StrCat(folder, "/", kRunfile));
    }
  }
  char buffer[4096];
  const ssize_t size = readlink("/proc/self/exe", buffer, sizeof(buffer) - 1);
  if (size > 0) {
    const std::string self(buffer, static_cast<size_t>(size));
    candidates.push_back(absl::StrCat(self, ".runfiles/", kRunfile));
    candidates.push_back(
        absl::StrCat(self.substr(0, self.rfind('/') + 1), "hdf5_reader"));
  }
  for (const std::string& candidate : candidates) {
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the program hdf5_reader (//core/io:hdf5_reader), which "
                   "reads HDF5 files, is not there: looked for ",
                   absl::StrJoin(candidates, ", "),
                   "; Hdf5Options::reader may name another place"));
}

// The running program. It is killed, and its state collected, at the end.
class Reader {
 public:
  static absl::StatusOr<Reader> Start(const std::string& program,
                                      const std::string& path,
                                      const Hdf5Options& options) {
    Reader reader;
    int request[2], answer[2];
    // A socket, since only those can be written to without SIGPIPE.
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, request) != 0) {
      return absl::ErrnoToStatus(errno, "socketpair");
    }
    reader.request_ = Descriptor(request[0]);
    const Descriptor child_in(request[1]);
    if (pipe2(answer, O_CLOEXEC) != 0) {
      return absl::ErrnoToStatus(errno, "pipe");
    }
    reader.answer_ = Descriptor(answer[0]);
    const Descriptor child_out(answer[1]);
    // Fewer switches between the two; it works without.
    fcntl(answer[0], F_SETPIPE_SZ, kPipeBytes);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, child_in.get(), 0);
    posix_spawn_file_actions_adddup2(&actions, child_out.get(), 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    // A group of its own: a Ctrl-C is for us to answer. And signals as a
    // program expects them.
    posix_spawnattr_setpgroup(&attributes, 0);
    sigset_t signals;
    sigemptyset(&signals);
    posix_spawnattr_setsigmask(&attributes, &signals);
    for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGXCPU, SIGXFSZ}) {
      sigaddset(&signals, signal);
    }
    posix_spawnattr_setsigdefault(&attributes, &signals);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
                                              POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    const std::string words[] = {program, path,
                                 absl::StrCat(options.reader_memory_bytes),
                                 absl::StrCat(options.reader_cpu_seconds)};
    std::vector<char*> argv;
    for (const std::string& word : words) {
      argv.push_back(const_cast<char*>(word.c_str()));
    }
    argv.push_back(nullptr);
    const int error = posix_spawn(&reader.pid_, program.c_str(), &actions,
                                  &attributes, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) {
      reader.pid_ = -1;
      return absl::FailedPreconditionError(absl::StrCat(
          "cannot start the program ", program, ": ", std::strerror(error)));
    }
    return reader;
  }

  Reader(Reader&& other) noexcept
      : request_(std::move(other.request_)),
        answer_(std::move(other.answer_)),
        pid_(std::exchange(other.pid_, -1)) {}
  ~Reader() { Kill(); }

  // Sends the request and closes the way. What it does not read is not our
  // trouble: the answer, or how it ended, will say.
  void Send(absl::string_view request, int idle_milliseconds) {
    while (!request.empty()) {
      pollfd ready = {request_.get(), POLLOUT, 0};
      if (RetrySystemCall([&] { return poll(&ready, 1, idle_milliseconds); }) <=
          0)
        break;
      const ssize_t count = RetrySystemCall([&] {
        return send(request_.get(), request.data(), request.size(),
                    MSG_NOSIGNAL | MSG_DONTWAIT);
      });
      if (count < 0 && errno == EAGAIN) continue;
      if (count < 0) break;
      request.remove_prefix(static_cast<size_t>(count));
    }
    request_.Close();
  }

  // The next bytes of the answer; none at its end.
  absl::StatusOr<absl::string_view> Receive(int idle_milliseconds,
                                            std::string* buffer) {
    pollfd ready = {answer_.get(), POLLIN, 0};
    const int polled =
        RetrySystemCall([&] { return poll(&ready, 1, idle_milliseconds); });
    if (polled < 0) return absl::ErrnoToStatus(errno, "poll");
    if (polled == 0) {
      return absl::DataLossError(absl::StrCat(
          "the HDF5 reader sent nothing for ", idle_milliseconds / 1000.0,
          " s (Hdf5Options::reader_idle_seconds) and was stopped: "
          "the file is damaged"));
    }
    buffer->resize(kPipeBytes);
    const ssize_t count = RetrySystemCall(
        [&] { return read(answer_.get(), &(*buffer)[0], buffer->size()); });
    if (count < 0) return absl::ErrnoToStatus(errno, "read");
    return absl::string_view(buffer->data(), static_cast<size_t>(count));
  }

  // What became of it, which closed the answer before its end.
  absl::Status HowItEnded(const Hdf5Options& options, int idle_milliseconds) {
    answer_.Close();
    int state = 0;
    pid_t collected = 0;
    // It may have closed the answer and live on.
    for (int waited = 0; waited <= idle_milliseconds; ++waited) {
      collected =
          RetrySystemCall([&] { return waitpid(pid_, &state, WNOHANG); });
      if (collected != 0) break;
      poll(nullptr, 0, 1);
    }
    // Collected by us, or by someone who collects everything.
    if (collected != 0) pid_ = -1;
    if (collected > 0 && WIFSIGNALED(state)) {
      const int signal = WTERMSIG(state);
      if (signal == SIGXCPU) {
        return absl::DataLossError(absl::StrCat(
            "the HDF5 reader took more than ", options.reader_cpu_seconds,
            " s of processor time (Hdf5Options::reader_cpu_seconds): the file "
            "is damaged, or very large"));
      }
      return absl::DataLossError(
          absl::StrCat("the HDF5 reader crashed with signal ", signal, " (",
                       strsignal(signal), "): the file is damaged"));
    }
    return absl::DataLossError(
        absl::StrCat("the answer of the HDF5 reader ends too early",
                     collected > 0 && WIFEXITED(state)
                         ? absl::StrCat("; it exited with ", WEXITSTATUS(state))
                         : std::string()));
  }

 private:
  Reader() = default;

  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    RetrySystemCall([&] { return waitpid(pid_, nullptr, 0); });
    pid_ = -1;
  }

  Descriptor request_;
  Descriptor answer_;
  pid_t pid_ = -1;
};

absl::StatusOr<AnswerParser> AskFile(const std::string& path,
                                     RequestFrame request,
                                     const Hdf5Options& options) {
  SEPTET_RETURN_IF_ERROR(options.Validate());
  {
    // Also that it is a regular file, whose reading cannot wait for anyone.
    const absl::StatusOr<MappedFile> file = MappedFile::Open(path);
    if (!file.ok()) return file.status();
    if (!HasSignature(file->data())) {
      return absl::DataLossError(absl::StrCat(
          "not an HDF5 file: ", file->size() == 0 ? "it is empty" : "none of ",
          file->size() == 0 ? ""
                            : "the bytes 0, 512, 1024, ... begins HDF5's "
                              "signature"));
    }
  }
  SEPTET_ASSIGN_OR_RETURN(const std::string program, FindReader(options));
  request.max_bytes = options.max_bytes;
  request.max_datasets = options.max_datasets;
  SEPTET_ASSIGN_OR_RETURN(Reader reader, Reader::Start(program, path, options));
  const int idle_milliseconds = static_cast<int>(
      std::ceil(1000 * std::min(options.reader_idle_seconds, kMaxIdleSeconds)));
  reader.Send(EncodeRequest(request), idle_milliseconds);
  // Datasets are listed once, those asked for sent once, and there are texts.
  AnswerParser parser(options.max_bytes, 3 * options.max_datasets);
  std::string buffer;
  while (!parser.complete()) {
    SEPTET_ASSIGN_OR_RETURN(const absl::string_view bytes,
                            reader.Receive(idle_milliseconds, &buffer));
    if (bytes.empty()) return reader.HowItEnded(options, idle_milliseconds);
    SEPTET_RETURN_IF_ERROR(parser.Feed(bytes));
  }
  return parser;
}

absl::StatusOr<AnswerParser> Ask(absl::string_view path,
                                 const RequestFrame& request,
                                 const Hdf5Options& options) {
  absl::StatusOr<AnswerParser> answer =
      AskFile(std::string(path), request, options);
  if (answer.ok()) return answer;
  // What core/base/file.h says names the path already.
  if (answer.status().message().find(path) != absl::string_view::npos) {
    return answer.status();
  }
  return AnnotateStatus(answer.status(), path);
}

// The tensors of the answer, if they are those that were asked for.
absl::StatusOr<std::map<std::string, Tensor>> TakeTensors(
    absl::string_view path, const AnswerParser& answer,
    const std::map<std::string, const Hdf5Rows*>& wanted) {
  std::map<std::string, const DatasetFrame*> datasets;
  for (const DatasetFrame& dataset : answer.datasets()) {
    datasets.emplace(dataset.name, &dataset);
  }
  const auto garbage = [path](absl::string_view name) {
    return absl::DataLossError(
        absl::StrCat(path,
                     ": the answer of the HDF5 reader is garbage: the "
                     "tensor ",
                     QuoteName(name), " is not what was asked for"));
  };
  for (const auto& [name, rows] : wanted) {
    const auto found = answer.tensors().find(name);
    if (found == answer.tensors().end()) return garbage(name);
  }
  for (const auto& [name, tensor] : answer.tensors()) {
    const auto dataset = datasets.find(name);
    if (dataset == datasets.end()) return garbage(name);
    std::vector<int64_t> shape = dataset->second->shape;
    if (!wanted.empty()) {
      const auto rows = wanted.find(name);
      if (rows == wanted.end()) return garbage(name);
      if (!shape.empty()) {
        shape[0] = rows->second->count >= 0
                       ? rows->second->count
                       : std::max<int64_t>(shape[0] - rows->second->begin, 0);
      }
    }
    if (dataset->second->dtype != tensor.dtype() ||
        absl::MakeConstSpan(shape) != tensor.shape().dims()) {
      return garbage(name);
    }
  }
  return answer.tensors();
}

}  // namespace

absl::Status Hdf5Options::Validate() const {
  const std::pair<absl::string_view, double> limits[] = {
      {"max_bytes", static_cast<double>(max_bytes)},
      {"max_datasets", static_cast<double>(max_datasets)},
      {"reader_memory_bytes", static_cast<double>(reader_memory_bytes)},
      {"reader_cpu_seconds", static_cast<double>(reader_cpu_seconds)},
      {"reader_idle_seconds", reader_idle_seconds},
  };
  for (const auto& [name, value] : limits) {
    if (!(value > 0)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "Hdf5Options: ", name, " is ", value, ", expected more than 0"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Hdf5Dataset>> ListHdf5(absl::string_view path,
                                                  const Hdf5Options& options) {
  SEPTET_ASSIGN_OR_RETURN(const AnswerParser answer,
                          Ask(path, RequestFrame(), options));
  std::vector<Hdf5Dataset> datasets;
  for (const DatasetFrame& dataset : answer.datasets()) {
    datasets.push_back(
        {dataset.name, dataset.type, dataset.dtype, dataset.shape});
  }
  std::sort(datasets.begin(), datasets.end(),
            [](const Hdf5Dataset& a, const Hdf5Dataset& b) {
              return a.name < b.name;
            });
  return datasets;
}

absl::StatusOr<std::map<std::string, Tensor>> ReadHdf5(
    absl::string_view path, const Hdf5Options& options) {
  RequestFrame request;
  request.tensors = true;
  SEPTET_ASSIGN_OR_RETURN(const AnswerParser answer,
                          Ask(path, request, options));
  return TakeTensors(path, answer, {});
}

absl::StatusOr<std::map<std::string, Tensor>> ReadHdf5Rows(
    absl::string_view path, const std::vector<Hdf5Rows>& rows,
    const Hdf5Options& options) {
  if (rows.empty()) return std::map<std::string, Tensor>();
  RequestFrame request;
  request.tensors = true;
  std::map<std::string, const Hdf5Rows*> wanted;
  for (const Hdf5Rows& one : rows) {
    if (one.name.size() > io_internal::kMaxHdf5NameBytes || one.begin < 0 ||
        !wanted.emplace(one.name, &one).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ": dataset ", QuoteName(one.name),
          one.begin < 0
              ? absl::StrCat(": rows from ", one.begin, " on were asked for")
              : " was asked for twice, or its name is too long"));
    }
    request.rows.push_back(
        {one.name, one.begin, std::max<int64_t>(one.count, -1)});
  }
  SEPTET_ASSIGN_OR_RETURN(const AnswerParser answer,
                          Ask(path, request, options));
  return TakeTensors(path, answer, wanted);
}

absl::StatusOr<std::map<std::string, std::string>> ReadHdf5Texts(
    absl::string_view path, const Hdf5Options& options) {
  RequestFrame request;
  request.texts = true;
  SEPTET_ASSIGN_OR_RETURN(const AnswerParser answer,
                          Ask(path, request, options));
  return answer.texts();
}

}  // namespace septet
