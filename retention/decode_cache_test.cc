// SPDX-License-Identifier: Apache-2.0
#include "septet/retention/decode_cache.h"

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"
#include "septet/core/ops/op_testutil.h"
#include "septet/core/tensor/dtype.h"
#include "septet/core/tensor/shape.h"
#include "septet/core/tensor/tensor.h"

namespace septet {
namespace {

using ::testing::ElementsAre;
using ::testing::Eq;

DecodeCacheOptions Options(int64_t rows, bool key_sums = true) {
  DecodeCacheOptions options;
  options.rows = rows;
  options.layers = 2;
  options.heads = 2;
  options.key_dim = 3;
  options.value_dim = 4;
  options.key_sums = key_sums;
  return options;
}

// Row n of layer i holds the number 10 i + n + base, and has read n + base
// tokens.
DecodeCache Filled(int64_t rows, int64_t base, bool key_sums = true) {
  DecodeCache cache = *DecodeCache::Create(Options(rows, key_sums));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t layer = 0; layer < 2; ++layer) {
      for (Tensor* x : {cache.state(layer), cache.key_sum(layer)}) {
        if (!x->defined()) continue;
        Tensor part = *x->Slice(0, row, row + 1);
        SEPTET_EXPECT_OK(part.CopyFrom(*Tensor::Full(
            part.shape(), static_cast<double>(10 * layer + row + base),
            DType::kF32)));
      }
    }
    cache.Advance(row, row + base);
  }
  return cache;
}

// The number of each row, after looking that all of it is that.
std::vector<double> Rows(DecodeCache& cache, int64_t layer) {
  std::vector<double> rows;
  for (int64_t row = 0; row < cache.rows(); ++row) {
    for (const Tensor* x : {cache.state(layer), cache.key_sum(layer)}) {
      if (!x->defined()) continue;
      const std::vector<double> values =
          x->Slice(0, row, row + 1)->ToVector<double>();
      if (x == cache.state(layer)) rows.push_back(values[0]);
      EXPECT_THAT(values, testing::Each(rows.back()));
    }
  }
  return rows;
}

TEST(DecodeCacheTest, BeginsEmpty) {
  SEPTET_ASSERT_OK_AND_ASSIGN(DecodeCache cache,
                              DecodeCache::Create(Options(3)));
  EXPECT_EQ(cache.rows(), 3);
  EXPECT_THAT(Rows(cache, 1), ElementsAre(0, 0, 0));
  EXPECT_THAT(cache.positions(), ElementsAre(0, 0, 0));
  EXPECT_EQ(cache.bytes(), 2 * 3 * 2 * (3 * 4 + 3) * 4);
}

TEST(DecodeCacheTest, SelectsAppendsAndErases) {
  for (const bool key_sums : {true, false}) {
    DecodeCache cache = Filled(3, 1, key_sums);
    SEPTET_ASSERT_OK_AND_ASSIGN(DecodeCache beams, cache.Select({2, 0, 0}));
    EXPECT_THAT(Rows(beams, 0), ElementsAre(3, 1, 1));
    EXPECT_THAT(Rows(beams, 1), ElementsAre(13, 11, 11));
    EXPECT_THAT(beams.positions(), ElementsAre(3, 1, 1));
    SEPTET_ASSERT_OK_AND_ASSIGN(DecodeCache clone, cache.Clone());
    clone.Advance(0, 5);
    clone.state(0)->mutable_data<float>()[0] = 99;
    EXPECT_THAT(Rows(cache, 0), ElementsAre(1, 2, 3));
    EXPECT_THAT(cache.positions(), ElementsAre(1, 2, 3));
    SEPTET_ASSERT_OK(cache.Append(Filled(2, 7, key_sums)));
    EXPECT_THAT(Rows(cache, 1), ElementsAre(11, 12, 13, 17, 18));
    EXPECT_THAT(cache.positions(), ElementsAre(1, 2, 3, 7, 8));
    SEPTET_ASSERT_OK(cache.Erase({1, 3, 1}));
    EXPECT_THAT(Rows(cache, 0), ElementsAre(1, 3, 8));
    SEPTET_ASSERT_OK(cache.Append(cache));
    EXPECT_THAT(cache.positions(), ElementsAre(1, 3, 8, 1, 3, 8));
    SEPTET_ASSERT_OK(cache.Erase({0, 1, 2, 3, 4, 5}));
    EXPECT_EQ(cache.rows(), 0);
    EXPECT_EQ(cache.bytes(), 0);
  }
}

