// SPDX-License-Identifier: Apache-2.0
// PNG files of pixels and of cairo's surfaces.
#ifndef SEPTET_CORE_PLOT_PNG_IMPL_H_
#define SEPTET_CORE_PLOT_PNG_IMPL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "septet/core/plot/canvas_impl.h"

// Cairo's own type, by its name only: its header stays in the sources.
typedef struct _cairo_surface cairo_surface_t;

namespace septet {
namespace plot_internal {

struct SurfaceDeleter {
  void operator()(cairo_surface_t* surface) const;
};
using Surface = std::unique_ptr<cairo_surface_t, SurfaceDeleter>;

// An RGB surface of these pixels. Errors: ResourceExhausted, Internal.
absl::StatusOr<Surface> MakeSurface(const Raster& raster);
// A white one.
absl::StatusOr<Surface> MakeSurface(int width, int height);

absl::StatusOr<std::string> EncodePng(cairo_surface_t* surface);
absl::StatusOr<std::string> EncodePng(const Raster& raster);

// `png` with a chunk that says its resolution.
std::string WithResolution(std::string png, int dots_per_inch);

}  // namespace plot_internal
}  // namespace septet

#endif  // SEPTET_CORE_PLOT_PNG_IMPL_H_
