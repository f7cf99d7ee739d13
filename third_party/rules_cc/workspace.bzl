# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "files_repository")

# Bazel 4 loads this name by itself. Debian's copy (0.0.4) does not load in
# Bazel 4.2, and the native rules are all that is asked of it.
_DEFS = """
cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
fdo_prefetch_hints = native.fdo_prefetch_hints
fdo_profile = native.fdo_profile
objc_import = native.objc_import
objc_library = native.objc_library
"""

def repo():
    files_repository(
        name = "rules_cc",
        files = {
            "BUILD.bazel": "",
            "cc/BUILD.bazel": "",
            "cc/defs.bzl": _DEFS,
        },
    )
