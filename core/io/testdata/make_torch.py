#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the files of testdata/torch that torch_checkpoint_test reads.

Run it in that folder, with torch and NumPy. Values are formulas, so that the
test knows them. The zip archives come out the same each time; in legacy files
the keys of storages are addresses. "unet_module*" come from elsewhere and are
not made here.
"""

import collections
import io
import os
import struct
import zipfile

import numpy
import torch


def ramp(shape, dtype, first=0):
    count = 1
    for extent in shape:
        count *= extent
    return (torch.arange(count) + first).reshape(shape).to(dtype)


def dtypes():
    names = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "uint16", "uint8"]
    tensors = {name: ramp((2, 3), getattr(torch, name)) for name in names}
    tensors["bool"] = torch.tensor([[True, False, True], [False, False, True]])
    tensors["scalar"] = torch.tensor(2.5)
    tensors["empty"] = torch.zeros((0, 4))
    return tensors


def others():
    names = ["int16", "int8", "complex64", "complex128", "float8_e5m2"]
    tensors = {name: ramp((2,), torch.float32).to(getattr(torch, name)) for name in names}
    tensors["good"] = ramp((3,), torch.float32)
    tensors["nine_axes"] = torch.zeros((1,) * 9)
    tensors["large"] = 1 << 100
    tensors["negative"] = torch.tensor([1 + 2j, 3 - 4j]).conj().imag
    return tensors


def views():
    base = ramp((4, 6), torch.float32)
    return {
        "base": base,
        "transposed": base.t(),
        "column": base[:, 2],
        "block": base[1:3, 2:5],
        "steps": base[::2, 1::2],
        "row": base[2],
        "expanded": base[1:2, 3:4].expand(3, 1000),
        "expanded_column": base[:, 1:2].expand(4, 5),
        "windows": base.reshape(-1).as_strided((3, 4), (2, 1), 5),
    }


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
        self.head = torch.nn.Linear(2, 1, bias=False)


def training():
    model = Model()
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            parameter.copy_(ramp(parameter.shape, torch.float32, index))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.125, betas=(0.5, 0.75))
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2, 5], gamma=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 0.25)
    optimizer.step()
    scheduler.step()
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "epoch": 7,
        "best": -0.75,
        "done": False,
        "note": "caf\u00e9",
        "raw": b"\x00\xff\x80z",
        "nothing": None,
        "negative": -(1 << 40),
        "shape": torch.Size([2, 3]),
        "device": torch.device("cuda", 1),
        "dtype": torch.bfloat16,
        "history": [(1, 0.5), (2, 0.25)],
        "tags": {"only"},
        "frozen": frozenset(["ice"]),
        "numpy_float": numpy.float64(1.5),
        "numpy_int": numpy.int32(-3),
        "numpy_bool": numpy.bool_(True),
    }


def parameters():
    parameter = torch.nn.Parameter(ramp((2, 2), torch.float32))
    tagged = torch.nn.Parameter(ramp((2,), torch.float32, 5))
    tagged.tag = "attribute"
    buffer = torch.nn.Buffer(ramp((3,), torch.float64))
    return collections.OrderedDict(
        [("parameter", parameter), ("tagged", tagged), ("buffer", buffer), ("list", [parameter])])


class Subclass(torch.Tensor):
    pass


class Evil:
    def __reduce__(self):
        return os.system, ("echo this must never run > /tmp/septet_evil",)


def save(value, name, **options):
    """Through memory, so that the archive's folder is not named after the file."""
    data = io.BytesIO()
    torch.save(value, data, **options)
    with open(name, "wb") as file:
        file.write(data.getvalue())


def big_endian(name, source):
    """`source`, a zip archive of float32 alone, as a big endian machine has it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            data = old.read(entry)
            if entry.endswith("/byteorder"):
                data = b"big"
            if "/data/" in entry:
                count = len(data) // 4
                data = struct.pack(">%df" % count, *struct.unpack("<%df" % count, data))
            new.writestr(zipfile.ZipInfo(entry), data, zipfile.ZIP_DEFLATED)


def main():
    for name, value in [("dtypes", dtypes()), ("views", views()), ("training", training()),
                        ("parameters", parameters())]:
        save(value, name + "_zip.pt")
        if name == "dtypes":
            # The legacy container has no uint16.
            del value["uint16"]
        save(value, name + "_legacy.pt", _use_new_zipfile_serialization=False)
    save(others(), "others_zip.pt")
    for protocol in (3, 4, 5):
        save(training(), "training_protocol%d.pt" % protocol, pickle_protocol=protocol)
    save(ramp((2, 3), torch.float32), "tensor_zip.pt")
    save(ramp((2, 3), torch.float32), "tensor_legacy.pt", _use_new_zipfile_serialization=False,
         pickle_protocol=4)
    save({"weight": ramp((2,), torch.float32), "evil": Evil()}, "evil_zip.pt")
    save({"weight": ramp((2,), torch.float32), "evil": Evil()}, "evil_legacy.pt",
         _use_new_zipfile_serialization=False)
    save({"x": ramp((2,), torch.float32).as_subclass(Subclass)}, "subclass_zip.pt")
    save({"x": ramp((2, 2), torch.float32).to_sparse()}, "sparse_zip.pt")
    save({"x": numpy.arange(3)}, "numpy_array_zip.pt")
    big_endian("big_endian_zip.pt", "tensor_zip.pt")


if __name__ == "__main__":
    main()
