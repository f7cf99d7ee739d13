# SPDX-License-Identifier: Apache-2.0
"""Runs the //tools:conformance binary."""

import json
import os
import shutil
import struct
import subprocess
import sys
import unittest

_BINARY = os.path.abspath(sys.argv.pop(1))
_GOLDEN = os.path.abspath("core/conformance/testdata")
_ADAM = os.path.join(_GOLDEN, "offline_rl", "adam.safetensors")
_MLP = os.path.join(_GOLDEN, "offline_rl", "mlp.safetensors")


def _read(path):
    """(metadata, {name: [dtype, shape, bytes]})."""
    with open(path, "rb") as file:
        data = file.read()
    length, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__")
    body = data[8 + length:]
    return metadata, {name: [entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])]]
                      for name, entry in header.items()}


def _write(path, metadata, tensors):
    header, body = {"__metadata__": metadata}, b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + body)


class ConformanceTest(unittest.TestCase):
    def setUp(self):
        self.dir = os.path.join(os.environ["TEST_TMPDIR"], self.id())
        os.makedirs(self.dir)

    def run_tool(self, *args, **kwargs):
        return subprocess.run([_BINARY] + list(args), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, universal_newlines=True, **kwargs)

    def last_line(self, result):
        return result.stdout.splitlines()[-1]

    def variant(self, name, change):
        """A copy of the Adam case that `change(metadata, tensors)` has edited."""
        path = os.path.join(self.dir, name)
        metadata, tensors = _read(_ADAM)
        change(metadata, tensors)
        _write(path, metadata, tensors)
        return path

    def test_goldens_pass_in_both_dtypes(self):
        goldens = sum(name.endswith(".safetensors")
                      for _, _, names in os.walk(_GOLDEN) for name in names)
        self.assertGreaterEqual(goldens, 14)
        for dtype in ("f64", "f32"):
            result = self.run_tool("--dtype=" + dtype, _GOLDEN)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
            self.assertEqual(self.last_line(result), "%d passed, 0 failed" % goldens)
            self.assertIn("PASS offline_rl/mlp %s " % dtype, result.stdout)
            self.assertIn("adam cpu/%s highway" % dtype, result.stdout)
            self.assertIn("layer_norm cpu/%s highway" % dtype, result.stdout)
            self.assertNotIn("composite", result.stdout)
            self.assertEqual(result.stderr, "")

    def test_each_file_counts_once(self):
        os.makedirs(os.path.join(self.dir, "a", "b"))
        shutil.copy(_ADAM, os.path.join(self.dir, "a", "b", "adam.safetensors"))
        shutil.copy(_ADAM, os.path.join(self.dir, "other.safetensors"))
        os.symlink("..", os.path.join(self.dir, "a", "circle"))
        with open(os.path.join(self.dir, "README.md"), "w") as file:
            file.write("not a case")
        result = self.run_tool(self.dir, os.path.join(self.dir, "a"),
                               os.path.join(self.dir, "other.safetensors"),
                               os.path.join(self.dir, ".", "other.safetensors"))
        self.assertEqual(self.last_line(result), "2 passed, 0 failed", result.stdout)
        self.assertEqual(result.returncode, 0)

    def test_relative_paths_are_those_of_the_caller(self):
        shutil.copy(_ADAM, os.path.join(self.dir, "adam.safetensors"))
        result = self.run_tool("adam.safetensors",
                               env=dict(os.environ, BUILD_WORKING_DIRECTORY=self.dir))
        self.assertEqual(self.last_line(result), "1 passed, 0 failed", result.stdout)

    def test_a_failure_does_not_stop_the_others(self):
        def perturb(_, tensors):
            data = bytearray(tensors["params"][2])
            data[8:16] = struct.pack("<d", struct.unpack("<d", data[8:16])[0] + 1e-8)
            tensors["params"][2] = bytes(data)
        self.variant("perturbed.safetensors", perturb)
        self.variant("unknown.safetensors",
                     lambda metadata, _: metadata.update(case="adan"))
        self.variant("unused.safetensors",
                     lambda _, tensors: tensors.update(extra=["F64", [0], b""]))
        with open(os.path.join(self.dir, "cut.safetensors"), "wb") as file:
            with open(_ADAM, "rb") as adam:
                file.write(adam.read()[:300])
        shutil.copy(_ADAM, os.path.join(self.dir, "good.safetensors"))
        result = self.run_tool(self.dir, os.path.join(self.dir, "missing.safetensors"))
        self.assertEqual(result.returncode, 1)
        self.assertEqual(self.last_line(result), "1 passed, 5 failed", result.stdout)
        self.assertIn("at [0, 1]: got", result.stdout)
        self.assertIn('unknown family "offline_rl/adan"; the nearest is "offline_rl/adam"',
                      result.stdout)
        self.assertIn("! unused tensors: extra", result.stdout)
        self.assertIn("FAIL ? f64 %s" % os.path.join(self.dir, "cut.safetensors"), result.stdout)
        self.assertIn("missing.safetensors", result.stdout)

    def test_an_empty_directory_is_an_error(self):
        result = self.run_tool(self.dir)
        self.assertEqual(result.returncode, 1)
        self.assertIn("no *.safetensors in this directory", result.stderr)

    def test_the_emulator_is_not_there_yet(self):
        result = self.run_tool("--backend=emu", _ADAM)
        self.assertEqual(result.returncode, 1)
        self.assertIn("--backend=emu is not in this build", result.stderr)
        self.assertEqual(result.stdout, "")

    def test_the_reference_runs_formulas(self):
        result = self.run_tool("--backend=reference", _MLP)
        self.assertEqual(result.returncode, 0, result.stdout)
        self.assertIn("layer_norm cpu/f64 composite", result.stdout)
        self.assertNotIn("layer_norm cpu/f64 highway", result.stdout)

    def test_usage(self):
        for args, message in (
                ((), "no files"),
                (("--dtype=f16", _ADAM), "f16"),
                (("--dtyp=f32", _ADAM), "--dtype"),
        ):
            result = self.run_tool(*args)
            self.assertEqual(result.returncode, 2, args)
            self.assertIn(message, result.stderr)
        result = self.run_tool("--help")
        self.assertEqual(result.returncode, 0)
        self.assertIn("--backend", result.stdout)


if __name__ == "__main__":
    unittest.main()
