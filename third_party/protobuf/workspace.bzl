# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "files_repository", "system_repository")

# cc_proto_library and proto_library of Bazel 4 name @com_google_protobuf; the
# name of the Bazel Central Registry, which our BUILD files use, refers to it.
_ALIASES = """
package(default_visibility = ["//visibility:public"])
""" + "".join(["""
alias(
    name = "{0}",
    actual = "@com_google_protobuf//:{0}",
)
""".format(name) for name in [
    "any_proto",
    "cc_toolchain",
    "descriptor_proto",
    "protobuf",
    "protobuf_lite",
    "protoc",
]])

def repo():
    system_repository(
        name = "com_google_protobuf",
        build_file = Label("//third_party/protobuf:system.BUILD.bazel"),
        debian_package = "libprotobuf-dev protobuf-compiler",
        links = {
            "/usr/bin/protoc": "protoc",
            "/usr/include/google/protobuf": "google/protobuf",
        },
        pkg_config = ["protobuf"],
    )

def alias_repo():
    files_repository(
        name = "protobuf",
        files = {
            "BUILD.bazel": _ALIASES,
        },
    )
