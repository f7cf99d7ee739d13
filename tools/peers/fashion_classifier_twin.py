# SPDX-License-Identifier: Apache-2.0
"""The training step of baselines/fashion_classifier in PyTorch, as a good user
writes it.

ReLU behind the maximum, where a quarter of the values is left, fused Adam. Job
b128 has images with channels last, b128_nchw PyTorch's default layout; the
quicker of the two is the peer. With --compile model and loss are one graph of
torch.compile.
"""

import torch
from torch import nn
from torch.nn import functional

import twin


class Model(nn.Module):

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.hidden = nn.Linear(7 * 7 * 64, 128)
        self.head = nn.Linear(128, 10)

    def forward(self, images, labels):
        x = functional.relu(functional.max_pool2d(self.conv1(images), 2))
        x = functional.relu(functional.max_pool2d(self.conv2(x), 2))
        # Channels behind places, as ours: no copy with channels last.
        x = x.permute(0, 2, 3, 1).flatten(1)
        return functional.cross_entropy(self.head(functional.relu(self.hidden(x))), labels)


class FashionClassifier(twin.Job):

    def __init__(self, layout, compiled):
        self.layout = layout
        self.model = Model().to(memory_format=layout)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)
        self.loss = torch.compile(self.model) if compiled else self.model
        self.batch = (torch.randn(128, 1, 28, 28), torch.randint(0, 10, (128,)))

    def load(self, tensors):
        state = {}
        for name in ("conv1", "conv2"):
            state[name + ".weight"] = tensors[name + ".weight"].transpose(3, 2, 0, 1)
        for name in ("hidden", "head"):
            state[name + ".weight"] = tensors[name + ".weight"].T
        for name in ("conv1", "conv2", "hidden", "head"):
            state[name + ".bias"] = tensors[name + ".bias"]
        self.model.load_state_dict({name: torch.from_numpy(value.copy())
                                    for name, value in state.items()})
        images = torch.from_numpy(tensors["images"]).permute(0, 3, 1, 2)
        self.batch = (images.contiguous(memory_format=self.layout),
                      torch.from_numpy(tensors["labels"]))

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(*self.batch)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


LAYOUTS = {"b128": torch.channels_last, "b128_nchw": torch.contiguous_format}

if __name__ == "__main__":
    twin.main({job: lambda compiled, layout=layout: FashionClassifier(layout, compiled)
               for job, layout in LAYOUTS.items()})
