# SPDX-License-Identifier: Apache-2.0
"""Retention in PyTorch, as a good user writes it, for compare.py: training steps
of RetNet, forward and backward of the core, and decoding a token.

The models and ops are those of retnet_peer.py. A step of the core is forward and
backward with a given gradient of the output; one of decoding is a token. What
they answer as the loss is a sum that all of the results go into.
"""

import torch
from torch import nn
from torch.nn import functional

import retnet_peer
import twin

# job -> width, layers, heads, value width and feed-forward width, rows, window,
# chunk.
TRAIN = {"train_d64": (64, 2, 2, 96, 8, 128, 64),
         "train_desk": (128, 4, 4, 216, 8, 256, 64),
         "train_d512": (512, 6, 2, 864, 4, 512, 256)}
# job -> rows, heads, time, key width, value width, chunk.
CORE = {"core_T256": (8, 4, 256, 32, 64, 64),
        "core_T1024": (4, 4, 1024, 32, 64, 64),
        "core_T4096": (1, 4, 4096, 32, 64, 64),
        "core_T16384": (1, 4, 16384, 32, 64, 64),
        "core_1.3b_T2048": (1, 8, 2048, 256, 432, 256),
        "core_1.3b_T8192": (1, 8, 8192, 256, 432, 512)}
# job -> width, layers, heads, value width and feed-forward width.
DECODE = {"decode_desk": (128, 4, 4, 216),
          "decode_1.3b_4layers": (2048, 4, 8, 3456)}
VOCABULARY = 256


def model_of(width, layers, heads, hidden):
    return retnet_peer.LM("retnet", VOCABULARY, width, layers, heads, hidden, hidden)


def load_model(model, tensors):
    """Our names and [in, out] weights into the peer's."""
    state = {"emb.weight": tensors["embedding.weight"],
             "norm": tensors["final_norm.weight"],
             "head.weight": tensors["head.weight"]}
    width = model.d
    for i, block in enumerate(model.blocks):
        ours, theirs = "layers.%d." % i, "blocks.%d." % i
        values = block.v.out_features
        if ours + "retention.qkvg.weight" in tensors:
            parts = twin.numpy.split(tensors[ours + "retention.qkvg.weight"],
                                     [width, 2 * width, 2 * width + values], axis=1)
        else:
            parts = [tensors[ours + "retention.%s.weight" % name] for name in "qkvg"]
        for name, part in zip("qkvg", parts):
            state[theirs + name + ".weight"] = part.T
        state[theirs + "o.weight"] = tensors[ours + "retention.out.weight"].T
        state[theirs + "n1"] = tensors[ours + "retention_norm.weight"]
        state[theirs + "n2"] = tensors[ours + "ffn_norm.weight"]
        for name in ("fc1", "gate", "fc2"):
            state[theirs + "ffn." + name + ".weight"] = tensors[ours + "ffn." + name + ".weight"].T
    model.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in state.items()})


class Train(twin.Job):

    def __init__(self, job, compiled):
        width, layers, heads, hidden, rows, time, chunk = TRAIN[job]
        self.model = model_of(width, layers, heads, hidden)
        tables = retnet_peer.DecayTables(heads, chunk, "cpu", torch.float32)

        def loss(tokens, targets):
            return functional.cross_entropy(self.model(tokens, tables).flatten(0, 1),
                                            targets.flatten())
        self.loss = torch.compile(loss) if compiled else loss
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        tokens = torch.randint(0, VOCABULARY, (rows, time + 1))
        self.batch = (tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())

    def load(self, tensors):
        load_model(self.model, tensors)
        self.batch = (torch.from_numpy(tensors["tokens"]), torch.from_numpy(tensors["targets"]))

    def step(self):
        loss = self.loss(*self.batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


class Core(twin.Job):

    def __init__(self, job, compiled):
        self.rows, self.heads, self.time, self.key, self.value, chunk = CORE[job]
        self.tables = retnet_peer.DecayTables(self.heads, chunk, "cpu", torch.float32)
        core = retnet_peer.retention_chunkwise
        self.core = torch.compile(core) if compiled else core
        self.batch = ()

    def load(self, tensors):
        # Ours are [rows, time, heads, width]; theirs lie as PyTorch's products want them.
        self.batch = tuple(torch.from_numpy(tensors[name]).transpose(1, 2).contiguous()
                           for name in ("q", "k", "v", "d_out"))
        for x in self.batch[:3]:
            x.requires_grad_()

    def step(self):
        q, k, v, d_out = self.batch
        out, _ = self.core(q, k, v, self.tables)
        dq, dk, dv = torch.autograd.grad(out, (q, k, v), d_out)
        with torch.no_grad():
            return (out[0, 0, -1].sum() + dq[0, 0, -1].sum() + dk[0, 0, 0].sum()
                    + dv[0, 0, 0].sum())

    def tensor_bytes(self):
        return sum(x.numel() * x.element_size() for x in self.batch)


class Decode(twin.Job):

    def __init__(self, job, compiled):
        width, layers, heads, hidden = DECODE[job]
        self.model = model_of(width, layers, heads, hidden).eval()
        self.forward = torch.compile(self.model.step) if compiled else self.model.step
        self.gamma = retnet_peer.DecayTables(heads, 1, "cpu", torch.float32).gamma
        self.states = [torch.zeros(1, heads, width // heads, hidden // heads)
                       for _ in range(layers)]
        self.position = 0

    def load(self, tensors):
        load_model(self.model, tensors)

    @torch.no_grad()
    def step(self):
        token = torch.tensor([self.position * 37 % VOCABULARY])
        logits = self.forward(token, self.position, self.states, self.gamma)
        self.position += 1
        return logits[0].square().mean()

    def tensor_bytes(self):
        tensors = list(self.model.parameters()) + self.states
        return sum(x.numel() * x.element_size() for x in tensors)


def main():
    jobs = {}
    for table, kind in ((TRAIN, Train), (CORE, Core), (DECODE, Decode)):
        for name in table:
            jobs[name] = lambda compiled, name=name, kind=kind: kind(name, compiled)
    twin.main(jobs)


if __name__ == "__main__":
    main()
