// SPDX-License-Identifier: Apache-2.0
#include "septet/core/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A directory of its own for each test.
class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = absl::StrCat(::testing::TempDir(), "/file_test_", getpid(),
                              "/", info->name());
    SEPTET_ASSERT_OK(MakeDirectories(directory_));
  }

  std::string Path(absl::string_view name) const {
    return absl::StrCat(directory_, "/", name);
  }

  // What is in the directory, sorted.
  std::vector<std::string> List() const {
    std::vector<std::string> names;
    DIR* directory = opendir(directory_.c_str());
    while (const dirent* entry = readdir(directory)) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(name);
    }
    closedir(directory);
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string directory_;
};

TEST_F(FileTest, WritesAndReads) {
  const std::string binary("a\0b\xff\n", 5);
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("a"), binary));
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text,
                              ReadFileToString(Path("a")));
  EXPECT_EQ(text, binary);
  EXPECT_THAT(List(), ElementsAre("a"));
}

TEST_F(FileTest, ReadsEverySizeAroundItsBuffers) {
  for (const size_t size : {0, 1, 4094, 4095, 4096, 4097, 8192, 300000}) {
    const std::string content(size, 'x');
    SEPTET_ASSERT_OK(WriteFileAtomically(Path("a"), content));
    SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text,
                                ReadFileToString(Path("a")));
    ASSERT_EQ(text, content);
  }
}

TEST_F(FileTest, ReadsFilesWithoutASize) {
  SEPTET_ASSERT_OK_AND_ASSIGN(const std::string text,
                              ReadFileToString("/proc/self/status"));
  EXPECT_THAT(text, HasSubstr("Pid:"));
}

TEST_F(FileTest, ReadErrorsNamePathAndReason) {
  EXPECT_THAT(ReadFileToString(Path("gone")),
              StatusIs(absl::StatusCode::kNotFound,
                       Eq(absl::StrCat("open ", Path("gone"),
                                       ": No such file or directory"))));
  EXPECT_THAT(
      ReadFileToString(directory_),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               Eq(absl::StrCat("read ", directory_, ": Is a directory"))));
  EXPECT_THAT(ReadFileToString(""),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("the path of a file is empty")));
  EXPECT_THAT(ReadFileToString(absl::string_view("a\0b", 3)),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("the path a\\0... has a zero byte")));
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("file"), "x"));
  EXPECT_THAT(ReadFileToString(Path("file/below")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("Not a directory")));
}

TEST_F(FileTest, NothingChangesBeforeCommit) {
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("a"), "old"));
  SEPTET_ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Create(Path("a")));
  EXPECT_EQ(file.path(), Path("a"));
  SEPTET_ASSERT_OK(file.Append("new"));
  SEPTET_ASSERT_OK(file.Append(std::string(200000, 'x')));
  EXPECT_THAT(ReadFileToString(Path("a")).value(), Eq("old"));
  SEPTET_ASSERT_OK(file.Append("er"));
  SEPTET_ASSERT_OK(file.Commit());
  EXPECT_EQ(ReadFileToString(Path("a")).value(),
            "new" + std::string(200000, 'x') + "er");
  EXPECT_THAT(List(), ElementsAre("a"));
  EXPECT_THAT(file.Commit(), StatusIs(absl::StatusCode::kFailedPrecondition,
                                      HasSubstr("has been called before")));
  EXPECT_THAT(
      file.Append("late"),
      StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(Path("a"))));
}

TEST_F(FileTest, WithoutCommitNothingStays) {
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("a"), "old"));
  {
    SEPTET_ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Create(Path("a")));
    SEPTET_ASSERT_OK(file.Append(std::string(100000, 'x')));
    EXPECT_EQ(List().size(), 2);
  }
  EXPECT_THAT(List(), ElementsAre("a"));
  EXPECT_EQ(ReadFileToString(Path("a")).value(), "old");
}

