// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "septet/core/base/status_macros.h"
#include "septet/core/base/system_call.h"

namespace septet {
namespace {

// Pieces are collected up to this size: a system call costs about as much as
// copying a few KiB, so nothing is gained beyond some tens of them.
constexpr size_t kBufferBytes = 64 << 10;

// What one read() or write() is asked for at most; Linux stops at 2 GiB.
constexpr size_t kMaxTransferBytes = 1 << 30;

absl::Status CheckPath(absl::string_view path) {
  if (path.empty()) {
    return absl::InvalidArgumentError("the path of a file is empty");
  }
  if (path.find('\0') != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("the path ", path.substr(0, path.find('\0')),
                     "\\0... has a zero byte in it"));
  }
  return absl::OkStatus();
}

// A descriptor that is closed at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

int OpenForReading(const std::string& path, int flags = 0) {
  return RetrySystemCall(
      [&] { return open(path.c_str(), O_RDONLY | O_CLOEXEC | flags); });
}

// The directory that holds `path`, and the last component.
std::pair<std::string, std::string> SplitPath(absl::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == absl::string_view::npos) return {".", std::string(path)};
  return {std::string(path.substr(0, std::max<size_t>(slash, 1))),
          std::string(path.substr(slash + 1))};
}

// Whether AtomicFile makes such names: ".<name>.tmp.<process>.<number>".
bool IsTemporaryName(absl::string_view name) {
  if (name.empty() || name[0] != '.') return false;
  for (int i = 0; i < 2; ++i) {
    const size_t dot = name.rfind('.');
    const absl::string_view number = name.substr(dot + 1);
    if (dot == 0 || number.empty() ||
        number.find_first_not_of("0123456789") != absl::string_view::npos) {
      return false;
    }
    name = name.substr(0, dot);
  }
  return name.size() > 5 && name.substr(name.size() - 4) == ".tmp";
}

}  // namespace

absl::StatusOr<std::string> ReadFileToString(absl::string_view path) {
  SEPTET_RETURN_IF_ERROR(CheckPath(path));
  const std::string name(path);
  const Descriptor file(OpenForReading(name));
  if (file.get() < 0) return SystemCallError(errno, "open", name);
  struct stat info;
  if (fstat(file.get(), &info) != 0)
    return SystemCallError(errno, "stat", name);
  std::string content;
  size_t size = 0;
  // One byte more than the file is said to hold, so that its end is seen
  // without growing; files of /proc say 0.
  content.resize(std::max<size_t>(static_cast<size_t>(info.st_size) + 1, 4096));
  while (true) {
    const size_t room = std::min(content.size() - size, kMaxTransferBytes);
    const ssize_t count =
        RetrySystemCall([&] { return read(file.get(), &content[size], room); });
    if (count < 0) return SystemCallError(errno, "read", name);
    if (count == 0) break;
    size += static_cast<size_t>(count);
    if (size == content.size()) content.resize(2 * size);
  }
  content.resize(size);
  return content;
}

absl::Status MakeDirectories(absl::string_view path) {
  SEPTET_RETURN_IF_ERROR(CheckPath(path));
  size_t end = 0;
  while (end < path.size()) {
    end = path.find('/', end + 1);
    if (end == absl::string_view::npos) end = path.size();
    const std::string prefix(path.substr(0, end));
    if (mkdir(prefix.c_str(), 0777) == 0) continue;
    const int error = errno;
    // Whatever mkdir says (EEXIST, but also EROFS or EACCES of a directory
    // that is there), a directory is what was asked for.
    struct stat info;
    if (stat(prefix.c_str(), &info) == 0) {
      if (S_ISDIR(info.st_mode)) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("make directory ", path, ": ", prefix,
                       " is there and is not a directory"));
    }
    return SystemCallError(error, "make directory", prefix);
  }
  return absl::OkStatus();
}

std::string ResolveUserPath(absl::string_view path) {
  const char* base = std::getenv("BUILD_WORKING_DIRECTORY");
  if (path.empty() || path[0] == '/' || base == nullptr || *base == '\0') {
    return std::string(path);
  }
  const absl::string_view directory(base);
  return absl::StrCat(directory, directory.back() == '/' ? "" : "/", path);
}

AtomicFile::AtomicFile(std::string path, std::string temporary, int fd)
    : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, std::string())),
      fd_(std::exchange(other.fd_, -1)),
      buffer_(std::move(other.buffer_)),
      status_(std::move(other.status_)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this == &other) return *this;
  Discard();
  path_ = std::move(other.path_);
  temporary_ = std::exchange(other.temporary_, std::string());
  fd_ = std::exchange(other.fd_, -1);
  buffer_ = std::move(other.buffer_);
  status_ = std::move(other.status_);
  return *this;
}

AtomicFile::~AtomicFile() { Discard(); }

void AtomicFile::Discard() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
  if (!temporary_.empty()) unlink(temporary_.c_str());
  temporary_.clear();
}

