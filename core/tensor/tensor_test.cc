// SPDX-License-Identifier: Apache-2.0
#include "septet/core/tensor/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/tensor/allocator.h"
#include "septet/core/tensor/device.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// 0, 1, 2, ... in row-major order.
Tensor Iota(const Shape& shape) {
  std::vector<int64_t> values(shape.num_elements());
  std::iota(values.begin(), values.end(), 0);
  return Tensor::FromValues<int64_t>(shape, values).value();
}

TEST(TensorTest, UndefinedByDefault) {
  const Tensor tensor{};
  EXPECT_FALSE(tensor.defined());
  EXPECT_FALSE(tensor.has_storage());
  EXPECT_FALSE(tensor.IsUnique());
  EXPECT_EQ(tensor.DebugString(), "undefined tensor");
  EXPECT_EQ(sizeof(Tensor), 160u) << "as the header says";
}

TEST(TensorTest, TheExampleOfTheHeader) {
  absl::StatusOr<Tensor> x =
      Tensor::FromValues<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  SEPTET_ASSERT_OK(x);
  absl::StatusOr<Tensor> column = x->Slice(/*axis=*/1, 0, 1);
  SEPTET_ASSERT_OK(column);
  EXPECT_EQ(column->shape(), Shape({2, 1}));
  EXPECT_TRUE(column->SharesStorageWith(*x));
  float* data = x->mutable_data<float>();
  data[3] = 7;
  EXPECT_THAT(column->ToVector<float>(), ElementsAre(1, 7));
}

TEST(TensorTest, EmptyZerosFullScalar) {
  for (DType dtype : kAllDTypes) {
    SEPTET_ASSERT_OK_AND_ASSIGN(Tensor empty, Tensor::Empty({3, 5}, dtype));
    EXPECT_EQ(empty.dtype(), dtype);
    EXPECT_EQ(empty.shape(), Shape({3, 5}));
    EXPECT_THAT(empty.strides(), ElementsAre(5, 1));
    EXPECT_TRUE(empty.IsContiguous());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(empty.raw_data()) % kTensorAlignment,
              0u);
    SEPTET_ASSERT_OK_AND_ASSIGN(Tensor zeros, Tensor::Zeros({3, 5}, dtype));
    EXPECT_EQ(zeros.ToVector<double>(), std::vector<double>(15, 0.0));
    SEPTET_ASSERT_OK_AND_ASSIGN(Tensor ones, Tensor::Full({2, 2}, 1.0, dtype));
    EXPECT_EQ(ones.ToVector<double>(), std::vector<double>(4, 1.0));
    SEPTET_ASSERT_OK_AND_ASSIGN(Tensor scalar, Tensor::Scalar(1.0, dtype));
    EXPECT_EQ(scalar.rank(), 0);
    EXPECT_EQ(scalar.item<double>(), 1.0);
    SEPTET_ASSERT_OK_AND_ASSIGN(Tensor none, Tensor::Zeros({3, 0}, dtype));
    EXPECT_EQ(none.num_elements(), 0);
    EXPECT_THAT(none.ToVector<double>(), ElementsAre());
  }
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor saturated,
                              Tensor::Full({1}, 300.0, DType::kU8));
  EXPECT_EQ(saturated.item<int32_t>(), 255);
}

TEST(TensorTest, FromValues) {
  SEPTET_ASSERT_OK_AND_ASSIGN(
      Tensor flags, Tensor::FromValues<bool>({3}, {true, false, true}));
  EXPECT_THAT(flags.ToVector<int32_t>(), ElementsAre(1, 0, 1));
  SEPTET_ASSERT_OK_AND_ASSIGN(
      Tensor halves,
      Tensor::FromValues<BFloat16>({2}, {BFloat16(1.5f), BFloat16(-2.0f)}));
  EXPECT_THAT(halves.ToVector<float>(), ElementsAre(1.5f, -2.0f));
  EXPECT_THAT(
      Tensor::FromValues<float>({2, 2}, {1, 2, 3}),
      StatusIs(kInvalid, AllOf(HasSubstr("[2, 2]"), HasSubstr("4 elements"),
                               HasSubstr("3 values"))));
}

