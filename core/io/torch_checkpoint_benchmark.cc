// SPDX-License-Identifier: Apache-2.0
// 100 MB of f32 in the page cache as .npy, .npz and .pt: opened, and opened and
// copied into memory that is there already, against read() of as many bytes.
#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "benchmark/benchmark.h"
#include "septet/core/base/check.h"
#include "septet/core/base/file.h"
#include "septet/core/io/npy.h"
#include "septet/core/io/torch_checkpoint.h"
#include "septet/core/io/zip_impl.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

constexpr int kTensors = 25;
constexpr int64_t kElements = 1'000'000;  // f32: 4 MB
constexpr int64_t kBytes = kTensors * kElements * 4;

std::string LittleEndian(uint64_t value, int bytes) {
  return std::string(reinterpret_cast<const char*>(&value), bytes);
}

// {"0": tensor, "1": tensor, ...}, as torch.save writes it; `keys` are those of
// the storages.
std::string Pickle() {
  const auto text = [](absl::string_view value) {
    return absl::StrCat("X", LittleEndian(value.size(), 4), value);
  };
  std::string pickle = "\x80\2}(";
  for (int i = 0; i < kTensors; ++i) {
    const std::string count = absl::StrCat("J", LittleEndian(kElements, 4));
    absl::StrAppend(&pickle, text(absl::StrCat(i)),
                    "ctorch._utils\n_rebuild_tensor_v2\n((", text("storage"),
                    "ctorch\nFloatStorage\n", text(absl::StrCat(i)),
                    text("cpu"), count, "tQK", absl::string_view("\0", 1),
                    count, "\x85K\1\x85\x89NtR");
  }
  return pickle + "u.";
}

// The files, written once and removed at the end.
class Files {
 public:
  Files() {
    const char* folder = std::getenv("TEST_TMPDIR");
    stem_ = absl::StrCat(folder == nullptr ? "/tmp" : folder,
                         "/septet_torch_checkpoint_benchmark_", getpid());
    values_ = Tensor::Empty({kTensors, kElements}, DType::kF32).value();
    for (int64_t i = 0; i < kTensors * kElements; ++i) {
      values_.mutable_data<float>()[i] = static_cast<float>(i);
    }
    SEPTET_CHECK(WriteNpy(npy(), values_).ok());
    std::map<std::string, Tensor> parts;
    for (int i = 0; i < kTensors; ++i) {
      parts[absl::StrCat(i)] =
          values_.Slice(0, i, i + 1).value().Reshape({kElements}).value();
    }
    SEPTET_CHECK(WriteNpz(npz(), parts).ok());

    AtomicFile zip = AtomicFile::Create(zip_pt()).value();
    io_internal::ZipWriter writer(
        [&zip](absl::string_view piece) { return zip.Append(piece); });
    io_internal::ZipWriteOptions aligned;
    aligned.alignment = 64;
    SEPTET_CHECK(writer.Add("m/data.pkl", {Pickle()}, aligned).ok());
    AtomicFile legacy = AtomicFile::Create(legacy_pt()).value();
    std::string head =
        "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
        "\x80\2M\xe9\x03.\x80\2}.";
    absl::StrAppend(&head, Pickle(), "\x80\2](");
    for (int i = 0; i < kTensors; ++i) {
      const std::string key = absl::StrCat(i);
      absl::StrAppend(&head, "X", LittleEndian(key.size(), 4), key);
    }
    SEPTET_CHECK(legacy.Append(head + "e.").ok());
    for (const auto& part : parts) {
      const absl::string_view bytes(
          static_cast<const char*>(part.second.raw_data()), kElements * 4);
      SEPTET_CHECK(
          writer.Add(absl::StrCat("m/data/", part.first), {bytes}, aligned)
              .ok());
    }
    for (int i = 0; i < kTensors; ++i) {
      const absl::string_view bytes(
          static_cast<const char*>(parts[absl::StrCat(i)].raw_data()),
          kElements * 4);
      SEPTET_CHECK(legacy.Append(LittleEndian(kElements, 8)).ok());
      SEPTET_CHECK(legacy.Append(bytes).ok());
    }
    SEPTET_CHECK(writer.Finish().ok());
    SEPTET_CHECK(zip.Commit().ok());
    SEPTET_CHECK(legacy.Commit().ok());

    SEPTET_CHECK(std::memcmp(ReadNpy(npy())->raw_data(), values_.raw_data(),
                             kBytes) == 0);
    for (const auto& read : {ReadNpz(npz()), ReadTorchCheckpoint(zip_pt()),
                             ReadTorchCheckpoint(legacy_pt())}) {
      SEPTET_CHECK(read.ok()) << read.status();
      SEPTET_CHECK_EQ(read->size(), parts.size());
      for (const auto& [name, part] : parts) {
        SEPTET_CHECK(std::memcmp(read->at(name).raw_data(), part.raw_data(),
                                 kElements * 4) == 0);
      }
    }
  }

