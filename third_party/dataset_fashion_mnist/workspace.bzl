# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "files_repository")

_BUILD = """
package(default_visibility = ["//visibility:public"])

filegroup(
    name = "dataset_fashion_mnist",
    srcs = glob(["fashion-mnist/*.gz"]),
)
"""

def repo():
    files_repository(
        name = "dataset_fashion_mnist",
        debian_package = "dataset-fashion-mnist",
        files = {"BUILD.bazel": _BUILD},
        links = {"/usr/share/datasets/fashion-mnist": "fashion-mnist"},
    )
