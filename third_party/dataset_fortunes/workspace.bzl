# SPDX-License-Identifier: Apache-2.0
load("//bazel:system_repository.bzl", "files_repository")

# The texts of this package alone, by name: other packages (fortunes-min,
# translations) put theirs into the same folder, and a corpus must not depend on
# what else is installed.
_FILES = [
    "art",
    "ascii-art",
    "computers",
    "cookie",
    "debian",
    "definitions",
    "disclaimer",
    "drugs",
    "education",
    "ethnic",
    "food",
    "goedel",
    "humorists",
    "kids",
    "knghtbrd",
    "law",
    "linux",
    "linuxcookie",
    "love",
    "magic",
    "medicine",
    "men-women",
    "miscellaneous",
    "news",
    "paradoxum",
    "people",
    "perl",
    "pets",
    "platitudes",
    "politics",
    "pratchett",
    "science",
    "songs-poems",
    "sports",
    "startrek",
    "tao",
    "translate-me",
    "wisdom",
    "work",
    "zippy",
]

_BUILD = """
package(default_visibility = ["//visibility:public"])

filegroup(
    name = "dataset_fortunes",
    srcs = %s,
)
""" % ["fortunes/" + name for name in _FILES]

def repo():
    files_repository(
        name = "dataset_fortunes",
        debian_package = "fortunes",
        files = {"BUILD.bazel": _BUILD},
        links = {"/usr/share/games/fortunes": "fortunes"},
    )
