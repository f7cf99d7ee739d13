// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "septet/core/plot/geometry_impl.h"

namespace septet {
namespace plot_internal {
namespace {

constexpr Rect kBox = {0, 0, 10, 10};

TEST(GeometryTest, LinesAreCutAtTheBox) {
  const auto parts = ClipPolyline({{-10, 5}, {5, 5}, {5, 30}, {8, 5}}, kBox);
  ASSERT_EQ(parts.size(), 2u);
  ASSERT_EQ(parts[0].size(), 3u);
  EXPECT_EQ(parts[0][0].x, 0);
  EXPECT_EQ(parts[0][1].x, 5);
  EXPECT_EQ(parts[0][2].y, 10);
  ASSERT_EQ(parts[1].size(), 2u);
  EXPECT_NEAR(parts[1][0].x, 7.4, 1e-12);
  EXPECT_EQ(parts[1][1].x, 8);
}

TEST(GeometryTest, LinesOutsideAreNothing) {
  EXPECT_TRUE(ClipPolyline({{-1, -1}, {-1, 20}, {20, 20}}, kBox).empty());
  EXPECT_TRUE(ClipPolyline({{5, 5}}, kBox).empty());
}

TEST(GeometryTest, LinesInsideAreThemselves) {
  const auto parts = ClipPolyline({{1, 1}, {9, 2}, {3, 8}}, kBox);
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].size(), 3u);
}

double Area(const std::vector<Point>& p) {
  double twice = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const Point& a = p[i];
    const Point& b = p[(i + 1) % p.size()];
    twice += a.x * b.y - b.x * a.y;
  }
  return std::fabs(twice) / 2;
}

TEST(GeometryTest, PolygonsAreCutAtTheBox) {
  EXPECT_DOUBLE_EQ(
      Area(ClipPolygon({{-5, -5}, {5, -5}, {5, 5}, {-5, 5}}, kBox)), 25);
  // A triangle that cuts off a corner of the box.
  EXPECT_DOUBLE_EQ(Area(ClipPolygon({{-10, 5}, {5, -10}, {-10, -10}}, kBox)),
                   0);
  EXPECT_DOUBLE_EQ(Area(ClipPolygon({{-1, 6}, {6, -1}, {-1, -1}}, kBox)), 12.5);
  EXPECT_DOUBLE_EQ(
      Area(ClipPolygon({{-99, -99}, {99, -99}, {99, 99}, {-99, 99}}, kBox)),
      100);
  EXPECT_TRUE(ClipPolygon({{20, 20}, {30, 20}, {30, 30}}, kBox).empty());
}

TEST(GeometryTest, CirclesAreRound) {
  const Path circle = Circle({0, 0}, 2);
  for (size_t i = 1; i + 1 < circle.steps.size(); ++i) {
    const Point* const c = circle.steps[i].points;
    const Point* const before = circle.steps[i - 1].points;
    const Point start = i == 1 ? before[0] : before[2];
    for (int k = 0; k <= 10; ++k) {
      const double t = k / 10.0, s = 1 - t;
      const double x = s * s * s * start.x + 3 * s * s * t * c[0].x +
                       3 * s * t * t * c[1].x + t * t * t * c[2].x;
      const double y = s * s * s * start.y + 3 * s * s * t * c[0].y +
                       3 * s * t * t * c[1].y + t * t * t * c[2].y;
      EXPECT_NEAR(std::hypot(x, y), 2, 1e-3);
    }
  }
}

}  // namespace
}  // namespace plot_internal
}  // namespace septet
