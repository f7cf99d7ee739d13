// SPDX-License-Identifier: Apache-2.0
#include "septet/core/plot/geometry_impl.h"

#include <cstddef>
#include <utility>
#include <vector>

namespace septet {
namespace plot_internal {
namespace {

// Cuts the segment from a to b down to `box` (Y. Liang, B. Barsky, 1984); false
// if nothing is left.
bool ClipSegment(const Rect& box, Point* a, Point* b) {
  const double dx = b->x - a->x, dy = b->y - a->y;
  double begin = 0, end = 1;
  const auto cut = [&](double direction, double distance) {
    if (direction == 0) return distance >= 0;
    const double t = distance / direction;
    if (direction < 0) {
      if (t > end) return false;
      if (t > begin) begin = t;
    } else {
      if (t < begin) return false;
      if (t < end) end = t;
    }
    return true;
  };
  const Point from = *a;
  if (!cut(-dx, from.x - box.x) || !cut(dx, box.right() - from.x) ||
      !cut(-dy, from.y - box.y) || !cut(dy, box.bottom() - from.y)) {
    return false;
  }
  if (end < 1) *b = {from.x + end * dx, from.y + end * dy};
  if (begin > 0) *a = {from.x + begin * dx, from.y + begin * dy};
  return true;
}

}  // namespace

Path Polyline(const std::vector<Point>& points) {
  Path path;
  for (size_t i = 0; i < points.size(); ++i) {
    i == 0 ? path.MoveTo(points[i]) : path.LineTo(points[i]);
  }
  return path;
}

Path Polygon(const std::vector<Point>& points) {
  Path path = Polyline(points);
  path.Close();
  return path;
}

Path Rectangle(const Rect& rect) {
  return Polygon({{rect.x, rect.y},
                  {rect.right(), rect.y},
                  {rect.right(), rect.bottom()},
                  {rect.x, rect.bottom()}});
}

Path Circle(Point center, double radius) {
  // The usual four curves, off by less than 0.03 % of the radius.
  const double c = 0.5522847498 * radius, r = radius;
  const auto at = [&](double x, double y) {
    return Point{center.x + x, center.y + y};
  };
  Path path;
  path.MoveTo(at(r, 0));
  path.CurveTo(at(r, c), at(c, r), at(0, r));
  path.CurveTo(at(-c, r), at(-r, c), at(-r, 0));
  path.CurveTo(at(-r, -c), at(-c, -r), at(0, -r));
  path.CurveTo(at(c, -r), at(r, -c), at(r, 0));
  path.Close();
  return path;
}

std::vector<std::vector<Point>> ClipPolyline(const std::vector<Point>& points,
                                             const Rect& box) {
  std::vector<std::vector<Point>> parts;
  bool connected = false;
  for (size_t i = 1; i < points.size(); ++i) {
    Point a = points[i - 1], b = points[i];
    if (!ClipSegment(box, &a, &b)) {
      connected = false;
      continue;
    }
    if (!connected) parts.push_back({a});
    parts.back().push_back(b);
    connected = box.Contains(points[i]);
  }
  return parts;
}

std::vector<Point> ClipPolygon(std::vector<Point> points, const Rect& box) {
  // How far inside of each side a point is.
  for (int side = 0; side < 4; ++side) {
    const auto inside = [&](Point p) {
      switch (side) {
        case 0:
          return p.x - box.x;
        case 1:
          return box.right() - p.x;
        case 2:
          return p.y - box.y;
        default:
          return box.bottom() - p.y;
      }
    };
    std::vector<Point> kept;
    for (size_t i = 0; i < points.size(); ++i) {
      const Point a = points[i];
      const Point b = points[(i + 1) % points.size()];
      const double da = inside(a), db = inside(b);
      if (da >= 0) kept.push_back(a);
      if ((da >= 0) != (db >= 0)) {
        const double t = da / (da - db);
        kept.push_back({a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)});
      }
    }
    points = std::move(kept);
  }
  return points;
}

}  // namespace plot_internal
}  // namespace septet