TEST(TensorTest, DevicesThatAreNotThere) {
  Device gpu;
  gpu.type = DeviceType::kCuda;
  gpu.index = 1;
  EXPECT_THAT(Tensor::Empty({2}, DType::kF32, gpu),
              StatusIs(absl::StatusCode::kUnimplemented,
                       AllOf(HasSubstr("cuda:1"), HasSubstr("it has cpu"))));
  Device emulator;
  emulator.type = DeviceType::kEmu;
  EXPECT_THAT(Tensor::Zeros({2}, DType::kF32, emulator),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("emu")));
  EXPECT_THAT(Tensor::Full({2}, 1, DType::kF32, emulator),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("emu")));
  EXPECT_NE(gpu, emulator);
  EXPECT_EQ(Device::Cpu(), Device());
  EXPECT_EQ(Device().ToString(), "cpu");
}

TEST(TensorTest, AbsurdSizesAreResourceExhausted) {
  const int64_t live = CpuAllocator().Stats().live_bytes;
  EXPECT_THAT(
      Tensor::Empty({int64_t{1} << 62}, DType::kF64),
      StatusIs(absl::StatusCode::kResourceExhausted,
               AllOf(HasSubstr("f64 [4611686018427387904]"),
                     HasSubstr("more bytes than an address space has"))));
  EXPECT_THAT(Tensor::Zeros({int64_t{1} << 30, 1 << 20}, DType::kU8),
              StatusIs(absl::StatusCode::kResourceExhausted,
                       AllOf(HasSubstr("u8 [1073741824, 1048576]"),
                             HasSubstr("1125899906842624 bytes"))));
  // Copies of broadcast tensors need no memory until they are made.
  SEPTET_ASSERT_OK_AND_ASSIGN(
      Tensor broad, Iota({1}).BroadcastTo({int64_t{1} << 40, 1 << 12}));
  EXPECT_THAT(broad.Contiguous(),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("i64")));
  EXPECT_THAT(broad.To(DType::kF32),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("f32")));
  broad = Tensor();
  EXPECT_EQ(CpuAllocator().Stats().live_bytes, live);
}

TEST(TensorTest, HandlesShareAndTheLastOneFrees) {
  const int64_t live = CpuAllocator().Stats().live_bytes;
  {
    Tensor a = Iota({100});
    EXPECT_TRUE(a.IsUnique());
    EXPECT_GT(CpuAllocator().Stats().live_bytes, live);
    Tensor b = a;
    EXPECT_FALSE(a.IsUnique());
    EXPECT_TRUE(a.SharesStorageWith(b));
    b.mutable_data<int64_t>()[0] = 5;
    EXPECT_EQ(a.data<int64_t>()[0], 5);
    SEPTET_ASSERT_OK_AND_ASSIGN(b, b.Clone());
    EXPECT_TRUE(a.IsUnique());
    EXPECT_FALSE(a.SharesStorageWith(b));
    const Tensor c = std::move(a);
    EXPECT_TRUE(c.IsUnique());
    Tensor& self = b;
    b = self;
    EXPECT_TRUE(b.IsUnique());
    EXPECT_EQ(b.data<int64_t>()[0], 5);
  }
  EXPECT_EQ(CpuAllocator().Stats().live_bytes, live);
}

TEST(TensorTest, SteadyLoopTakesNothingFromTheSystem) {
  const auto step = [] {
    const Tensor a = Iota({37, 11});
    const Tensor b = a.To(DType::kF32).value();
    return b.Permute({1, 0}).value().Contiguous().value().ToVector<float>()[1];
  };
  EXPECT_EQ(step(), 11);
  const int64_t before = CpuAllocator().Stats().system_allocations;
  for (int i = 0; i < 50; ++i) step();
  EXPECT_EQ(CpuAllocator().Stats().system_allocations, before);
}