TEST_F(FileTest, MovedFilesRemoveTheirTemporaryOnce) {
  SEPTET_ASSERT_OK_AND_ASSIGN(AtomicFile a, AtomicFile::Create(Path("a")));
  SEPTET_ASSERT_OK_AND_ASSIGN(AtomicFile b, AtomicFile::Create(Path("b")));
  SEPTET_ASSERT_OK(b.Append("of b"));
  a = std::move(b);  // Gives up the file that was to become "a".
  EXPECT_EQ(List().size(), 1);
  AtomicFile c(std::move(a));
  SEPTET_ASSERT_OK(c.Commit());
  EXPECT_THAT(List(), ElementsAre("b"));
  EXPECT_EQ(ReadFileToString(Path("b")).value(), "of b");
}

TEST_F(FileTest, TwoWritersOfOneNameDoNotMix) {
  SEPTET_ASSERT_OK_AND_ASSIGN(AtomicFile a, AtomicFile::Create(Path("x")));
  SEPTET_ASSERT_OK_AND_ASSIGN(AtomicFile b, AtomicFile::Create(Path("x")));
  SEPTET_ASSERT_OK(a.Append("first"));
  SEPTET_ASSERT_OK(b.Append("second"));
  SEPTET_ASSERT_OK(b.Commit());
  SEPTET_ASSERT_OK(a.Commit());
  EXPECT_EQ(ReadFileToString(Path("x")).value(), "first");
}

TEST_F(FileTest, SkipsTemporaryFilesOfOthers) {
  // The next names that this process would take are there already.
  SEPTET_ASSERT_OK_AND_ASSIGN(AtomicFile probe, AtomicFile::Create(Path("x")));
  const std::string name = List().at(0);
  const size_t dot = name.rfind('.');
  const int number = std::stoi(name.substr(dot + 1));
  for (int i = 1; i <= 3; ++i) {
    const std::string taken =
        Path(absl::StrCat(name.substr(0, dot + 1), number + i));
    close(open(taken.c_str(), O_CREAT | O_WRONLY, 0666));
  }
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("x"), "content"));
  EXPECT_EQ(ReadFileToString(Path("x")).value(), "content");
}

TEST_F(FileTest, RemovesTemporaryFilesAndNoOthers) {
  {
    SEPTET_ASSERT_OK_AND_ASSIGN(AtomicFile file,
                                AtomicFile::Create(Path("under way")));
    ASSERT_EQ(List().size(), 1);
    SEPTET_ASSERT_OK(RemoveTemporaryFiles(directory_));
    EXPECT_THAT(List(), IsEmpty());
  }
  const std::vector<std::string> others = {".a.bin.tmp.12",
                                           ".a.bin.tmp.12.",
                                           ".a.bin.tmp.12.x",
                                           ".a.bin.tmp.x.12",
                                           ".a.bin.tmq.1.2",
                                           ".tmp.1.2",
                                           ".x",
                                           "a.bin.tmp.12.34",
                                           "keep"};
  for (const std::string& name : others) {
    SEPTET_ASSERT_OK(WriteFileAtomically(Path(name), name));
  }
  SEPTET_ASSERT_OK(WriteFileAtomically(Path(".a.bin.tmp.12.34"), "half"));
  SEPTET_ASSERT_OK(WriteFileAtomically(Path(".a.bin.tmp.7.0"), "half"));
  SEPTET_ASSERT_OK(RemoveTemporaryFiles(directory_));
  EXPECT_THAT(List(), ElementsAreArray(others));
  SEPTET_EXPECT_OK(RemoveTemporaryFiles(Path("not there")));
  EXPECT_THAT(RemoveTemporaryFiles(Path("keep")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("open directory " + Path("keep"))));
  EXPECT_THAT(RemoveTemporaryFiles(""),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("path of a file is empty")));
}

