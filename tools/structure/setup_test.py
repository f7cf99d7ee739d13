# SPDX-License-Identifier: Apache-2.0
"""setup.sh against systems made of stand-ins for dpkg-query, apt-get and others."""

import os
import shutil
import subprocess
import tempfile
import unittest

_SETUP = os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "setup.sh")

# The state of the system is one file, "installed": lines "package version".
_DPKG_QUERY = """
echo "dpkg-query $*" >>log
case "$3" in *Status*) state=1 ;; *) state= ;; esac
shift 3
for pattern in "$@"; do
  while read -r package version; do
    case "$package" in
      $pattern)
        if [ -n "$state" ]; then echo "installed $package"; else echo "$package $version"; fi ;;
    esac
  done <installed
done
"""

_APT_GET = """
echo "apt-get $* ($DEBIAN_FRONTEND)" >>log
echo "noise"
[ ! -e apt_fails ] || exit 100
case "$*" in
  *install*)
    for word in "$@"; do
      case "$word" in -*|install) ;; *) echo "$word 1.0" >>installed ;; esac
    done ;;
esac
"""


class SetupTest(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))
        self.addCleanup(shutil.rmtree, self.root)
        shutil.copy(_SETUP, self.path("setup.sh"))
        os.mkdir(self.path("bin"))
        for name in ("awk", "bash", "cat", "chmod", "cut", "dirname", "env", "grep", "mv", "sed", "sha256sum"):
            os.symlink(shutil.which(name), self.path("bin/" + name))
        self.command("dpkg-query", _DPKG_QUERY)
        self.command("apt-get", _APT_GET)
        self.command("id", "echo 0")
        self.command("bazel", "")
        self.write("log", "")
        with open(_SETUP, encoding="utf-8") as f:
            rows = [line.split() for line in f]
        self.packages = [row[0] for row in rows if len(row) == 3 and row[1] in
                         ("command", "file", "module") and row[0] != "bazel-bootstrap"]
        self.dev = ["clang", "clangd", "libclang-rt-dev"]
        self.packages = [name for name in self.packages if name not in self.dev]
        self.assertIn("libabsl-dev", self.packages)
        self.install(self.packages + ["bazel-bootstrap", "g++-12", "libc6-dev"])

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as f:
            return f.read()

    def command(self, name, script):
        self.write("bin/" + name, "#!/bin/sh\n" + script)
        os.chmod(self.path("bin/" + name), 0o755)

    def install(self, packages):
        self.write("installed", "".join("%s 1.0\n" % name for name in packages))

    def run_setup(self, *args, code=0):
        result = subprocess.run([self.path("setup.sh")] + list(args), cwd=self.root,
                                env={"PATH": self.path("bin"), "HOME": "/home/x"},
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual(result.returncode, code, result.stderr.decode())
        self.assertEqual(result.stdout, b"")
        return result.stderr.decode()

    def test_is_silent_and_changes_nothing_when_nothing_is_missing(self):
        self.assertEqual(self.run_setup(), "")
        first = os.stat(self.path("user.bazelrc"))
        self.assertEqual(self.run_setup(), "")
        self.assertEqual(os.stat(self.path("user.bazelrc")).st_mtime_ns, first.st_mtime_ns)
        self.assertNotIn("apt-get", self.read("log"))

    def test_installs_exactly_what_is_missing(self):
        self.install([name for name in self.packages if name not in ("libhwy-dev", "git")])
        os.remove(self.path("bin/bazel"))
        self.command("apt-get", _APT_GET + "echo 'exit 0' >bin/bazel; chmod +x bin/bazel\n")
        message = self.run_setup()
        self.assertIn("installing bazel-bootstrap git libhwy-dev", message)
        lines = [line for line in self.read("log").splitlines() if line.startswith("apt-get")]
        self.assertEqual(lines, [
            "apt-get -qq update (noninteractive)",
            "apt-get -qq -y --no-install-recommends install bazel-bootstrap git libhwy-dev "
            "(noninteractive)"])
        self.assertEqual(self.run_setup(), "")

    def test_dev_installs_more(self):
        self.assertIn("installing clang clangd libclang-rt-dev", self.run_setup("--dev"))
        self.assertEqual(self.run_setup("--dev"), "")

    def test_uses_sudo_when_not_root(self):
        self.install(self.packages[1:] + ["bazel-bootstrap"])
        self.command("id", "echo 1000")
        message = self.run_setup(code=1)
        self.assertIn("neither root nor sudo", message)
        self.assertIn("apt-get install " + self.packages[0], message)
        self.command("sudo", 'echo "sudo $*" >>log\nexec "$@"')
        self.run_setup()
        self.assertIn("sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq update", self.read("log"))

    def test_names_what_apt_cannot_install(self):
        self.install(self.packages[1:])
        self.write("apt_fails", "")
        message = self.run_setup(code=1)
        self.assertIn("could not install: " + self.packages[0], message)
        self.assertFalse(os.path.exists(self.path("user.bazelrc")))

    def test_other_systems_are_told_what_is_missing(self):
        for name in ("apt-get", "dpkg-query"):
            os.remove(self.path("bin/" + name))
        self.command("bazel", "echo bazel 5.4.1")
        message = self.run_setup(code=1)
        self.assertIn("libhwy-dev (module libhwy)", message)
        self.assertIn("clang-format (command clang-format)", message)
        self.assertNotIn("bazel-bootstrap", message)

    def test_an_unknown_bazel_is_refused(self):
        self.install(self.packages)
        for version, good in (("bazel 4.2.1", True), ("bazel 6.0.0", True), ("bazel 3.7.2", False),
                              ("bazel 4.1.0", False), ("bazel 8.0.0", False), ("what?", False)):
            self.command("bazel", "echo '%s'" % version)
            message = self.run_setup(code=0 if good else 1)
            self.assertEqual(message == "", good, version)

    def test_the_cache_follows_the_versions_and_keeps_other_lines(self):
        self.run_setup()
        first = self.read("user.bazelrc")
        self.assertRegex(first, r"^build --disk_cache=/home/x/\.cache/septet/disk-[0-9a-f]{16}\n$")
        self.write("user.bazelrc", first + "build --jobs=1\n")
        self.run_setup()
        self.assertEqual(self.read("user.bazelrc"), first + "build --jobs=1\n")
        for package in ("libabsl-dev", "g++-12", "libc6-dev"):
            before = self.read("user.bazelrc")
            self.write("installed", self.read("installed").replace(package + " 1.0", package + " 1.1"))
            self.run_setup()
            after = self.read("user.bazelrc")
            self.assertNotEqual(after.splitlines()[0], before.splitlines()[0], package)
            self.assertEqual(after.splitlines()[1:], ["build --jobs=1"])

    def test_dev_and_not_dev_share_the_cache(self):
        self.install(self.packages + self.dev + ["bazel-bootstrap"])
        self.run_setup()
        first = self.read("user.bazelrc")
        self.run_setup("--dev")
        self.assertEqual(self.read("user.bazelrc"), first)

    def test_wrong_arguments(self):
        self.assertIn("unknown argument '--deb'", self.run_setup("--deb", code=2))
        self.assertIn("one argument", self.run_setup("--dev", "x", code=2))


if __name__ == "__main__":
    unittest.main()
