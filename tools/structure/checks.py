# SPDX-License-Identifier: Apache-2.0
"""What must hold of the source tree as a whole.

Each check takes a tree.Tree and returns a list of messages, empty when all is
well. A message names the file or target and what to do.
"""

import hashlib
import os
import posixpath
import re
import subprocess
from concurrent import futures

from tools.structure import headers
from tools.structure import tree as tree_lib

METHODS = ("analysis", "diffusion", "positional", "retention", "rl", "ssl")

# Folder -> the other folders it may depend on. `bazel` holds rules and their
# few helpers; third-party repositories are the next table's.
_MAY_DEPEND_ON = {
    "bazel": ("core",),
    "core": ("bazel",),
    "baselines": ("bazel", "core"),
    "examples": ("bazel", "core", "baselines") + METHODS,
    "third_party": (),
    "tools": ("bazel", "core", "baselines", "examples") + METHODS,
}
_MAY_DEPEND_ON.update({method: ("bazel", "core") for method in METHODS})

# Heavy or crash-prone libraries -> targets and packages that may use them.
# "//core/io:hdf5*" is a pattern of labels; "//core/blas" is a whole package.
_EDGES = {
    "@boost//": ["//core/cuda"],
    "@cairo//": ["//core/plot"],
    "@hdf5//": ["//core/io:hdf5*"],
    "@libjpeg//": ["//core/io:jpeg_impl"],
    "@libpng//": ["//core/io:png_impl"],
    "@minizip//": ["//core/io:zip_impl_test"],
    "@mujoco//": ["//rl/envs:mujoco*"],
    "@onednn//": ["//core/blas"],
    "@openblas//": ["//core/blas"],
    "@sentencepiece//": ["//core/text"],
    "@utf8proc//": ["//core/text"],
}

# Package or target -> what must not be among all it links: packages, targets
# and repositories. These are what other repositories take from septet when they
# want little. Tests are exempt.
_LIGHT = {
    "//core/base": ["@protobuf//", "@onednn//", "@openblas//", "//core/tensor"],
    "//core/random": ["@protobuf//", "@onednn//", "@openblas//"],
    "//core/tensor": ["@protobuf//", "@onednn//", "@openblas//", "//core/autograd", "//core/ops",
                      "//core/blas"],
    "//core/blas": ["@protobuf//", "//core/autograd", "//core/ops"],
    "//core/ops": ["@protobuf//"],
    "//core/autograd": ["@protobuf//"],
    "//core/nn": ["@protobuf//", "//core/config", "//core/io", "//core/optim"],
    "//retention:retention": ["@protobuf//", "//core/config", "//core/io", "//core/nn"],
}

_TAGS = ("benchmark", "emu", "manual", "requires-gpu", "slow")

_CPP = (".h", ".cc", ".inc")
_SOURCES = _CPP + (".bzl", ".cu", ".proto", ".py", ".sh")
_SOURCE_NAMES = ("BUILD", "BUILD.bazel", "WORKSPACE", ".bazelrc")
_TEXTS = _SOURCES + (".md", ".txt", ".json", ".textproto", ".yml", ".yaml")


def _is_source(tree, path):
    name = posixpath.basename(path)
    if path.endswith(_SOURCES) or name in _SOURCE_NAMES or name.endswith(".BUILD.bazel"):
        return True
    # Programs without an extension: setup.sh's siblings.
    return "." not in name and "testdata" not in path and tree.read(path)[:2] == "#!"


def spdx(tree):
    """Every source file names its licence in its first two lines."""
    return [path + ": the first line (the second after #!) must say SPDX-License-Identifier: Apache-2.0"
            for path in tree.files if _is_source(tree, path)
            and "SPDX-License-Identifier: Apache-2.0" not in
            "\n".join(tree.read(path).split("\n", 2)[:2])]


def machine_paths(tree):
    """No file names a folder of one machine."""
    pattern = re.compile(r"(?<![\w.~$}>/-])/(?:work|root|farm)/|\.\./" + "shared")
    problems = []
    for path in tree.files:
        if not path.endswith(_TEXTS) and not _is_source(tree, path):
            continue
        for number, line in enumerate(tree.read(path).splitlines(), 1):
            found = pattern.search(line)
            if found and "tools/structure/" not in path:
                problems.append("%s:%d: a path of one machine: %s" % (path, number, found.group()))
    return problems


def markdown_links(tree):
    """Relative links of documents lead to files of the tree."""
    known = set(tree.files)
    known.update(parent for path in tree.files for parent in _parents(path))
    problems = []
    for path in tree.files:
        if not path.endswith(".md"):
            continue
        # Examples in code are not links.
        text = re.sub(r"(?ms)^```.*?^```|`[^`\n]*`", "", tree.read(path))
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:|#", link):
                continue
            goal = posixpath.normpath(posixpath.join(posixpath.dirname(path), link.split("#")[0]))
            if goal not in known:
                problems.append("%s: the link %s leads nowhere" % (path, link))
    return problems


