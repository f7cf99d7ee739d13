# SPDX-License-Identifier: Apache-2.0
"""Writes compile_commands.json into the workspace, for clangd and other tools.

    bazel run //tools:compile_commands

The commands are those of Bazel (`bazel aquery`), changed so that they hold in
the source tree: "septet/..." is found through .compile_commands/septet, a link
to the workspace, and so opens the sources themselves instead of Bazel's copies;
generated headers are found where the last build left them. Run it again when
targets are added; build once before it so that generated headers exist.
"""

import json
import os
import subprocess
import sys

_LINK = ".compile_commands"

# Of gcc alone, or about files that a compilation writes.
_DROPPED = ("-MD", "-c", "-fno-canonical-system-headers", "-Wunused-but-set-parameter",
            "-Wno-free-nonheap-object")
_DROPPED_WITH_VALUE = ("-MF", "-o")
_PATH_OPTIONS = ("-I", "-iquote", "-isystem")


def editor_arguments(arguments, execution_root, output_base):
    """The arguments of one compilation, for use in the workspace's root.

    Args:
      arguments: as Bazel runs them in its execution root; the source is among them.
      execution_root: `bazel info execution_root`.
      output_base: `bazel info output_base`.
    """

    def here(path):
        if path.startswith("bazel-out/"):
            return os.path.join(execution_root, path)
        if path.startswith("external/"):
            return os.path.join(output_base, path)
        return path

    # First, so that the links that include_prefix makes are not reached; those of
    # generated headers still are.
    result = [arguments[0], "-I" + _LINK]
    words = iter(arguments[1:])
    for word in words:
        if word in _DROPPED or word.startswith("-frandom-seed="):
            continue
        if word in _DROPPED_WITH_VALUE:
            next(words)
            continue
        option = next((o for o in _PATH_OPTIONS if word.startswith(o)), None)
        if option is None:
            result.append(word)
            continue
        result += [option, here(word[len(option):] or next(words))]
    # clangd cannot follow a Highway source that includes itself once a target.
    return result + ["-DHWY_COMPILE_ONLY_STATIC", "-Wno-unknown-warning-option"]


def compile_commands(actions, workspace, execution_root, output_base):
    """Entries of compile_commands.json, one a source of the workspace.

    Args:
      actions: the list "actions" of `bazel aquery --output=jsonproto`.
      workspace: path of the root, each entry's directory.
      execution_root: `bazel info execution_root`.
      output_base: `bazel info output_base`.
    """
    entries = {}
    for action in actions:
        arguments = action["arguments"]
        source = arguments[arguments.index("-c") + 1]
        if source.startswith(("external/", "bazel-out/")):
            continue
        entries.setdefault(source, {
            "file": source,
            "directory": workspace,
            "arguments": editor_arguments(arguments, execution_root, output_base),
        })
    return [entries[source] for source in sorted(entries)]


def _bazel(workspace, *arguments):
    result = subprocess.run(["bazel"] + list(arguments), cwd=workspace, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, check=False)
    if result.returncode:
        sys.exit("bazel %s failed:\n%s" % (" ".join(arguments), result.stderr.decode()))
    return result.stdout.decode()


def main():
    workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
    if len(sys.argv) > 1 or not workspace:
        print("usage: bazel run //tools:compile_commands", file=sys.stderr)
        sys.exit(2)
    info = dict(line.split(": ", 1) for line in
                _bazel(workspace, "info", "execution_root", "output_base").splitlines())
    text = _bazel(workspace, "aquery", 'mnemonic("CppCompile", //...)', "--output=jsonproto")
    entries = compile_commands(json.loads(text)["actions"], workspace,
                               info["execution_root"], info["output_base"])

    os.makedirs(os.path.join(workspace, _LINK), exist_ok=True)
    link = os.path.join(workspace, _LINK, "septet")
    if not os.path.islink(link):
        os.symlink("..", link)
    path = os.path.join(workspace, "compile_commands.json")
    with open(path + ".new", "w", encoding="utf-8") as f:
        json.dump(entries, f, indent=1)
    os.replace(path + ".new", path)
    print("%d sources in %s" % (len(entries), path), file=sys.stderr)


if __name__ == "__main__":
    main()