TEST_F(FileTest, RespectsTheUmask) {
  const mode_t before = umask(027);
  const absl::Status written = WriteFileAtomically(Path("a"), "x");
  umask(before);
  SEPTET_ASSERT_OK(written);
  struct stat info;
  ASSERT_EQ(stat(Path("a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

TEST_F(FileTest, LongNamesWork) {
  const std::string name(255, 'n');
  SEPTET_ASSERT_OK(WriteFileAtomically(Path(name), "x"));
  EXPECT_THAT(List(), ElementsAre(name));
  EXPECT_THAT(WriteFileAtomically(Path(name + "n"), "x"),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("File name too long")));
  EXPECT_THAT(List(), ElementsAre(name));
}

TEST_F(FileTest, RelativePathsAreOfTheWorkingDirectory) {
  char before[4096];
  ASSERT_NE(getcwd(before, sizeof(before)), nullptr);
  ASSERT_EQ(chdir(directory_.c_str()), 0);
  const absl::Status written = WriteFileAtomically("plain", "x");
  ASSERT_EQ(chdir(before), 0);
  SEPTET_ASSERT_OK(written);
  EXPECT_THAT(List(), ElementsAre("plain"));
}

TEST_F(FileTest, CreateErrors) {
  EXPECT_THAT(AtomicFile::Create(Path("no/such/file")),
              StatusIs(absl::StatusCode::kNotFound,
                       Eq(absl::StrCat("create ", Path("no/such/file"),
                                       ": No such file or directory"))));
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("file"), "x"));
  EXPECT_THAT(AtomicFile::Create(Path("file/below")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("Not a directory")));
  EXPECT_THAT(AtomicFile::Create(directory_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is a directory, want a file")));
  EXPECT_THAT(AtomicFile::Create(Path("new/")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is a directory, want a file")));
  EXPECT_THAT(AtomicFile::Create(""),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("the path of a file is empty")));
  EXPECT_THAT(List(), ElementsAre("file"));
}

TEST_F(FileTest, ADirectoryThatAppearsBeforeCommitIsAnError) {
  SEPTET_ASSERT_OK_AND_ASSIGN(AtomicFile file, AtomicFile::Create(Path("a")));
  SEPTET_ASSERT_OK(MakeDirectories(Path("a")));
  EXPECT_THAT(file.Commit(),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("rename to"), HasSubstr(Path("a")))));
  EXPECT_THAT(List(), ElementsAre("a"));
}

// Sets this thread's effective capabilities, returns what they were: without
// them root, too, is refused what the permissions of a file refuse.
std::array<uint32_t, 2> SetCapabilities(std::array<uint32_t, 2> effective) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  EXPECT_EQ(syscall(SYS_capget, &header, data), 0);
  const std::array<uint32_t, 2> before = {data[0].effective, data[1].effective};
  data[0].effective = effective[0];
  data[1].effective = effective[1];
  EXPECT_EQ(syscall(SYS_capset, &header, data), 0);
  return before;
}

TEST_F(FileTest, PermissionErrors) {
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("secret"), "x"));
  ASSERT_EQ(chmod(Path("secret").c_str(), 0), 0);
  ASSERT_EQ(chmod(directory_.c_str(), 0555), 0);
  const std::array<uint32_t, 2> before = SetCapabilities({0, 0});
  const absl::Status created = AtomicFile::Create(Path("a")).status();
  const absl::Status read = ReadFileToString(Path("secret")).status();
  const absl::Status mapped = MappedFile::Open(Path("secret")).status();
  const absl::Status made = MakeDirectories(Path("d"));
  SetCapabilities(before);
  ASSERT_EQ(chmod(directory_.c_str(), 0755), 0);
  for (const absl::Status& status : {created, read, mapped, made}) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kPermissionDenied,
                                 AllOf(HasSubstr(directory_),
                                       HasSubstr("Permission denied"))));
  }
}

// The limit on the size of a file stands for a full disk: write() stores a
// part of the bytes and then fails in just the same way.
TEST_F(FileTest, OutOfSpaceIsAnErrorAndLeavesTheOldFile) {
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("a"), "old"));
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit limit = before;
  limit.rlim_cur = 100000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  const absl::Status large =
      WriteFileAtomically(Path("a"), std::string(150000, 'x'));
  absl::Status first, second, commit;
  {
    absl::StatusOr<AtomicFile> file = AtomicFile::Create(Path("a"));
    if (file.ok()) {
      first = file->Append(std::string(200000, 'x'));
      second = file->Append("y");
      commit = file->Commit();
    }
  }
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  for (const absl::Status& status : {large, first, second, commit}) {
    EXPECT_THAT(
        status,
        StatusIs(absl::StatusCode::kResourceExhausted,
                 Eq(absl::StrCat("write ", Path("a"), ": File too large"))));
  }
  EXPECT_THAT(List(), ElementsAre("a"));
  EXPECT_EQ(ReadFileToString(Path("a")).value(), "old");
}

