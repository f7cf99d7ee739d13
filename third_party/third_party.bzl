# SPDX-License-Identifier: Apache-2.0
"""Everything septet builds with: one repository a library, one folder here each."""

load("//third_party/abseil-cpp:workspace.bzl", abseil_cpp = "repo")
load("//third_party/cairo:workspace.bzl", cairo = "repo")
load("//third_party/dataset_fashion_mnist:workspace.bzl", dataset_fashion_mnist = "repo")
load("//third_party/dataset_fortunes:workspace.bzl", dataset_fortunes = "repo")
load("//third_party/eigen:workspace.bzl", eigen = "repo")
load("//third_party/google_benchmark:workspace.bzl", google_benchmark = "repo")
load("//third_party/googletest:workspace.bzl", googletest = "repo")
load("//third_party/hdf5:workspace.bzl", hdf5 = "repo")
load("//third_party/highway:workspace.bzl", highway = "repo")
load("//third_party/libjpeg:workspace.bzl", libjpeg = "repo")
load("//third_party/libpng:workspace.bzl", libpng = "repo")
load("//third_party/minizip:workspace.bzl", minizip = "repo")
load("//third_party/nlohmann_json:workspace.bzl", nlohmann_json = "repo")
load("//third_party/onednn:workspace.bzl", onednn = "repo")
load("//third_party/openblas:workspace.bzl", openblas = "repo")
load("//third_party/protobuf:workspace.bzl", protobuf = "repo", protobuf_alias = "alias_repo")
load("//third_party/remote_coverage_tools:workspace.bzl", remote_coverage_tools = "repo")
load("//third_party/rules_cc:workspace.bzl", rules_cc = "repo")
load("//third_party/rules_java:workspace.bzl", rules_java = "repo")
load("//third_party/rules_proto:workspace.bzl", rules_proto = "repo")
load("//third_party/sentencepiece:workspace.bzl", sentencepiece = "repo")
load("//third_party/utf8proc:workspace.bzl", utf8proc = "repo")
load("//third_party/zlib:workspace.bzl", zlib = "repo")

def septet_repositories():
    """Defines each repository that the calling WORKSPACE has not defined yet.

    Call it after your own definitions: they win.
    """
    repositories = {
        "abseil-cpp": abseil_cpp,
        "cairo": cairo,
        "com_google_protobuf": protobuf,
        "dataset_fashion_mnist": dataset_fashion_mnist,
        "dataset_fortunes": dataset_fortunes,
        "eigen": eigen,
        "google_benchmark": google_benchmark,
        "googletest": googletest,
        "hdf5": hdf5,
        "highway": highway,
        "libjpeg": libjpeg,
        "libpng": libpng,
        "minizip": minizip,
        "nlohmann_json": nlohmann_json,
        "onednn": onednn,
        "openblas": openblas,
        "protobuf": protobuf_alias,
        "remote_coverage_tools": remote_coverage_tools,
        "rules_cc": rules_cc,
        "rules_java": rules_java,
        "rules_proto": rules_proto,
        "sentencepiece": sentencepiece,
        "utf8proc": utf8proc,
        "zlib": zlib,
    }
    for name, repo in repositories.items():
        if not native.existing_rule(name):
            repo()
