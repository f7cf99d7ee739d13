# SPDX-License-Identifier: Apache-2.0
"""The training step of baselines/byte_lm in PyTorch, as a good user writes it.

One product for q, k and v, rotary tables made once, the layout that rotates by
halves (cheaper than by pairs; our weights' channels are exchanged to fit), SDPA,
fused AdamW. With --compile model and loss are one graph of torch.compile.
"""

import torch
from torch import nn
from torch.nn import functional

import twin

HEAD_DIM = 32
# job -> width, layers, window, rows.
SIZES = {"d64": (64, 2, 128, 16), "d256": (256, 4, 256, 16)}


class Block(nn.Module):

    def __init__(self, dim, hidden, heads):
        super().__init__()
        self.heads = heads
        self.attn_norm = nn.RMSNorm(dim, eps=1e-6)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.out = nn.Linear(dim, dim, bias=False)
        self.ffn_norm = nn.RMSNorm(dim, eps=1e-6)
        self.fc1 = nn.Linear(dim, hidden, bias=False)
        self.gate = nn.Linear(dim, hidden, bias=False)
        self.fc2 = nn.Linear(hidden, dim, bias=False)

    def forward(self, x, cos, sin):
        batch, time, dim = x.shape
        q, k, v = (self.qkv(self.attn_norm(x)).view(batch, time, 3, self.heads, HEAD_DIM)
                   .permute(2, 0, 3, 1, 4).unbind(0))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(batch, time, dim))
        y = self.ffn_norm(x)
        return x + self.fc2(functional.silu(self.fc1(y)) * self.gate(y))


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class Model(nn.Module):

    def __init__(self, dim, layers, time):
        super().__init__()
        hidden = max(dim * 8 // 3 // 16, 1) * 16
        self.embedding = nn.Embedding(256, dim)
        self.layers = nn.ModuleList(Block(dim, hidden, dim // HEAD_DIM) for _ in range(layers))
        self.norm = nn.RMSNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, 256, bias=False)
        angles = torch.outer(torch.arange(time, dtype=torch.float64),
                             10000.0 ** (-torch.arange(0, HEAD_DIM, 2, dtype=torch.float64) / HEAD_DIM))
        self.register_buffer("cos", angles.cos().float(), persistent=False)
        self.register_buffer("sin", angles.sin().float(), persistent=False)

    def forward(self, tokens, targets):
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return functional.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())


def halves(weight):
    """Columns of q or k, of which channels 2i and 2i+1 of a head are a pair, so
    that channels i and i+16 are one."""
    dim, width = weight.shape
    return (weight.reshape(dim, width // HEAD_DIM, HEAD_DIM // 2, 2).transpose(0, 1, 3, 2)
            .reshape(dim, width))


class ByteLm(twin.Job):

    def __init__(self, job, compiled):
        dim, layers, time, batch = SIZES[job]
        self.dim = dim
        self.model = Model(dim, layers, time)
        matrices = [p for p in self.model.parameters() if p.dim() > 1]
        others = [p for p in self.model.parameters() if p.dim() <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
            lr=4e-3, betas=(0.9, 0.98), eps=1e-8, fused=True)
        self.loss = torch.compile(self.model) if compiled else self.model
        tokens = torch.randint(0, 256, (batch, time + 1))
        self.batch = (tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())

    def load(self, tensors):
        state = {"embedding.weight": tensors["embedding.weight"],
                 "norm.weight": tensors["final_norm.weight"],
                 "head.weight": tensors["head.weight"]}
        for i in range(len(self.model.layers)):
            ours = "layers.%d." % i
            qkv = tensors[ours + "attn.qkv.weight"]
            q, k, v = (qkv[:, j * self.dim:(j + 1) * self.dim] for j in range(3))
            state[ours + "qkv.weight"] = numpy_concat(halves(q), halves(k), v).T
            state[ours + "out.weight"] = tensors[ours + "attn.out.weight"].T
            for name in ("fc1", "gate", "fc2"):
                state[ours + name + ".weight"] = tensors[ours + "ffn." + name + ".weight"].T
            state[ours + "attn_norm.weight"] = tensors[ours + "attn_norm.weight"]
            state[ours + "ffn_norm.weight"] = tensors[ours + "ffn_norm.weight"]
        self.model.load_state_dict({name: torch.from_numpy(value.copy())
                                    for name, value in state.items()})
        self.batch = (torch.from_numpy(tensors["tokens"]), torch.from_numpy(tensors["targets"]))

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(*self.batch)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        return loss.detach()


def numpy_concat(*parts):
    return twin.numpy.concatenate(parts, axis=1)


if __name__ == "__main__":
    twin.main({job: lambda compiled, job=job: ByteLm(job, compiled) for job in SIZES})
