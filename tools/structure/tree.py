# SPDX-License-Identifier: Apache-2.0
"""The source tree as a structure test sees it: its files and its Bazel targets.

BUILD and .bzl files are run as Python, which the part of Starlark that this
project uses also is. Rules are replaced by recorders, so a macro yields the
very targets that Bazel would see, without starting Bazel.
"""

import fnmatch
import os
import posixpath

# Rules and functions that a BUILD file can call without loading them.
_NATIVE_RULES = """
    alias cc_binary cc_import cc_library cc_proto_library cc_test
    config_setting constraint_setting constraint_value filegroup genrule
    proto_lang_toolchain proto_library py_binary py_library py_runtime py_test sh_binary
    sh_library sh_test test_suite toolchain
""".split()

# What only the definition of a rule uses.
_RULE_WORDS = """
    aspect provider transition CcInfo DefaultInfo OutputGroupInfo ProtoInfo
""".split()

# Attributes that are lists of labels.
LABEL_LISTS = ("data", "deps", "hdrs", "srcs", "textual_hdrs", "tests", "tools")


class Target:
    """One rule of a BUILD file. Labels are absolute; so are the file names."""

    def __init__(self, package, rule, attributes):
        self.package = package
        self.rule = rule
        self.name = attributes["name"]
        self.label = "//%s:%s" % (package, self.name)
        self.attributes = attributes
        for attribute in LABEL_LISTS:
            values = attributes.get(attribute) or []
            setattr(self, attribute, [absolute(package, v) for v in values])
        if attributes.get("actual"):
            self.deps.append(absolute(package, attributes["actual"]))
        self.testonly = bool(attributes.get("testonly")) or rule.endswith("_test")
        self.alwayslink = bool(attributes.get("alwayslink"))

    def sources(self):
        """Paths of all C++ and proto sources in the tree."""
        return [label_to_path(v) for v in self.srcs + self.hdrs + self.textual_hdrs
                if v.startswith("//")]


def absolute(package, label):
    """"x", ":x", "//a/b" and "@r//a" in the form "//package:name"."""
    repository, slashes, rest = label.partition("//")
    if not slashes:
        return "//%s:%s" % (package, label.lstrip(":"))
    if ":" not in rest:
        rest += ":" + (rest.rsplit("/", 1)[-1] or repository[1:])
    return repository + "//" + rest


def label_to_path(label):
    return label[2:].replace(":", "/").lstrip("/")


def package_of(label):
    """"core/base" of "//core/base:check", "@x//" of what another repository has."""
    repository, _, rest = label.partition("//")
    return repository + "//" if repository else rest.split(":")[0]


