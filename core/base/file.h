// SPDX-License-Identifier: Apache-2.0
// Files: read whole, mapped, and written so that a reader never sees half.
//
//   SEPTET_ASSIGN_OR_RETURN(std::string text, ReadFileToString(path));
//
//   SEPTET_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
//   SEPTET_RETURN_IF_ERROR(file.Append(header));
//   SEPTET_RETURN_IF_ERROR(file.Append(body));
//   SEPTET_RETURN_IF_ERROR(file.Commit());    // only now `path` changes
//
//   SEPTET_ASSIGN_OR_RETURN(MappedFile weights, MappedFile::Open(path));
//   Parse(weights.data());
//
// Errors name the operation, the path and the system's reason: "open
// /tmp/x/a.bin: No such file or directory". Codes: NotFound (no such file or
// directory), PermissionDenied, ResourceExhausted (disk, quota, size limit,
// descriptors), FailedPrecondition (a directory where a file is needed, or the
// other way round), InvalidArgument (empty or unusable path), else what
// absl::ErrnoToStatusCode makes of errno.
//
// Interrupted and partial system calls are continued. Paths are relative to
// the working directory of the process; see ResolveUserPath for those that a
// user typed. POSIX only.
#ifndef SEPTET_CORE_BASE_FILE_H_
#define SEPTET_CORE_BASE_FILE_H_

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace septet {

// The whole content of the file at `path`. Works on pipes and on files of
// /proc, whose size is not known before.
absl::StatusOr<std::string> ReadFileToString(absl::string_view path);

// Makes the directory `path` and those above it that are missing; existing
// ones, and links to directories, are left alone. FailedPrecondition where
// something else is in the way. Safe to call from several processes at once.
absl::Status MakeDirectories(absl::string_view path);

// `path` as the user meant it: relative paths are relative to
// $BUILD_WORKING_DIRECTORY, which `bazel run` sets to the directory it was
// called from. Absolute and empty paths, and all paths where the variable is
// unset or empty, are returned as they are. The file system is not asked.
std::string ResolveUserPath(absl::string_view path);

// A file that appears under its name complete or not at all.
//
// The bytes go to a temporary file in the same directory
// (".<name>.tmp.<process>.<number>"). Commit flushes it to the disk, renames
// it over `path` and flushes the directory. A file that was at `path` stays
// untouched until then, and for good if Commit fails or is not called; then
// the temporary file is removed. A process that is killed leaves the temporary
// file behind. The new file has the usual permissions (0666 less the umask); a
// symbolic link at `path` is replaced, not followed.
//
// One thread at a time. Movable; a moved-from object may only be destroyed or
// assigned to.
class AtomicFile {
 public:
  // Starts to write. Errors: NotFound if the directory does not exist (see
  // MakeDirectories), FailedPrecondition if `path` is a directory, and those
  // above.
  static absl::StatusOr<AtomicFile> Create(absl::string_view path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile();

  // Adds `data` at the end; small pieces are collected. After an error, which
  // may belong to an earlier piece, every further call returns that error.
  absl::Status Append(absl::string_view data);

  // Puts the file in its place; on disk when this returns OK. At most once;
  // Append and Commit after it are FailedPrecondition. On an error the file at
  // `path` is as before, but for one case: if only flushing the directory
  // fails, the new file is there, and may be gone after a power failure.
  absl::Status Commit();

  // The name that the file gets.
  const std::string& path() const { return path_; }

 private:
  AtomicFile(std::string path, std::string temporary, int fd);

  // Writes all of `data`; remembers an error in status_.
  void Write(absl::string_view data);
  // Closes and removes what Commit has not put in its place.
  void Discard();

  std::string path_;
  std::string temporary_;  // Empty when there is nothing to remove.
  int fd_ = -1;
  std::string buffer_;
  absl::Status status_;  // The first error, or that Commit has been called.
};

// Writes a file with the given contents; see AtomicFile.
absl::Status WriteFileAtomically(absl::string_view path,
                                 absl::string_view contents);

// Removes the temporary files in `directory` that AtomicFile has left there
// when a process was killed. Nobody may be writing files there at the time:
// those under way would be removed, too. A directory that is not there is OK.
absl::Status RemoveTemporaryFiles(absl::string_view directory);

// A file in memory, read only, without a copy. Movable; data() of the object
// moved to is the same memory.
//
// Another process that truncates the file under us turns a read behind its new
// end into SIGBUS; AtomicFile replaces files, and so cannot.
class MappedFile {
 public:
  // Maps the regular file at `path`; an empty one gives empty data().
  // FailedPrecondition if it is not a regular file.
  static absl::StatusOr<MappedFile> Open(absl::string_view path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  // The bytes, page-aligned, valid as long as this object or the one it was
  // moved to.
  absl::string_view data() const { return {data_, size_}; }
  size_t size() const { return size_; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, const char* data, size_t size)
      : path_(std::move(path)), data_(data), size_(size) {}

  void Unmap();

  std::string path_;
  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace septet

#endif  // SEPTET_CORE_BASE_FILE_H_