def _parents(path):
    while path:
        path = posixpath.dirname(path)
        yield path or "."


def system_packages(tree):
    """setup.sh installs each package that a repository names."""
    setup = tree.read("setup.sh") if "setup.sh" in tree.files else ""
    listed = set(re.findall(r"^([a-z0-9][a-z0-9.+-]+) +(?:command|module|file) ", setup, re.M))
    return ["setup.sh: package %s of @%s is missing" % (package, attributes["name"])
            for attributes in tree.repositories
            for package in (attributes.get("debian_package") or "").split()
            if package not in listed]


def tags(tree):
    """Tags are from a short list; those on execution are for tests of this tree."""
    return ["%s: tag '%s' is not one of %s" % (target.label, tag, ", ".join(_TAGS))
            for target in tree.targets.values()
            for tag in target.attributes.get("tags") or []
            if tag not in _TAGS
            and not (tag in ("external", "local") and target.package.startswith("tools"))]


_STRING_LIST = re.compile(r'^ +(\w+) = \[\n((?: +"[^"\n]*",\n)+) *\]', re.M)


def _sort_key(label):
    """Buildifier's order: of this package, of this repository, of others; by words."""
    phase = next((i for i, start in enumerate((":", "//", "@"), 1) if label.startswith(start)), 0)
    return phase, re.split("[:.]", label)


def sorted_lists(tree):
    """The lists of labels in BUILD files are sorted."""
    problems = []
    for path in tree.files:
        if posixpath.basename(path) not in ("BUILD", "BUILD.bazel"):
            continue
        text = tree.read(path)
        for found in _STRING_LIST.finditer(text):
            if found.group(1) not in tree_lib.LABEL_LISTS:
                continue
            labels = re.findall('"(.*)"', found.group(2))
            wanted = sorted(labels, key=_sort_key)
            for label, other in zip(labels, wanted):
                if label != other:
                    problems.append("%s:%d: %s is not sorted: %s before %s" % (
                        path, text.count("\n", 0, found.start()) + 1, found.group(1), other, label))
                    break
    return problems


def layers(tree):
    """Methods never depend on each other, and nobody on what stands above."""
    problems = []
    for target in tree.targets.values():
        folder = target.package.split("/")[0]
        if not folder:
            continue
        if folder not in _MAY_DEPEND_ON:
            problems.append("%s: tools/structure/checks.py does not know the folder %s"
                            % (target.label, folder))
            continue
        for dep in target.deps + target.srcs + target.hdrs + target.data + target.tools:
            other = tree_lib.package_of(dep).split("/")[0]
            # The root package holds only files.
            if dep.startswith("@") or not other or other == folder:
                continue
            if other not in _MAY_DEPEND_ON[folder]:
                problems.append("%s must not depend on %s: %s may depend on %s only"
                                % (target.label, dep, folder,
                                   ", ".join((folder,) + _MAY_DEPEND_ON[folder])))
    return problems


def _matches(label, pattern):
    """Whether `label` is the target, in the package or in the repository `pattern`."""
    if pattern.endswith("*"):
        return label.startswith(pattern[:-1])
    return (label == pattern or (pattern.endswith("//") and label.startswith(pattern))
            or label.startswith((pattern + ":", pattern + "/")))


def edges(tree):
    """Heavy libraries are named by their one package only, and small packages stay light."""
    problems = []
    for target in tree.targets.values():
        for dep in target.deps:
            for library, users in _EDGES.items():
                if _matches(dep, library) and not any(_matches(target.label, u) for u in users):
                    problems.append("%s must not depend on %s: only %s may"
                                    % (target.label, dep, ", ".join(users)))
        if target.testonly:
            continue
        for light, forbidden in _LIGHT.items():
            if not _matches(target.label, light):
                continue
            for dep in sorted(tree.closure(target.label)):
                if any(_matches(dep, f) for f in forbidden):
                    problems.append("%s must not link %s" % (target.label, dep))
    return problems


_INCLUDE = re.compile(r'^[ \t]*#[ \t]*(?:include[ \t]*[<"]|define[ \t]+HWY_TARGET_INCLUDE[ \t]+")'
                      r'([^>"\n]+)[>"]', re.M)
_IMPORT = re.compile(r'^import\s+(?:public\s+)?"([^"]+)";', re.M)