  ~Files() {
    for (const std::string& path : {npy(), npz(), zip_pt(), legacy_pt()}) {
      unlink(path.c_str());
    }
  }

  std::string npy() const { return stem_ + ".npy"; }
  std::string npz() const { return stem_ + ".npz"; }
  std::string zip_pt() const { return stem_ + "_zip.pt"; }
  std::string legacy_pt() const { return stem_ + "_legacy.pt"; }

 private:
  std::string stem_;
  Tensor values_;
};

const Files& TheFiles() {
  static const Files files;
  return files;
}

void CountBytes(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * kBytes);
}

void Touch(const Tensor& tensor) {
  benchmark::DoNotOptimize(tensor.raw_data());
}

// Copies into memory that is there already.
void Copy(const Tensor& target, const Tensor& tensor) {
  std::memcpy(target.raw_mutable_data(), tensor.raw_data(),
              tensor.num_elements() * 4);
  benchmark::ClobberMemory();
}

void BM_OpenNpy(benchmark::State& state) {
  TheFiles();
  for (auto _ : state) Touch(ReadNpy(TheFiles().npy()).value());
}
BENCHMARK(BM_OpenNpy)->Unit(benchmark::kMicrosecond);

void BM_OpenTorchZip(benchmark::State& state) {
  TheFiles();
  for (auto _ : state) {
    const auto tensors = ReadTorchCheckpoint(TheFiles().zip_pt()).value();
    for (const auto& item : tensors) {
      Touch(item.second);
    }
  }
}
BENCHMARK(BM_OpenTorchZip)->Unit(benchmark::kMicrosecond);

void BM_ReadNpy(benchmark::State& state) {
  const Tensor target =
      Tensor::Zeros({kTensors, kElements}, DType::kF32).value();
  TheFiles();
  for (auto _ : state) Copy(target, ReadNpy(TheFiles().npy()).value());
  CountBytes(state);
}
BENCHMARK(BM_ReadNpy)->Unit(benchmark::kMillisecond);

// With checksums.
void BM_ReadNpz(benchmark::State& state) {
  const Tensor target = Tensor::Zeros({kElements}, DType::kF32).value();
  TheFiles();
  for (auto _ : state) {
    const auto tensors = ReadNpz(TheFiles().npz()).value();
    for (const auto& item : tensors) {
      Copy(target, item.second);
    }
  }
  CountBytes(state);
}
BENCHMARK(BM_ReadNpz)->Unit(benchmark::kMillisecond);

void BM_ReadTorchZip(benchmark::State& state) {
  const Tensor target =
      Tensor::Zeros({kTensors, kElements}, DType::kF32).value();
  TheFiles();
  for (auto _ : state) {
    int64_t i = 0;
    const auto tensors = ReadTorchCheckpoint(TheFiles().zip_pt()).value();
    for (const auto& item : tensors) {
      Copy(target.Slice(0, i, i + 1).value(), item.second);
      ++i;
    }
  }
  CountBytes(state);
}
BENCHMARK(BM_ReadTorchZip)->Unit(benchmark::kMillisecond);

// Misaligned in the file, and so copied by the reader.
void BM_ReadTorchLegacy(benchmark::State& state) {
  TheFiles();
  for (auto _ : state) {
    const auto tensors = ReadTorchCheckpoint(TheFiles().legacy_pt()).value();
    for (const auto& item : tensors) {
      Touch(item.second);
    }
  }
  CountBytes(state);
}
BENCHMARK(BM_ReadTorchLegacy)->Unit(benchmark::kMillisecond);

// The peer: read() out of the page cache into memory that is there already.
void BM_ReadCall(benchmark::State& state) {
  const Tensor target =
      Tensor::Zeros({kTensors, kElements}, DType::kF32).value();
  TheFiles();
  for (auto _ : state) {
    const int fd = open(TheFiles().npy().c_str(), O_RDONLY);
    SEPTET_CHECK(fd >= 0);
    auto* bytes = static_cast<char*>(target.raw_mutable_data());
    int64_t done = 0;
    while (done < kBytes) {
      const ssize_t count = read(fd, bytes + done, kBytes - done);
      SEPTET_CHECK(count > 0);
      done += count;
    }
    close(fd);
    benchmark::ClobberMemory();
  }
  CountBytes(state);
}
BENCHMARK(BM_ReadCall)->Unit(benchmark::kMillisecond);

// The same from a mapping that is made for it.
void BM_CopyFromMapping(benchmark::State& state) {
  const Tensor target =
      Tensor::Zeros({kTensors, kElements}, DType::kF32).value();
  TheFiles();
  for (auto _ : state) {
    const MappedFile file = MappedFile::Open(TheFiles().npy()).value();
    std::memcpy(target.raw_mutable_data(),
                file.data().data() + (file.size() - kBytes), kBytes);
    benchmark::ClobberMemory();
  }
  CountBytes(state);
}
BENCHMARK(BM_CopyFromMapping)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace septet