TEST(TensorTest, ThreadsCopyHandles) {
  const int64_t live = CpuAllocator().Stats().live_bytes;
  {
    const Tensor shared = Iota({64});
    std::vector<std::thread> threads;
    std::vector<int64_t> sums(4, 0);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([copy = shared, &sums, t] {
        for (int i = 0; i < 2000; ++i) {
          const Tensor view = copy.Slice(0, i % 64, i % 64 + 1).value();
          sums[t] += view.item<int64_t>();
          const Tensor own = view.Clone().value();
          sums[t] += own.item<int64_t>();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(sums, std::vector<int64_t>(4, sums[0]));
    threads.clear();
    EXPECT_TRUE(shared.IsUnique());
  }
  EXPECT_EQ(CpuAllocator().Stats().live_bytes, live);
}

TEST(TensorTest, ExternalMemoryIsReleasedOnce) {
  alignas(8) float values[] = {1, 2, 3, 4};
  int released = 0;
  {
    SEPTET_ASSERT_OK_AND_ASSIGN(
        Tensor tensor,
        Tensor::FromExternal(values, {2, 2}, DType::kF32, /*read_only=*/false,
                             [&] { ++released; }));
    EXPECT_EQ(tensor.raw_data(), values);
    SEPTET_ASSERT_OK_AND_ASSIGN(Tensor row, tensor.Slice(0, 1, 2));
    tensor = Tensor();
    EXPECT_EQ(released, 0) << "a view holds it";
    row.mutable_data<float>()[0] = 9;
    EXPECT_EQ(values[2], 9);
  }
  EXPECT_EQ(released, 1);
  // Memory that nobody has to free.
  {
    SEPTET_EXPECT_OK(
        Tensor::FromExternal(values, {4}, DType::kF32, true, nullptr));
  }
}

TEST(TensorTest, ExternalMemoryMustBeAligned) {
  alignas(8) char bytes[32] = {};
  bool released = false;
  EXPECT_THAT(
      Tensor::FromExternal(bytes + 4, {2}, DType::kF64, true,
                           [&] { released = true; }),
      StatusIs(kInvalid, AllOf(HasSubstr("f64 [2]"), HasSubstr("8 bytes"))));
  EXPECT_FALSE(released) << "it stays the caller's";
  SEPTET_EXPECT_OK(
      Tensor::FromExternal(bytes + 4, {2}, DType::kF32, true, [] {}));
  SEPTET_EXPECT_OK(
      Tensor::FromExternal(bytes + 1, {2}, DType::kBool, true, [] {}));
  SEPTET_EXPECT_OK(
      Tensor::FromExternal(nullptr, {0}, DType::kF32, true, [] {}));
}

TEST(TensorDeathTest, ReadOnlyMemory) {
  const float values[] = {1, 2};
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor tensor,
                              Tensor::FromExternal(values, {2}, DType::kF32,
                                                   /*read_only=*/true, [] {}));
  EXPECT_THAT(tensor.ToVector<float>(), ElementsAre(1, 2));
  EXPECT_DEATH(tensor.mutable_data<float>(), "may not be written");
  EXPECT_DEATH(tensor.raw_mutable_data(), "may not be written");
  EXPECT_TRUE(tensor.IsReadOnly());
  EXPECT_THAT(tensor.CopyFrom(tensor),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       HasSubstr("is read-only")));
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor view, tensor.Slice(0, 0, 1));
  EXPECT_DEATH(view.mutable_data<float>(), "may not be written");
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor copy, tensor.Clone());
  copy.mutable_data<float>()[0] = 5;
  EXPECT_EQ(values[0], 1);
}

TEST(TensorDeathTest, WrongUse) {
  const Tensor tensor = Iota({2});
  EXPECT_DEATH(tensor.data<float>(), "data<f32>\\(\\) of a tensor of i64");
  EXPECT_DEATH(tensor.mutable_data<int32_t>(),
               "mutable_data<i32>\\(\\) of a tensor of i64");
  EXPECT_DEATH(tensor.item<int64_t>(), "2 vs. 1");
  EXPECT_DEATH(Tensor().shape(), "defined");
  EXPECT_DEATH((void)Tensor().Reshape({1}), "defined");
  EXPECT_DEATH(tensor.stride(1), "axis");
  const Tensor meta = tensor.Meta();
  EXPECT_EQ(meta.shape(), Shape({2}));
  EXPECT_EQ(meta.dtype(), DType::kI64);
  EXPECT_FALSE(meta.has_storage());
  EXPECT_FALSE(meta.SharesStorageWith(tensor));
  EXPECT_DEATH(meta.raw_data(), "has_storage");
}

TEST(TensorTest, Permute) {
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor t, Iota({2, 3}).Permute({1, 0}));
  EXPECT_EQ(t.shape(), Shape({3, 2}));
  EXPECT_THAT(t.ToVector<int64_t>(), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_FALSE(t.IsContiguous());
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor last, Iota({2, 3, 4}).Permute({-1, 0, 1}));
  EXPECT_EQ(last.shape(), Shape({4, 2, 3}));
  for (const std::vector<int64_t>& axes : std::vector<std::vector<int64_t>>{
           {0}, {0, 0}, {0, 2}, {0, -3}, {0, 1, 2}, {}, {1, -1}}) {
    EXPECT_THAT(
        Iota({2, 3}).Permute(axes),
        StatusIs(kInvalid, AllOf(HasSubstr("permute"), HasSubstr("[2, 3]"))));
  }
}