TEST_F(FileTest, MakesDirectories) {
  SEPTET_EXPECT_OK(MakeDirectories(Path("a/b//c/")));
  SEPTET_EXPECT_OK(MakeDirectories(Path("a/b/c")));
  SEPTET_EXPECT_OK(MakeDirectories("/"));
  SEPTET_EXPECT_OK(MakeDirectories("."));
  SEPTET_EXPECT_OK(WriteFileAtomically(Path("a/b/c/file"), "x"));
  ASSERT_EQ(symlink("a", Path("link").c_str()), 0);
  SEPTET_EXPECT_OK(MakeDirectories(Path("link/d")));
  EXPECT_THAT(MakeDirectories(Path("a/b/c/file")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("a/b/c/file is there and is not a dir")));
  EXPECT_THAT(MakeDirectories(Path("a/b/c/file/d/e")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("a/b/c/file is there and is not a dir")));
  EXPECT_THAT(MakeDirectories(""),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("empty")));
}

TEST_F(FileTest, MakesDirectoriesFromSeveralThreads) {
  std::vector<absl::Status> results(8);
  std::vector<std::thread> threads;
  for (absl::Status& result : results) {
    threads.emplace_back(
        [this, &result] { result = MakeDirectories(Path("p/q/r/s/t")); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& result : results) SEPTET_EXPECT_OK(result);
}

TEST_F(FileTest, MapsFiles) {
  const std::string content(10000, 'x');
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("a"), content));
  SEPTET_ASSERT_OK_AND_ASSIGN(MappedFile file, MappedFile::Open(Path("a")));
  EXPECT_EQ(file.path(), Path("a"));
  EXPECT_EQ(file.size(), 10000);
  EXPECT_EQ(file.data(), content);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file.data().data()) % 4096, 0);
  const char* data = file.data().data();
  MappedFile moved(std::move(file));
  EXPECT_EQ(moved.data().data(), data);

  // The bytes outlive the name.
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("a"), "new"));
  EXPECT_EQ(moved.data(), content);

  SEPTET_ASSERT_OK_AND_ASSIGN(MappedFile other, MappedFile::Open(Path("a")));
  other = std::move(moved);
  EXPECT_EQ(other.data(), content);
}

TEST_F(FileTest, MapsEmptyFiles) {
  SEPTET_ASSERT_OK(WriteFileAtomically(Path("empty"), ""));
  SEPTET_ASSERT_OK_AND_ASSIGN(MappedFile file, MappedFile::Open(Path("empty")));
  EXPECT_TRUE(file.data().empty());
}

TEST_F(FileTest, MapErrors) {
  EXPECT_THAT(MappedFile::Open(Path("gone")),
              StatusIs(absl::StatusCode::kNotFound,
                       Eq(absl::StrCat("open ", Path("gone"),
                                       ": No such file or directory"))));
  EXPECT_THAT(MappedFile::Open(directory_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is a directory, want a regular file")));
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0666), 0);
  EXPECT_THAT(MappedFile::Open(Path("pipe")),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is a special file, want a regular file")));
}

TEST(ResolveUserPathTest, UsesTheDirectoryOfTheCaller) {
  unsetenv("BUILD_WORKING_DIRECTORY");
  EXPECT_EQ(ResolveUserPath("a/b"), "a/b");
  setenv("BUILD_WORKING_DIRECTORY", "", 1);
  EXPECT_EQ(ResolveUserPath("a/b"), "a/b");
  setenv("BUILD_WORKING_DIRECTORY", "/home/user", 1);
  EXPECT_EQ(ResolveUserPath("a/b"), "/home/user/a/b");
  EXPECT_EQ(ResolveUserPath("/a/b"), "/a/b");
  EXPECT_THAT(ResolveUserPath(""), IsEmpty());
  setenv("BUILD_WORKING_DIRECTORY", "/", 1);
  EXPECT_EQ(ResolveUserPath("a"), "/a");
  unsetenv("BUILD_WORKING_DIRECTORY");
}

}  // namespace
}  // namespace septet
