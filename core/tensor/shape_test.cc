// SPDX-License-Identifier: Apache-2.0
#include "septet/core/tensor/shape.h"

#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/base/status_testutil.h"

namespace septet {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kBig = int64_t{1} << 32;

TEST(ShapeTest, Basics) {
  const Shape scalar{};
  EXPECT_EQ(scalar.rank(), 0);
  EXPECT_EQ(scalar.num_elements(), 1);
  EXPECT_EQ(scalar.ToString(), "[]");

  const Shape shape({2, 0, 3});
  EXPECT_EQ(shape.rank(), 3);
  EXPECT_EQ(shape[2], 3);
  EXPECT_EQ(shape.num_elements(), 0);
  EXPECT_THAT(shape.dims(), ElementsAre(2, 0, 3));
  std::ostringstream text;
  text << shape;
  EXPECT_EQ(text.str(), "[2, 0, 3]");
}

TEST(ShapeTest, Equality) {
  EXPECT_EQ(Shape({2, 3}), Shape({2, 3}));
  EXPECT_NE(Shape({2, 3}), Shape({3, 2}));
  EXPECT_NE(Shape({2, 3}), Shape({2, 3, 1}));
  EXPECT_NE(Shape({1}), Shape());
  EXPECT_EQ(Shape(), Shape());
}

TEST(ShapeTest, WithDim) {
  EXPECT_EQ(Shape({2, 3}).WithDim(1, 0), Shape({2, 0}));
  EXPECT_DEATH(Shape({2, 3}).WithDim(2, 1), "axis 2 of \\[2, 3\\]");
  EXPECT_DEATH(Shape({kBig, 3}).WithDim(1, kBig), "63 bits");
}

TEST(ShapeTest, CreateRefuses) {
  EXPECT_THAT(Shape::Create({1, 1, 1, 1, 1, 1, 1, 1}), IsOk());
  EXPECT_THAT(Shape::Create({1, 2, 1, 1, 1, 1, 1, 1, 1}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("[1, 2, 1, 1, 1, 1, 1, 1, 1]"),
                             HasSubstr("rank 9, at most 8"))));
  EXPECT_THAT(Shape::Create({4, -1}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("[4, -1]"),
                             HasSubstr("negative extent at axis 1"))));
  EXPECT_THAT(Shape::Create({INT64_MIN}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       HasSubstr("negative extent at axis 0")));
}

TEST(ShapeTest, CreateRefusesOverflow) {
  EXPECT_THAT(Shape::Create({INT64_MAX}), IsOk());
  EXPECT_THAT(Shape::Create({kBig, kBig / 4}), IsOk());
  for (const std::vector<int64_t>& dims : std::vector<std::vector<int64_t>>{
           {kBig, kBig / 2},
           {kBig, kBig},
           {INT64_MAX, 2},
           {kBig, 0, kBig},  // the strides would overflow
           {0, INT64_MAX, INT64_MAX}}) {
    EXPECT_THAT(Shape::Create(dims),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("more elements than fit into 63 bits")));
  }
}

TEST(ShapeDeathTest, ConstructorAborts) {
  EXPECT_DEATH(Shape({2, -3}), "negative extent");
  EXPECT_DEATH(Shape({1, 1, 1, 1, 1, 1, 1, 1, 1}), "rank 9");
  // Volatile, lest the compiler see through it.
  volatile int above = 2, below = -1;
  EXPECT_DEATH(Shape({2, 3}).dim(above), "axis");
  EXPECT_DEATH(Shape({2, 3}).dim(below), "axis");
}

TEST(BroadcastShapesTest, FollowsNumPy) {
  const auto broadcast = [](const Shape& a, const Shape& b) {
    const auto ab = BroadcastShapes(a, b);
    const auto ba = BroadcastShapes(b, a);
    SEPTET_EXPECT_OK(ab);
    SEPTET_EXPECT_OK(ba);
    EXPECT_EQ(*ab, *ba);
    return *ab;
  };
  EXPECT_EQ(broadcast({2, 3}, {2, 3}), Shape({2, 3}));
  EXPECT_EQ(broadcast({2, 3}, {3}), Shape({2, 3}));
  EXPECT_EQ(broadcast({2, 3}, {}), Shape({2, 3}));
  EXPECT_EQ(broadcast({2, 1}, {1, 3}), Shape({2, 3}));
  EXPECT_EQ(broadcast({4, 1, 3}, {2, 1}), Shape({4, 2, 3}));
  EXPECT_EQ(broadcast({0}, {1}), Shape({0}));
  EXPECT_EQ(broadcast({0, 1}, {5}), Shape({0, 5}));
  EXPECT_EQ(broadcast({}, {}), Shape());
  EXPECT_EQ(broadcast({1, 1}, {1}), Shape({1, 1}));
}

TEST(BroadcastShapesTest, NamesWhatDoesNotFit) {
  EXPECT_THAT(BroadcastShapes({2, 3}, {2, 4}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("[2, 3]"), HasSubstr("[2, 4]"),
                             HasSubstr("3 against 4"))));
  EXPECT_THAT(
      BroadcastShapes({0}, {2}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("0 against 2")));
  EXPECT_THAT(
      BroadcastShapes({2, 3}, {2}),
      StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("3 against 2")));
  EXPECT_THAT(
      BroadcastShapes({kBig, 1}, {1, kBig}),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("[4294967296, 1]"), HasSubstr("[1, 4294967296]"),
                     HasSubstr("63 bits"))));
}

TEST(ResolveAxisTest, CountsFromBothEnds) {
  for (int rank = 1; rank <= kMaxRank; ++rank) {
    for (int axis = 0; axis < rank; ++axis) {
      SEPTET_ASSERT_OK_AND_ASSIGN(int forward, ResolveAxis(axis, rank));
      EXPECT_EQ(forward, axis);
      SEPTET_ASSERT_OK_AND_ASSIGN(int backward, ResolveAxis(axis - rank, rank));
      EXPECT_EQ(backward, axis);
    }
  }
}

TEST(ResolveAxisTest, RefusesOthers) {
  for (int64_t axis :
       {int64_t{3}, int64_t{-4}, INT64_MAX, INT64_MIN, int64_t{1} << 32}) {
    EXPECT_THAT(ResolveAxis(axis, 3),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr("axis " + std::to_string(axis) +
                                   " is not within [-3, 3)")));
  }
  EXPECT_THAT(ResolveAxis(0, 0), StatusIs(absl::StatusCode::kInvalidArgument,
                                          HasSubstr("axis 0")));
}

}  // namespace
}  // namespace septet