absl::StatusOr<AtomicFile> AtomicFile::Create(absl::string_view path) {
  SEPTET_RETURN_IF_ERROR(CheckPath(path));
  const std::string name(path);
  const auto [directory, base] = SplitPath(path);
  struct stat info;
  if (base.empty() || base == "." || base == ".." ||
      (stat(name.c_str(), &info) == 0 && S_ISDIR(info.st_mode))) {
    return absl::FailedPreconditionError(
        absl::StrCat("write ", name, ": is a directory, want a file"));
  }
  // The name of the temporary file is kept within the 255 bytes that file
  // systems allow, whatever the length of the file's own.
  const std::string stem = absl::StrCat(directory, "/.", base.substr(0, 200),
                                        ".tmp.", getpid(), ".");
  static std::atomic<uint64_t> number{0};
  while (true) {
    std::string temporary = absl::StrCat(stem, number.fetch_add(1));
    const int fd = RetrySystemCall([&] {
      return open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                  0666);
    });
    if (fd >= 0) return AtomicFile(name, std::move(temporary), fd);
    // Left behind by a killed process that had our number: take another name.
    if (errno != EEXIST) return SystemCallError(errno, "create", name);
  }
}

void AtomicFile::Write(absl::string_view data) {
  while (!data.empty() && status_.ok()) {
    const size_t size = std::min(data.size(), kMaxTransferBytes);
    const ssize_t count =
        RetrySystemCall([&] { return write(fd_, data.data(), size); });
    if (count < 0) {
      status_ = SystemCallError(errno, "write", path_);
    } else {
      data.remove_prefix(static_cast<size_t>(count));
    }
  }
}

absl::Status AtomicFile::Append(absl::string_view data) {
  if (!status_.ok()) return status_;
  if (buffer_.size() + data.size() < kBufferBytes) {
    buffer_.append(data.data(), data.size());
    return absl::OkStatus();
  }
  Write(buffer_);
  buffer_.clear();
  Write(data);
  return status_;
}

absl::Status AtomicFile::Commit() {
  if (status_.ok()) Write(buffer_);
  buffer_.clear();
  if (!status_.ok()) {
    const absl::Status status = status_;
    Discard();
    return status;
  }
  status_ = absl::FailedPreconditionError(
      absl::StrCat("write ", path_, ": Commit has been called before"));
  if (RetrySystemCall([&] { return fsync(fd_); }) != 0) {
    const absl::Status status = SystemCallError(errno, "flush", path_);
    Discard();
    return status;
  }
  // Network file systems report some failed writes here. After EINTR the
  // descriptor is closed on Linux.
  if (close(std::exchange(fd_, -1)) != 0 && errno != EINTR) {
    const absl::Status status = SystemCallError(errno, "close", path_);
    Discard();
    return status;
  }
  if (rename(temporary_.c_str(), path_.c_str()) != 0) {
    const absl::Status status = SystemCallError(errno, "rename to", path_);
    Discard();
    return status;
  }
  temporary_.clear();
  const std::string directory = SplitPath(path_).first;
  const Descriptor handle(OpenForReading(directory, O_DIRECTORY));
  if (handle.get() < 0)
    return SystemCallError(errno, "open directory", directory);
  // Some file systems have no fsync for directories and say EINVAL.
  if (RetrySystemCall([&] { return fsync(handle.get()); }) != 0 &&
      errno != EINVAL) {
    return SystemCallError(errno, "flush directory", directory);
  }
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(absl::string_view path,
                                 absl::string_view contents) {
  SEPTET_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  SEPTET_RETURN_IF_ERROR(file.Append(contents));
  return file.Commit();
}

absl::Status RemoveTemporaryFiles(absl::string_view directory) {
  SEPTET_RETURN_IF_ERROR(CheckPath(directory));
  const std::string name(directory);
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(name.c_str()),
                                                   &closedir);
  if (folder == nullptr) {
    if (errno == ENOENT) return absl::OkStatus();
    return SystemCallError(errno, "open directory", name);
  }
  while (true) {
    errno = 0;
    const dirent* entry = readdir(folder.get());
    if (entry == nullptr) break;
    if (!IsTemporaryName(entry->d_name)) continue;
    const std::string path = absl::StrCat(name, "/", entry->d_name);
    if (unlink(path.c_str()) != 0 && errno != ENOENT) {
      return SystemCallError(errno, "remove", path);
    }
  }
  if (errno != 0) return SystemCallError(errno, "read directory", name);
  return absl::OkStatus();
}

absl::StatusOr<MappedFile> MappedFile::Open(absl::string_view path) {
  SEPTET_RETURN_IF_ERROR(CheckPath(path));
  const std::string name(path);
  // Without O_NONBLOCK a named pipe would wait for its writer.
  const Descriptor file(OpenForReading(name, O_NONBLOCK));
  if (file.get() < 0) return SystemCallError(errno, "open", name);
  struct stat info;
  if (fstat(file.get(), &info) != 0)
    return SystemCallError(errno, "stat", name);
  if (!S_ISREG(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat("map ", name, ": is ",
                     S_ISDIR(info.st_mode) ? "a directory" : "a special file",
                     ", want a regular file"));
  }
  const auto size = static_cast<size_t>(info.st_size);
  if (size == 0) return MappedFile(name, nullptr, 0);
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) return SystemCallError(errno, "map", name);
  return MappedFile(name, static_cast<const char*>(data), size);
}

void MappedFile::Unmap() {
  if (data_ != nullptr) munmap(const_cast<char*>(data_), size_);
  data_ = nullptr;
  size_ = 0;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this == &other) return *this;
  Unmap();
  path_ = std::move(other.path_);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

MappedFile::~MappedFile() { Unmap(); }

}  // namespace septet
