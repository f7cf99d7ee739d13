# SPDX-License-Identifier: Apache-2.0
"""Which Bazel target provides a header of another project.

A library added below third_party/ gets its row here; a header that no row
knows is an error, so that the table stays complete.
"""

import posixpath

# Abseil's headers that are not named as their target is.
_ABSEIL_FOLDERS = {
    "absl/strings/": "strings",
    "absl/synchronization/": "synchronization",
    "absl/time/": "time",
}
_ABSEIL_HEADERS = {
    "absl/base/attributes.h": "core_headers",
    "absl/base/call_once.h": "base",
    "absl/base/casts.h": "base",
    "absl/base/const_init.h": "core_headers",
    "absl/base/macros.h": "core_headers",
    "absl/base/optimization.h": "core_headers",
    "absl/base/port.h": "core_headers",
    "absl/base/thread_annotations.h": "core_headers",
    "absl/flags/declare.h": "flag",
    "absl/strings/cord.h": "cord",
    "absl/strings/str_format.h": "str_format",
}

# Prefix of the include -> targets, each of which provides it; longest first.
_PREFIXES = [
    ("hwy/contrib/math/", ["@highway//:math"]),
    ("unsupported/Eigen/", ["@eigen//:eigen"]),
    ("google/protobuf/", ["@protobuf//:protobuf", "@protobuf//:protobuf_lite"]),
    # The benchmark macro brings benchmark_main.
    ("benchmark/", ["@google_benchmark//:benchmark", "@google_benchmark//:benchmark_main"]),
    ("nlohmann/", ["@nlohmann_json//:json"]),
    ("gmock/", ["@googletest//:gtest"]),
    ("gtest/", ["@googletest//:gtest"]),
    ("oneapi/dnnl/", ["@onednn//:onednn"]),
    ("sentencepiece_processor.h", ["@sentencepiece//:sentencepiece_processor"]),
    ("utf8proc.h", ["@utf8proc//:utf8proc"]),
    ("Eigen/", ["@eigen//:eigen"]),
    ("cairo", ["@cairo//:cairo"]),
    ("jpeglib.h", ["@libjpeg//:libjpeg"]),
    ("jerror.h", ["@libjpeg//:libjpeg"]),
    ("ioapi.h", ["@minizip//:minizip"]),
    ("unzip.h", ["@minizip//:minizip"]),
    ("hdf5.h", ["@hdf5//:hdf5"]),
    ("zlib.h", ["@zlib//:zlib"]),
    ("png.h", ["@libpng//:libpng"]),
    ("zip.h", ["@minizip//:minizip"]),
    ("hwy/", ["@highway//:hwy"]),
    ("dnnl", ["@onednn//:onednn"]),
    ("cblas.h", ["@openblas//:openblas"]),
    ("lapack", ["@openblas//:openblas"]),
    ("openblas_config.h", ["@openblas//:openblas"]),
]

# Headers of C, POSIX, the compiler and Linux need no target. Those of C++ have
# neither an extension nor a folder.
_SYSTEM_FOLDERS = ("arpa/", "linux/", "netinet/", "sanitizer/", "sys/")
_SYSTEM_HEADERS = frozenset("""
    arm_acle.h arm_neon.h assert.h complex.h cpuid.h ctype.h cxxabi.h dirent.h dlfcn.h errno.h
    execinfo.h fcntl.h features.h fenv.h float.h getopt.h glob.h inttypes.h
    libgen.h limits.h locale.h malloc.h math.h omp.h poll.h
    pthread.h sched.h semaphore.h setjmp.h signal.h spawn.h stdalign.h
    stdarg.h stdatomic.h stdbool.h stddef.h stdint.h stdio.h stdlib.h
    string.h strings.h syslog.h termios.h time.h ucontext.h unistd.h utime.h
    wchar.h
""".split())


def is_system_header(include):
    return (("/" not in include and "." not in include) or include in _SYSTEM_HEADERS
            or include.startswith(_SYSTEM_FOLDERS)
            or ("/" not in include and include.endswith("intrin.h")))


def third_party_targets(include):
    """Labels of the targets that provide `include`; none if it is not known."""
    if include.startswith("absl/"):
        folder = posixpath.dirname(include)
        name = _ABSEIL_HEADERS.get(include) or _ABSEIL_FOLDERS.get(folder + "/")
        return ["@abseil-cpp//%s:%s" % (folder, name or posixpath.basename(include)[:-len(".h")])]
    for prefix, labels in _PREFIXES:
        if include.startswith(prefix):
            return labels
    return []