def _provided(tree):
    """Include path -> labels of the targets of this tree that provide it."""
    memo = {}

    def includes_of(label):
        target = tree.targets.get(label)
        if target is None:
            return set()
        if label not in memo:
            memo[label] = set()
            memo[label] = own_includes(target)
        return memo[label]

    def own_includes(target):
        if target.rule == "proto_library":
            return {"septet/" + path for path in target.sources()}
        if target.rule == "cc_proto_library":
            return {include[:-len(".proto")] + ".pb.h"
                    for dep in target.deps for include in includes_of(dep)}
        headers_ = [tree_lib.label_to_path(v) for v in target.hdrs + target.textual_hdrs]
        if target.rule in ("alias", "rule") and not headers_:
            # Hands on what it stands for.
            return {include for dep in target.deps for include in includes_of(dep)}
        # By the path in the workspace too, as foreach_target.h needs it.
        prefix = target.attributes.get("include_prefix")
        return set(headers_) | {prefix + path[len(target.package):] for path in headers_ if prefix}

    provided = {}
    for label in tree.targets:
        for include in includes_of(label):
            provided.setdefault(include, set()).add(label)
    return provided


def _needs(tree, provided, target):
    """(source, include, labels of which one must be a direct dependency)."""
    own = set(target.sources())
    for path in sorted(own):
        if path not in tree.files:
            continue
        pattern = _IMPORT if path.endswith(".proto") else _INCLUDE
        for include in dict.fromkeys(pattern.findall(tree.read(path))):
            if include in own or target.label in provided.get(include, ()):
                continue
            if headers.is_system_header(include):
                continue
            if include == "google/protobuf/descriptor.proto":
                yield path, include, ["@protobuf//:descriptor_proto"]
            else:
                yield (path, include,
                       sorted(provided.get(include, ())) or headers.third_party_targets(include))


def includes(tree):
    """Each #include and import has its direct dependency, and each dependency its include."""
    provided = _provided(tree)
    providers = {label for labels in provided.values() for label in labels}
    problems = []
    for target in tree.targets.values():
        sources = target.sources()
        if not sources or target.rule not in ("cc_library", "cc_test", "cc_binary",
                                              "proto_library", "rule"):
            continue
        used = set()
        for path, include, labels in _needs(tree, provided, target):
            used.update(labels)
            if not labels:
                problems.append("%s: nothing provides %s (a library's row is in "
                                "tools/structure/headers.py)" % (path, include))
            elif set(labels).isdisjoint(target.deps):
                problems.append("%s: %s needs %s in the deps of %s"
                                % (path, include, " or ".join(labels), target.label))
        for dep in dict.fromkeys(target.deps):
            library = tree.targets.get(dep)
            # Only what has headers can be superfluous; a library that puts itself
            # into a registry (alwayslink) is a dependency without an include.
            unused = (dep in providers and not library.alwayslink if library
                      else dep.startswith(("@abseil-cpp//", "@eigen//", "@highway//",
                                           "@nlohmann_json//", "@onednn//", "@openblas//",
                                           "@protobuf//")))
            if unused and dep not in used:
                problems.append("%s: nothing of %s is included; remove it from deps"
                                % (target.label, dep))
    return problems


def unbuilt_sources(tree):
    """Each C++ source and .proto of the workspace belongs to a target."""
    built = {path for target in tree.targets.values() for path in target.sources()}
    return ["%s: no target has it" % path for path in tree.files
            if path.endswith(_CPP + (".proto",)) and "testdata" not in path
            and not tree.is_other_workspace(path) and path not in built]


def formatting(tree, cache=None):
    """All C++ sources are as clang-format leaves them.

    Args:
      tree: the tree.
      cache: path of a file in which the digests of formatted files are kept, so
        that only changed ones are looked at.
    """
    paths = [path for path in tree.files
             if path.endswith((".h", ".cc", ".cu")) and "testdata" not in path]
    version = subprocess.run(["clang-format", "--version"], stdout=subprocess.PIPE, check=True)
    style = version.stdout + tree.read(".clang-format").encode()

    def digest(path):
        with open(os.path.join(tree.root, path), "rb") as f:
            return hashlib.sha256(style + b"\0" + path.encode() + b"\0" + f.read()).hexdigest()

    digests = {path: digest(path) for path in paths}
    known = set()
    if cache and os.path.exists(cache):
        with open(cache, encoding="utf-8") as f:
            known = set(f.read().split())
    pending = [path for path in paths if digests[path] not in known]
    parts = [part for part in (pending[::2], pending[1::2]) if part]

    def run(part):
        return subprocess.run(["clang-format", "--dry-run", "--Werror"] + part, cwd=tree.root,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)

    with futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, parts))
    output = b"".join(result.stdout for result in results).decode()
    bad = list(dict.fromkeys(re.findall(r"^([^\s:]+):\d+:\d+: error: .*-Wclang-format-violations", output, re.M)))
    problems = ["%s: run clang-format -i on it" % path for path in bad]
    if any(result.returncode for result in results) and not bad:
        problems.append("clang-format failed: " + output)
    if cache and not problems:
        os.makedirs(os.path.dirname(cache), exist_ok=True)
        with open(cache + ".new", "w", encoding="utf-8") as f:
            f.write("\n".join(sorted(digests.values())) + "\n")
        os.replace(cache + ".new", cache)
    return problems