class Tree:
    """The tree below `root`.

    Attributes:
      root: absolute or relative path of the tree.
      files: sorted paths, relative and with "/", of all files that git does not
        ignore (.gitignore may have only patterns with a leading "/").
      targets: label -> Target, without the workspaces named in .bazelignore.
      repositories: (rule, attributes) of what third_party.bzl defines.
    """

    def __init__(self, root):
        self.root = root
        self.files = self._list_files()
        self.targets = {}
        self.repositories = []
        self._modules = {}
        self._other_workspaces = tuple(f + "/" for f in self._lines(".bazelignore"))
        for path in self.files:
            if posixpath.basename(path) not in ("BUILD", "BUILD.bazel"):
                continue
            if self.is_other_workspace(path):
                continue
            self._run_build_file(path)
        if "third_party/third_party.bzl" in self.files:
            module = self._module("//third_party:third_party.bzl")
            module["septet_repositories"]()

    def read(self, path):
        """The text of a file; bytes that are not UTF-8 are replaced."""
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as f:
            return f.read()

    def is_other_workspace(self, path):
        """Whether .bazelignore names a folder that `path` is in."""
        return path.startswith(self._other_workspaces)

    def closure(self, label):
        """Labels of everything that `label` depends on for compiling and linking."""
        seen = set()
        pending = [label]
        while pending:
            target = self.targets.get(pending.pop())
            for dep in target.deps if target else []:
                if dep not in seen:
                    seen.add(dep)
                    pending.append(dep)
        return seen

    def _lines(self, path):
        if path not in self.files:
            return []
        lines = [line.strip() for line in self.read(path).splitlines()]
        return [line for line in lines if line and not line.startswith("#")]

    def _list_files(self):
        patterns = []
        ignore_file = os.path.join(self.root, ".gitignore")
        if os.path.exists(ignore_file):
            with open(ignore_file, encoding="utf-8") as f:
                patterns = [line.strip().strip("/") for line in f if line.startswith("/")]

        def ignored(path):
            return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)

        files = []
        for folder, folders, names in os.walk(self.root):
            relative = os.path.relpath(folder, self.root).replace(os.sep, "/")
            prefix = "" if relative == "." else relative + "/"
            # Links are Bazel's (bazel-bin) or an editor's, never sources.
            folders[:] = [name for name in folders
                          if name not in (".git", "__pycache__") and not ignored(prefix + name)
                          and not os.path.islink(os.path.join(folder, name))]
            files += [prefix + name for name in names
                      if name != ".git" and not ignored(prefix + name)]
        return sorted(files)

    # --- BUILD and .bzl files -------------------------------------------------

    def _run_build_file(self, path):
        package = posixpath.dirname(path)

        def recorder(rule):
            def record(name, **attributes):
                target = Target(package, rule, dict(attributes, name=name))
                if target.label in self.targets:
                    raise ValueError("%s: %s is defined twice" % (path, target.label))
                self.targets[target.label] = target
            return record

        self._native.begin(package, recorder)
        names = self._common_names(package)
        names.update({rule: recorder(rule) for rule in _NATIVE_RULES})
        names.update(
            glob=self._native.glob,
            exports_files=lambda *args, **kwargs: None,
            package=lambda **kwargs: None,
            package_group=lambda **kwargs: None,
        )
        self._run(path, names)

    @property
    def _native(self):
        if not hasattr(self, "_native_module"):
            self._native_module = _Native(self)
        return self._native_module

    def _common_names(self, package):
        names = {}

        def load(bzl, *symbols, **renamed):
            renamed.update({symbol: symbol for symbol in symbols})
            module = self._module(absolute(package, bzl))
            for name, symbol in renamed.items():
                # Another repository's symbol is a rule that yields nothing here.
                names[name] = module[symbol] if module else lambda *a, **k: None

        def fail(*args, **kwargs):
            raise ValueError(" ".join(str(arg) for arg in args))

        def select(branches, **kwargs):
            values = list(branches.values())
            if all(isinstance(value, list) for value in values):
                # All branches: what any configuration can depend on.
                return list(dict.fromkeys(item for value in values for item in value))
            return branches.get("//conditions:default", values[0])

        def rule(**kwargs):
            # The name of the rule does not matter, its attributes do.
            return lambda **attributes: self._native.recorder("rule")(**attributes)

        def repository_rule(**kwargs):
            return lambda **attributes: self.repositories.append(attributes)

        names.update(
            load=load, fail=fail, select=select, native=self._native, rule=rule,
            repository_rule=repository_rule, Label=str, attr=_Anything(), struct=lambda **fields: _Fields(fields),
            depset=lambda items=(), **kwargs: list(items))
        names.update({name: _Anything() for name in _RULE_WORDS})
        return names

    def _module(self, label):
        if label.startswith("@"):
            return None
        if label not in self._modules:
            names = self._common_names(package_of(label))
            self._modules[label] = names
            self._run(label_to_path(label), names)
        return self._modules[label]

    def _run(self, path, names):
        try:
            exec(compile(self.read(path), path, "exec"), names)
        except Exception as error:
            raise ValueError("%s cannot be read: %s: %s" % (path, type(error).__name__, error)) from error


class _Native:
    """`native` of a .bzl file, for the BUILD file that is being read."""

    def __init__(self, tree):
        self._tree = tree
        self._package = ""
        self.recorder = None

    def begin(self, package, recorder):
        self._package = package
        self.recorder = recorder

    def package_name(self):
        return self._package

    def existing_rule(self, name):
        return None

    def glob(self, include=(), exclude=(), **kwargs):
        prefix = self._package + "/" if self._package else ""
        paths = [path for path in self._tree.files if path.startswith(prefix)]
        # A folder with a BUILD file is another package.
        inner = [posixpath.dirname(path) + "/" for path in paths
                 if posixpath.basename(path) == "BUILD" and posixpath.dirname(path) != self._package]
        names = [path[len(prefix):] for path in paths if not path.startswith(tuple(inner))]
        return [name for name in names
                if any(_glob_match(name, p) for p in include)
                and not any(_glob_match(name, p) for p in exclude)]

    def __getattr__(self, rule):
        return self.recorder(rule)


def _glob_match(name, pattern):
    def match(parts, patterns):
        if not patterns:
            return not parts
        if patterns[0] == "**":
            return any(match(parts[i:], patterns[1:]) for i in range(len(parts) + 1))
        return (bool(parts) and fnmatch.fnmatchcase(parts[0], patterns[0])
                and match(parts[1:], patterns[1:]))
    return match(name.split("/"), pattern.split("/"))


class _Fields:
    def __init__(self, fields):
        self.__dict__.update(fields)


class _Anything:
    """Stands for what only rule implementations look into."""

    def __getattr__(self, name):
        return self

    def __call__(self, *args, **kwargs):
        return self