TEST(TensorTest, Slice) {
  const Tensor x = Iota({3, 4});
  const auto slice = [&](int64_t axis, int64_t begin, int64_t end,
                         int64_t step) {
    return x.Slice(axis, begin, end, step).value();
  };
  EXPECT_THAT(slice(0, 1, 3, 1).ToVector<int64_t>(),
              ElementsAre(4, 5, 6, 7, 8, 9, 10, 11));
  EXPECT_THAT(slice(-1, 1, 4, 2).ToVector<int64_t>(),
              ElementsAre(1, 3, 5, 7, 9, 11));
  EXPECT_THAT(slice(1, 0, 4, 3).ToVector<int64_t>(),
              ElementsAre(0, 3, 4, 7, 8, 11));
  EXPECT_EQ(slice(1, 4, 4, 1).shape(), Shape({3, 0}));
  EXPECT_EQ(slice(1, 0, 0, 5).shape(), Shape({3, 0}));
  EXPECT_THAT(slice(1, 1, 4, 1000).ToVector<int64_t>(), ElementsAre(1, 5, 9));
  EXPECT_THAT(slice(1, 1, 4, INT64_MAX).ToVector<int64_t>(),
              ElementsAre(1, 5, 9));
  EXPECT_EQ(slice(1, 2, 2, INT64_MAX).shape(), Shape({3, 0}));
}

TEST(TensorTest, SliceRefuses) {
  const Tensor x = Iota({3, 4});
  struct Case {
    int64_t axis, begin, end, step;
  };
  for (const Case& c : {Case{0, -1, 2, 1}, Case{0, 2, 1, 1}, Case{0, 0, 4, 1},
                        Case{1, 0, 4, 0}, Case{1, 0, 4, -1}, Case{1, 5, 5, 1},
                        Case{1, INT64_MIN, INT64_MAX, 1}}) {
    EXPECT_THAT(x.Slice(c.axis, c.begin, c.end, c.step),
                StatusIs(kInvalid,
                         AllOf(HasSubstr("slice: [" + std::to_string(c.begin)),
                               HasSubstr("of [3, 4]"))));
  }
  EXPECT_THAT(x.Slice(2, 0, 1),
              StatusIs(kInvalid, AllOf(HasSubstr("axis 2"),
                                       HasSubstr("slice of [3, 4]"))));
  EXPECT_THAT(Iota({}).Slice(0, 0, 1), StatusIs(kInvalid, HasSubstr("axis 0")));
}

// No address outside the storage, not even one that is never read.
TEST(TensorTest, SlicesOfEmptyTensorsStayInside) {
  const Tensor none = Iota({5, 0});
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor tail, none.Slice(0, 3, 5));
  EXPECT_EQ(tail.shape(), Shape({2, 0}));
  EXPECT_EQ(tail.raw_data(), none.raw_data());
}

TEST(TensorTest, BroadcastTo) {
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor x, Iota({2, 1}).BroadcastTo({3, 2, 2}));
  EXPECT_THAT(x.strides(), ElementsAre(0, 1, 0));
  EXPECT_THAT(x.ToVector<int64_t>(),
              ElementsAre(0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1));
  EXPECT_FALSE(x.IsContiguous());
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor scalar, Iota({}).BroadcastTo({}));
  EXPECT_EQ(scalar.rank(), 0);
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor none, Iota({1}).BroadcastTo({4, 0}));
  EXPECT_EQ(none.num_elements(), 0);
  struct Case {
    Shape from, to;
  };
  for (const Case& c : {Case{{2}, {3}}, Case{{2, 3}, {3}}, Case{{0}, {1}},
                        Case{{2}, {2, 1}}, Case{{1}, {}}, Case{{1, 1}, {1}}}) {
    EXPECT_THAT(Iota(c.from).BroadcastTo(c.to),
                StatusIs(kInvalid, HasSubstr(c.from.ToString() +
                                             " does not broadcast to " +
                                             c.to.ToString())));
  }
}

