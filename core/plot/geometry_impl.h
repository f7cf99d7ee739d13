// SPDX-License-Identifier: Apache-2.0
// Points of the plane, in points of 1/72 inch, y downwards.
#ifndef SEPTET_CORE_PLOT_GEOMETRY_IMPL_H_
#define SEPTET_CORE_PLOT_GEOMETRY_IMPL_H_

#include <algorithm>
#include <vector>

namespace septet {
namespace plot_internal {

struct Point {
  double x = 0, y = 0;
};

struct Size {
  double width = 0, height = 0;
};

struct Rect {
  double x = 0, y = 0, width = 0, height = 0;

  double right() const { return x + width; }
  double bottom() const { return y + height; }
  bool Contains(Point p) const {
    return p.x >= x && p.x <= right() && p.y >= y && p.y <= bottom();
  }
  Rect Grown(double by) const {
    return {x - by, y - by, width + 2 * by, height + 2 * by};
  }
};

// Space around a frame.
struct Margins {
  double left = 0, right = 0, top = 0, bottom = 0;

  void Cover(const Margins& other) {
    left = std::max(left, other.left);
    right = std::max(right, other.right);
    top = std::max(top, other.top);
    bottom = std::max(bottom, other.bottom);
  }
};

// An outline: lines and cubic curves.
struct Path {
  struct Step {
    char command;  // M, L, C (two control points, then the end), Z
    Point points[3];
  };
  std::vector<Step> steps;

  void MoveTo(Point p) { steps.push_back({'M', {p, {}, {}}}); }
  void LineTo(Point p) { steps.push_back({'L', {p, {}, {}}}); }
  void CurveTo(Point a, Point b, Point end) {
    steps.push_back({'C', {a, b, end}});
  }
  void Close() { steps.push_back({'Z', {}}); }
};

Path Polyline(const std::vector<Point>& points);
Path Polygon(const std::vector<Point>& points);
Path Rectangle(const Rect& rect);
Path Circle(Point center, double radius);

// The parts of a line that lie in `box`. Coordinates may be as large as they
// like, but finite.
std::vector<std::vector<Point>> ClipPolyline(const std::vector<Point>& points,
                                             const Rect& box);

// The part of a polygon that lies in `box` (I. Sutherland, G. Hodgman, 1974).
std::vector<Point> ClipPolygon(std::vector<Point> points, const Rect& box);

}  // namespace plot_internal
}  // namespace septet

#endif  // SEPTET_CORE_PLOT_GEOMETRY_IMPL_H_
