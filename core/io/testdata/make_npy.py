#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the files of testdata/npy that npy_test reads.

Run it in that folder, with NumPy. The files come out the same each time.
"""

import io
import zipfile

import numpy

TYPES = ["f2", "f4", "f8", "i4", "i8", "u1", "u2", "b1"]


def ramp(dtype, shape=(2, 3)):
    values = numpy.arange(int(numpy.prod(shape))).reshape(shape)
    return (values % 2 if dtype.endswith("b1") else values).astype(dtype)


def save(name, array, version=None):
    with open(name + ".npy", "wb") as file:
        numpy.lib.format.write_array(file, array, version)


def encrypted(name):
    """An archive of one entry with the flag of encryption, in both headers."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        array = io.BytesIO()
        numpy.save(array, ramp("<f4"))
        archive.writestr(zipfile.ZipInfo("secret.npy"), array.getvalue())
    raw = bytearray(data.getvalue())
    raw[raw.index(b"PK\x03\x04") + 6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    with open(name, "wb") as file:
        file.write(raw)


def archive(name, entries, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(name, "w", method) as target:
        for entry, array in entries:
            data = io.BytesIO()
            numpy.save(data, array)
            target.writestr(zipfile.ZipInfo(entry), data.getvalue(), method)


def main():
    for code in TYPES:
        save("little_" + code, ramp("<" + code))
        if code not in ("u1", "b1"):
            save("big_" + code, ramp(">" + code))
    save("fortran", numpy.asfortranarray(ramp("<f4")))
    save("scalar", numpy.array(2.5, "<f8"))
    save("empty", numpy.zeros((0, 4), "<i4"))
    save("vector", ramp("<i8", (5,)))
    save("version2", ramp("<f4"), (2, 0))
    save("version3", ramp("<f4"), (3, 0))
    for code in ("<i2", "|i1", "<u4", "<c8", "<U3", "<M8[s]"):
        save("other_" + code.strip("<|")[:2], numpy.zeros(2, code))
    save("structure", numpy.zeros(2, [("a", "<f4"), ("b", "<i4")]))
    with open("object.npy", "wb") as file:
        numpy.save(file, numpy.array([None, 1], object), allow_pickle=True)
    arrays = {"x": ramp("<f4"), "caf\u00e9/y": ramp("<i8", (4,)), "z": numpy.array(True)}
    numpy.savez("stored.npz", **arrays)
    numpy.savez_compressed("deflated.npz", **arrays, zeros=numpy.zeros(5000, "<f4"))
    archive("twice.npz", [("x.npy", ramp("<f4")), ("x", ramp("<f4"))])
    archive("bzip2.npz", [("x.npy", ramp("<f4"))], zipfile.ZIP_BZIP2)
    encrypted("encrypted.npz")


if __name__ == "__main__":
    main()