TEST(TensorTest, ReshapeInfersAndRefuses) {
  const Tensor x = Iota({2, 6});
  EXPECT_EQ(x.Reshape({3, -1}).value().shape(), Shape({3, 4}));
  EXPECT_EQ(x.Reshape({-1}).value().shape(), Shape({12}));
  EXPECT_EQ(Iota({}).Reshape({-1, 1}).value().shape(), Shape({1, 1}));
  EXPECT_EQ(Iota({1, 1}).Reshape({}).value().shape(), Shape());
  EXPECT_EQ(Iota({0, 3}).Reshape({7, -1}).value().shape(), Shape({7, 0}));
  EXPECT_EQ(Iota({0, 3}).Reshape({0}).value().shape(), Shape({0}));
  const int64_t big = int64_t{1} << 40;
  for (const std::vector<int64_t>& dims :
       std::vector<std::vector<int64_t>>{{5},
                                         {5, -1},
                                         {-1, -1},
                                         {-2, -6},
                                         {},
                                         {12, 0},
                                         {0, -1},
                                         {big, big},
                                         {INT64_MIN},
                                         {1, 1, 1, 1, 1, 1, 1, 1, 12}}) {
    EXPECT_THAT(x.Reshape(dims), StatusIs(kInvalid, HasSubstr("reshape")))
        << testing::PrintToString(dims);
  }
  EXPECT_THAT(
      x.Reshape({5, -1}),
      StatusIs(kInvalid, AllOf(HasSubstr("[2, 6]"), HasSubstr("[5, -1]"))));
  EXPECT_THAT(Iota({0}).Reshape({0, big, big}),
              StatusIs(kInvalid, HasSubstr("63 bits")));
  EXPECT_THAT(Iota({0}).Reshape({0, -1}), StatusIs(kInvalid, HasSubstr("fit")));
  EXPECT_THAT(x.Permute({1, 0}).value().Reshape({12}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("strides [1, 6] of [6, 2]"),
                             HasSubstr("[12] without a copy"))));
}

TEST(TensorTest, EmptyTensorsAreContiguous) {
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor x, Iota({0, 4}).Slice(1, 0, 4, 2));
  EXPECT_EQ(x.shape(), Shape({0, 2}));
  EXPECT_TRUE(x.IsContiguous());
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor y, Iota({3, 0, 2}).Permute({2, 0, 1}));
  EXPECT_TRUE(y.IsContiguous());
}

TEST(TensorTest, ConvertsBetweenAllDTypes) {
  const Tensor source =
      Tensor::FromValues<double>({2, 3}, {0, 1, 2, 3, 100, 255}).value();
  for (DType from : kAllDTypes) {
    SEPTET_ASSERT_OK_AND_ASSIGN(Tensor a, source.To(from));
    EXPECT_EQ(a.SharesStorageWith(source), from == DType::kF64);
    for (DType to : kAllDTypes) {
      SEPTET_ASSERT_OK_AND_ASSIGN(Tensor b, a.To(to));
      EXPECT_EQ(b.dtype(), to);
      const std::vector<double> expected =
          from == DType::kBool || to == DType::kBool
              ? std::vector<double>{0, 1, 1, 1, 1, 1}
              : source.ToVector<double>();
      EXPECT_EQ(b.ToVector<double>(), expected)
          << DTypeName(from) << " to " << DTypeName(to);
    }
  }
}

// Every order of axes, with extents below, at and beyond those of a tile.
TEST(TensorTest, PermutedCopiesHaveTheirElementsInPlace) {
  for (const auto& dims : std::vector<std::vector<int64_t>>{
           {33, 3, 17}, {16, 8, 1}, {1, 9, 40}, {2, 17, 7}}) {
    const int64_t n = dims[0] * dims[1] * dims[2];
    std::vector<int32_t> values(n);
    std::iota(values.begin(), values.end(), 0);
    const Tensor x = *Tensor::FromValues<int32_t>({n}, values);
    const Tensor shaped = *x.Reshape({dims[0], dims[1], dims[2]});
    std::vector<int64_t> axes = {0, 1, 2};
    do {
      const Tensor view = *shaped.Permute(axes);
      const Tensor copy = *view.Contiguous();
      const Tensor converted = *view.To(DType::kF64);
      int64_t at = 0;
      for (int64_t i = 0; i < view.dim(0); ++i) {
        for (int64_t j = 0; j < view.dim(1); ++j) {
          for (int64_t k = 0; k < view.dim(2); ++k, ++at) {
            const int32_t want =
                view.data<int32_t>()[i * view.stride(0) + j * view.stride(1) +
                                     k * view.stride(2)];
            ASSERT_EQ(copy.data<int32_t>()[at], want);
            ASSERT_EQ(converted.data<double>()[at], want);
          }
        }
      }
    } while (std::next_permutation(axes.begin(), axes.end()));
  }
}