TEST(DecodeCacheTest, GoesThroughFiles) {
  for (const bool key_sums : {true, false}) {
    DecodeCache cache = Filled(2, 4, key_sums);
    SEPTET_ASSERT_OK_AND_ASSIGN(DecodeCache back,
                                DecodeCache::Import(cache.Export()));
    EXPECT_THAT(Rows(back, 1), ElementsAre(14, 15));
    EXPECT_THAT(back.positions(), ElementsAre(4, 5));
    EXPECT_EQ(back.options().key_sums, key_sums);
    back.state(0)->mutable_data<float>()[0] = 99;
    EXPECT_THAT(Rows(cache, 0), ElementsAre(4, 5));
  }
}

TEST(DecodeCacheTest, Errors) {
  DecodeCacheOptions options = Options(1);
  options.dtype = DType::kBF16;
  EXPECT_THAT(DecodeCache::Create(options),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("decode cache: dtype is bf16, expected f32 or f64, "
                          "because states of fewer bits do not forget")));
  options = Options(-1);
  EXPECT_THAT(DecodeCache::Create(options),
              StatusIs(absl::StatusCode::kInvalidArgument, testing::_));
  DecodeCache cache = Filled(2, 0);
  EXPECT_THAT(cache.Select({0, 2}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("decode cache: rows[1] is 2, expected 0 to 1 of 2 "
                          "rows")));
  EXPECT_THAT(cache.Erase({-1}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       Eq("decode cache: rows[0] is -1, expected 0 to 1 of 2 "
                          "rows")));
  EXPECT_THAT(
      cache.Append(Filled(2, 0, /*key_sums=*/false)),
      StatusIs(absl::StatusCode::kInvalidArgument,
               Eq("decode cache: appended is one of 2 layers of 2 heads of 3 "
                  "by 4 f32, expected 2 layers of 2 heads of 3 by 4 f32 with "
                  "key sums")));
  EXPECT_EQ(cache.rows(), 2);
}

TEST(DecodeCacheTest, DamagedFiles) {
  const DecodeCache cache = Filled(2, 1);
  const auto expect = [&](const std::string& name, const Tensor& x,
                          const std::string& message) {
    std::map<std::string, Tensor> tensors = cache.Export();
    if (x.defined()) {
      tensors[name] = x;
    } else {
      tensors.erase(name);
    }
    EXPECT_THAT(DecodeCache::Import(tensors),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         Eq("decode cache: " + message)));
  };
  expect("positions", Tensor(),
         "tensor 'positions' is not there, expected i64 [N]");
  expect("positions", *Tensor::FromValues<int64_t>(Shape({2}), {1, -1}),
         "positions[1] is -1, expected 0 to 9007199254740992");
  expect("positions", *Tensor::FromValues<int64_t>(Shape({2}), {INT64_MAX, 0}),
         "positions[0] is 9223372036854775807, expected 0 to "
         "9007199254740992");
  expect("layers.0.s", *Tensor::Zeros({2, 0, 3, 4}, DType::kF32),
         "heads is 0, expected >= 1");
  expect("layers.0.s", *Tensor::Zeros({2, 2, 3, 4}, DType::kBF16),
         "dtype is bf16, expected f32 or f64, because states of fewer bits do "
         "not forget");
  expect("layers.1.key_sum", *Tensor::Zeros({2, 2, 4}, DType::kF32),
         "tensor 'layers.1.key_sum' is f32 [2, 2, 4], expected f32 [2, 2, 3]");
  expect("layers.0.key_sum", Tensor(),
         "tensor 'layers.1.key_sum' is f32 [2, 2, 3], expected none, as the "
         "first layer has none");
  expect("layers.0.s", RandomTensor({3, 2, 3, 4}, DType::kF32, 1),
         "tensor 'layers.0.s' is f32 [3, 2, 3, 4], expected [2, H, dk, dv]");
  expect("layers.1.s", RandomTensor({2, 2, 3, 5}, DType::kF32, 1),
         "tensor 'layers.1.s' is f32 [2, 2, 3, 5], expected f32 [2, 2, 3, 4], "
         "as the first layer has");
  expect("layers.1.key_sum", Tensor(),
         "tensor 'layers.1.key_sum' is not there, expected f32 [2, 2, 3]");
  expect("layers.0.s", Tensor(),
         "there are 4 tensors, expected the 1 of 0 layers and 'positions'");
  expect("more", RandomTensor({1}, DType::kF32, 1),
         "there are 6 tensors, expected the 5 of 2 layers and 'positions'");
  expect("layers.0.s", RandomTensor({2, 0, 3, 4}, DType::kF32, 1),
         "heads is 0, expected >= 1");
}

}  // namespace
}  // namespace septet
