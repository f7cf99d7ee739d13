# SPDX-License-Identifier: Apache-2.0
"""Repositories whose libraries the operating system has installed.

Nothing is downloaded. A missing library stops the build when its repository
is fetched, with the name of the package to install.
"""

def _run(ctx, arguments, environment = {}):
    result = ctx.execute(arguments, environment = environment)
    return result.stdout.strip() if result.return_code == 0 else None

def _missing(ctx, what):
    fail("\n\n  @{name} needs {what}, which this system does not have.\n  Run ./setup.sh, or install the Debian/Ubuntu package '{package}'.\n".format(
        name = ctx.name,
        what = what,
        package = ctx.attr.debian_package,
    ))

def _pkg_config(ctx, module, option):
    """What `pkg-config option module` prints, as a list of words."""
    tool = ctx.which("pkg-config")
    if tool == None:
        fail("\n\n  pkg-config is missing.\n  Run ./setup.sh, or install the Debian/Ubuntu package 'pkg-config'.\n")
    environment = {}
    if ctx.attr.variant:
        # Debian keeps the variants of one library apart, each in a directory
        # of its own beside the common one.
        common = (_run(ctx, [tool, "--variable=pc_path", "pkg-config"]) or "").split(":")
        dirs = [d.rpartition("/")[0] + "/" + ctx.attr.variant + "/pkgconfig" for d in common]
        environment["PKG_CONFIG_LIBDIR"] = ":".join(dirs)
    out = _run(ctx, [tool, option, module], environment)
    if out == None:
        _missing(ctx, "the pkg-config module '%s'" % module)
    return [word for word in out.split(" ") if word]

def _link_options(ctx, module):
    options = _pkg_config(ctx, module, "--libs")

    # A library outside the default directories must be found again at run time.
    return options + ["-Wl,-rpath," + word[2:] for word in options if word.startswith("-L")]

def _version(ctx):
    dpkg_query = ctx.which("dpkg-query")
    version = None
    if dpkg_query:
        version = _run(ctx, [dpkg_query, "-W", "-f", "${Version}", ctx.attr.debian_package])
    if not version and ctx.attr.pkg_config:
        version = " ".join(_pkg_config(ctx, ctx.attr.pkg_config[0], "--modversion"))
    return version or "unknown"

def _identifier(name):
    return "".join([c if c.isalnum() else "_" for c in name.elems()]).upper()

def _system_repository_impl(ctx):
    for path in ctx.attr.required_files:
        if not ctx.path(path).exists:
            _missing(ctx, path)
    for path, link in ctx.attr.links.items():
        if not ctx.path(path).exists:
            _missing(ctx, path)
        ctx.symlink(path, link)

    modules = list(ctx.attr.pkg_config)
    for module in ctx.attr.targets.values():
        if module not in modules:
            modules.append(module)
    linkopts = {module: _link_options(ctx, module) for module in modules}

    # Headers outside the compiler's default directories become part of the
    # repository, as include/.
    include_dirs = {}
    for module in modules:
        for word in _pkg_config(ctx, module, "--cflags-only-I"):
            include_dirs[word[2:].rstrip("/")] = True
    if len(include_dirs) > 1:
        fail("@%s: one include directory expected, pkg-config names %s" % (ctx.name, include_dirs.keys()))
    for path in include_dirs:
        ctx.symlink(path, "include")

    # Headers below /usr/include are not inputs of an action. The version in a
    # define makes the compile commands, and so the cache keys, change with them.
    version = _version(ctx)
    defines = ["SEPTET_SYSTEM_%s=%s" % (
        _identifier(ctx.name),
        _identifier(version),
    )]
    ctx.file("system.bzl", "VERSION = %r\nDEFINES = %r\nLINKOPTS = %r\n" % (version, defines, linkopts), executable = False)

    if ctx.attr.build_file:
        ctx.symlink(ctx.attr.build_file, "BUILD.bazel")
    elif "" not in [target.split(":")[0] for target in ctx.attr.targets]:
        ctx.file("BUILD.bazel", "", executable = False)

    packages = {}
    for target in ctx.attr.targets:
        package, name = target.split(":")
        packages.setdefault(package, []).append((name, ctx.attr.targets[target]))
    for package, entries in packages.items():
        lines = [
            "load(\"//:system.bzl\", \"DEFINES\", \"LINKOPTS\")",
            "package(default_visibility = [\"//visibility:public\"])",
        ]
        for name, module in entries:
            lines.append("cc_library(name = %r, defines = DEFINES, linkopts = LINKOPTS[%r])" % (name, module))
        ctx.file(package + ("/" if package else "") + "BUILD.bazel", "\n".join(lines) + "\n", executable = False)

system_repository = repository_rule(
    implementation = _system_repository_impl,
    local = True,
    configure = True,
    environ = ["PKG_CONFIG_PATH"],
    attrs = {
        "build_file": attr.label(allow_single_file = True, doc = "BUILD file of the repository's root; may load VERSION, DEFINES and LINKOPTS from //:system.bzl."),
        "debian_package": attr.string(mandatory = True, doc = "What to install when something is missing."),
        "links": attr.string_dict(doc = "Absolute path -> name of a link to it in the repository."),
        "pkg_config": attr.string_list(doc = "Modules whose link options build_file uses."),
        "required_files": attr.string_list(doc = "Absolute paths that must exist (for libraries without a pkg-config file)."),
        "variant": attr.string(doc = "Directory of the variant, for libraries of which Debian has several (openblas-serial)."),
        "targets": attr.string_dict(doc = "'package:name' -> pkg-config module, for libraries that are one module a target."),
    },
)

def _files_repository_impl(ctx):
    for path, link in ctx.attr.links.items():
        if not ctx.path(path).exists:
            _missing(ctx, path)
        ctx.symlink(path, link)
    for path in ctx.attr.files:
        ctx.file(path, ctx.attr.files[path], executable = False)

files_repository = repository_rule(
    implementation = _files_repository_impl,
    local = True,
    doc = "A repository made of the given texts and links; a local_repository inside our macro would resolve its path against a consumer's root.",
    attrs = {
        "debian_package": attr.string(),
        "files": attr.string_dict(doc = "Path -> content."),
        "links": attr.string_dict(doc = "Absolute path -> name of a link to it in the repository."),
    },
)