TEST(TensorTest, CopyFrom) {
  const Tensor x = Iota({2, 3});
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor y, Tensor::Zeros({3, 2}, DType::kF32));
  SEPTET_ASSERT_OK_AND_ASSIGN(Tensor transposed, y.Permute({1, 0}));
  SEPTET_EXPECT_OK(transposed.CopyFrom(x));
  EXPECT_THAT(y.ToVector<float>(), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(y.CopyFrom(x), StatusIs(kInvalid, AllOf(HasSubstr("[2, 3]"),
                                                      HasSubstr("[3, 2]"))));
  EXPECT_EQ(y.DebugString(), "f32 [3, 2]");
}

// A chain of random views against a list of positions that is kept by hand.
class ViewOracle {
 public:
  explicit ViewOracle(const std::vector<int64_t>& dims) : dims(dims) {
    int64_t n = 1;
    for (int64_t d : dims) n *= d;
    positions.resize(n);
    std::iota(positions.begin(), positions.end(), 0);
  }

  // The position at an index, by row-major order.
  int64_t At(const std::vector<int64_t>& index) const {
    int64_t flat = 0;
    for (size_t i = 0; i < dims.size(); ++i) flat = flat * dims[i] + index[i];
    return positions[flat];
  }

  // Elements of a view with extents new_dims, whose index i is old index
  // source(i).
  template <typename Source>
  void Map(const std::vector<int64_t>& new_dims, Source source) {
    std::vector<int64_t> result;
    std::vector<int64_t> index(new_dims.size(), 0);
    int64_t n = 1;
    for (int64_t d : new_dims) n *= d;
    for (int64_t i = 0; i < n; ++i) {
      result.push_back(At(source(index)));
      for (int axis = static_cast<int>(new_dims.size()) - 1; axis >= 0;
           --axis) {
        if (++index[axis] < new_dims[axis]) break;
        index[axis] = 0;
      }
    }
    dims = new_dims;
    positions = std::move(result);
  }

  // Whether some strides give the positions in row-major order of new_dims.
  bool IsAffine(const std::vector<int64_t>& new_dims) const {
    std::vector<int64_t> strides(new_dims.size(), 0);
    int64_t step = 1;
    for (int axis = static_cast<int>(new_dims.size()) - 1; axis >= 0; --axis) {
      if (new_dims[axis] > 1) strides[axis] = positions[step] - positions[0];
      step *= new_dims[axis];
    }
    for (size_t i = 0; i < positions.size(); ++i) {
      int64_t rest = static_cast<int64_t>(i), position = positions[0];
      for (int axis = static_cast<int>(new_dims.size()) - 1; axis >= 0;
           --axis) {
        position += rest % new_dims[axis] * strides[axis];
        rest /= new_dims[axis];
      }
      if (position != positions[i]) return false;
    }
    return true;
  }

  std::vector<int64_t> dims;
  std::vector<int64_t> positions;
};

TEST(TensorPropertyTest, ViewsShowTheRightElements) {
  const char* text = std::getenv("SEPTET_TEST_SEED");
  const uint64_t seed =
      text == nullptr ? 20240607 : std::strtoull(text, nullptr, 10);
  SCOPED_TRACE("SEPTET_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(n));
  };
  int reshaped = 0, refused = 0;
  for (int trial = 0; trial < 4000; ++trial) {
    std::vector<int64_t> dims(below(5));
    for (int64_t& d : dims) {
      d = std::vector<int64_t>{
          0, 1, 1, 2, 2, 3, 4, 6}[below(40) == 0 ? 0 : 1 + below(7)];
    }
    ViewOracle oracle(dims);
    Tensor view = Iota(Shape(dims));
    const Tensor base = view;
    for (int step = static_cast<int>(below(5)); step > 0; --step) {
      const int rank = view.rank();
      switch (below(4)) {
        case 0: {  // permute
          std::vector<int64_t> axes(rank);
          std::iota(axes.begin(), axes.end(), 0);
          for (int i = rank - 1; i > 0; --i) {
            std::swap(axes[i], axes[below(i + 1)]);
          }
          std::vector<int64_t> new_dims;
          for (int64_t axis : axes) new_dims.push_back(oracle.dims[axis]);
          SEPTET_ASSERT_OK_AND_ASSIGN(view, view.Permute(axes));
          oracle.Map(new_dims, [&](const std::vector<int64_t>& index) {
            std::vector<int64_t> old(rank);
            for (int i = 0; i < rank; ++i) old[axes[i]] = index[i];
            return old;
          });
          break;
        }
        case 1: {  // slice
          if (rank == 0) break;
          const int64_t axis = below(rank);
          const int64_t begin = below(oracle.dims[axis] + 1);
          const int64_t end = begin + below(oracle.dims[axis] - begin + 1);
          const int64_t by = 1 + below(3);
          std::vector<int64_t> new_dims = oracle.dims;
          new_dims[axis] = 0;
          for (int64_t i = begin; i < end; i += by) ++new_dims[axis];
          SEPTET_ASSERT_OK_AND_ASSIGN(view, view.Slice(axis, begin, end, by));
          oracle.Map(new_dims, [&](std::vector<int64_t> index) {
            index[axis] = begin + index[axis] * by;
            return index;
          });
          break;
        }
        case 2: {  // broadcast
          std::vector<int64_t> new_dims = oracle.dims;
          for (int64_t& d : new_dims) {
            if (d == 1 && below(2) == 0) d = below(4);
          }
          const int added = rank < 5 ? static_cast<int>(below(2)) : 0;
          if (added) new_dims.insert(new_dims.begin(), below(3));
          const std::vector<int64_t> old_dims = oracle.dims;
          SEPTET_ASSERT_OK_AND_ASSIGN(view, view.BroadcastTo(Shape(new_dims)));
          oracle.Map(new_dims, [&](const std::vector<int64_t>& index) {
            std::vector<int64_t> old(index.begin() + added, index.end());
            for (int i = 0; i < rank; ++i) {
              if (old_dims[i] == 1) old[i] = 0;
            }
            return old;
          });
          break;
        }
        case 3: {  // another shape with as many elements
          int64_t left = static_cast<int64_t>(oracle.positions.size());
          std::vector<int64_t> new_dims;
          while (left > 1 && new_dims.size() < 5) {
            int64_t factor = 1 + below(left);
            while (left % factor != 0) --factor;
            if (new_dims.size() == 4) factor = left;
            new_dims.push_back(factor);
            left /= factor;
          }
          if (left == 0) new_dims.push_back(0);
          if (below(3) == 0) {
            new_dims.insert(new_dims.begin() + below(new_dims.size() + 1), 1);
          }
          const absl::StatusOr<Tensor> shaped = view.Reshape(new_dims);
          if (oracle.positions.empty() || oracle.IsAffine(new_dims)) {
            SEPTET_ASSERT_OK(shaped) << "a view exists; trial " << trial;
            EXPECT_TRUE(shaped->SharesStorageWith(base));
            view = *shaped;
            oracle.dims = new_dims;
            ++reshaped;
          } else {
            ASSERT_THAT(shaped, StatusIs(absl::StatusCode::kFailedPrecondition,
                                         HasSubstr("without a copy")))
                << "no view exists; trial " << trial;
            ++refused;
          }
          break;
        }
      }
      ASSERT_EQ(view.shape(), Shape(oracle.dims)) << "trial " << trial;
      ASSERT_EQ(view.ToVector<int64_t>(), oracle.positions)
          << "trial " << trial;
      if (oracle.positions.empty()) {
        ASSERT_TRUE(view.IsContiguous());
      } else {
        std::vector<int64_t> consecutive(oracle.positions.size());
        std::iota(consecutive.begin(), consecutive.end(), oracle.positions[0]);
        ASSERT_EQ(view.IsContiguous(), consecutive == oracle.positions)
            << "trial " << trial;
      }
      SEPTET_ASSERT_OK_AND_ASSIGN(Tensor dense, view.Contiguous());
      ASSERT_TRUE(dense.IsContiguous());
      ASSERT_EQ(dense.ToVector<int64_t>(), oracle.positions);
      SEPTET_ASSERT_OK_AND_ASSIGN(Tensor converted, view.To(DType::kI32));
      ASSERT_EQ(converted.ToVector<int64_t>(), oracle.positions);
    }
  }
  // Both outcomes must have been seen.
  EXPECT_GT(reshaped, 200);
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace septet
