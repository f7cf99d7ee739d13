#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch peer for the retention package: times the hot operations of RetNet and of a Transformer baseline.

One JSON line per case: {"case":..., "threads":..., "median_ms":..., "note":...}
retnet_twin.py compares its models and ops with ours. Works on torch 1.13 .. 2.15.  Options: --threads N --scale desk|paper|all --reps R --compile --only SUBSTRING --device cpu|cuda --dtype float32|bfloat16
"""
import argparse, json, math, statistics, sys, time
import torch
import torch.nn as nn
import torch.nn.functional as F

HAVE_SDPA = hasattr(F, "scaled_dot_product_attention")


def log_gammas(heads, device, dtype=torch.float32):
    i = torch.arange(heads, dtype=torch.float64)
    return torch.log1p(-torch.pow(2.0, -5.0 - i)).to(device=device, dtype=dtype)


class DecayTables:
    """Per-head constants of one chunk length, built once and reused by every layer and step."""

    def __init__(self, heads, chunk, device, dtype):
        lg = log_gammas(heads, device)
        j = torch.arange(chunk, device=device, dtype=torch.float32)
        dist = j[:, None] - j[None, :]
        mask = torch.exp(lg[:, None, None] * dist.clamp(min=0)) * (dist >= 0)
        self.inner = mask.to(dtype)                                        # [H,C,C]
        self.query = torch.exp(lg[:, None] * (j + 1))[..., None].to(dtype)  # [H,C,1]
        self.value = torch.exp(lg[:, None] * (chunk - 1 - j))[..., None].to(dtype)
        self.chunk = torch.exp(lg * chunk)[:, None, None].to(dtype)
        self.gamma = torch.exp(lg)[:, None, None].to(dtype)


def retention_parallel(q, k, v, tables):
    return ((q @ k.transpose(-1, -2)) * tables.inner) @ v


def retention_chunkwise(q, k, v, tables, state=None):
    """q,k [B,H,T,dk], v [B,H,T,dv]; T a multiple of the chunk length. Returns output and final state."""
    b, h, t, dk = q.shape
    dv = v.shape[-1]
    c = tables.inner.shape[-1]
    n = t // c
    q, k, v = (x.reshape(b, h, n, c, -1) for x in (q, k, v))
    inner = ((q @ k.transpose(-1, -2)) * tables.inner[:, None]) @ v
    kv = k.transpose(-1, -2) @ (v * tables.value[:, None])                 # [B,H,N,dk,dv]
    s = q.new_zeros(b, h, dk, dv) if state is None else state
    before = []
    for i in range(n):
        before.append(s)
        s = s * tables.chunk + kv[:, :, i]
    cross = (q @ torch.stack(before, 2)) * tables.query[:, None]
    return (inner + cross).reshape(b, h, t, dv), s


def retention_step(q, k, v, state, gamma):
    """One decode step, state updated in place. q,k [B,H,dk], v [B,H,dv]."""
    state.mul_(gamma).addcmul_(k.unsqueeze(-1), v.unsqueeze(-2))
    return (q.unsqueeze(-2) @ state).squeeze(-2)


def rotate(x, sin, cos):
    x1, x2 = x[..., ::2], x[..., 1::2]
    return torch.stack((x1 * cos - x2 * sin, x2 * cos + x1 * sin), -1).flatten(-2)


def rms(x, w=None, eps=1e-6):
    y = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)
    return y if w is None else y * w


def angles(dk, t, device, start=0):
    a = 1.0 / (10000 ** torch.linspace(0, 1, dk // 2, device=device))
    p = torch.arange(start, start + t, device=device, dtype=torch.float32)[:, None] * a
    return p.sin(), p.cos()


class GLU(nn.Module):
    def __init__(self, d, f):
        super().__init__()
        self.fc1, self.gate, self.fc2 = nn.Linear(d, f, bias=False), nn.Linear(d, f, bias=False), nn.Linear(f, d, bias=False)

    def forward(self, x):
        return self.fc2(F.silu(self.fc1(x)) * self.gate(x))


class RetNetBlock(nn.Module):
    def __init__(self, d, dv, f, heads):
        super().__init__()
        self.h = heads
        self.q, self.k = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.v, self.g = nn.Linear(d, dv, bias=False), nn.Linear(d, dv, bias=False)
        self.o = nn.Linear(dv, d, bias=False)
        self.n1, self.n2 = nn.Parameter(torch.ones(d)), nn.Parameter(torch.ones(d))
        self.ffn = GLU(d, f)

    def heads(self, x):
        b, t, _ = x.shape
        return x.view(b, t, self.h, -1).transpose(1, 2)

    def forward(self, x, sin, cos, tables):
        b, t, d = x.shape
        y = rms(x, self.n1)
        q = rotate(self.heads(self.q(y)), sin, cos)
        k = rotate(self.heads(self.k(y)) * (d // self.h) ** -0.5, sin, cos)
        v = self.heads(self.v(y))
        o = retention_parallel(q, k, v, tables) if tables.inner.shape[-1] >= t else retention_chunkwise(q, k, v, tables)[0]
        o = rms(o).transpose(1, 2).reshape(b, t, -1)
        x = x + self.o(F.silu(self.g(y)) * o)
        return x + self.ffn(rms(x, self.n2))

    def step(self, x, sin, cos, state, gamma):
        b, d = x.shape
        y = rms(x, self.n1)
        hd = lambda z: z.view(b, self.h, -1)
        q, k = rotate(hd(self.q(y)), sin, cos), rotate(hd(self.k(y)) * (d // self.h) ** -0.5, sin, cos)
        o = retention_step(q, k, hd(self.v(y)), state, gamma)
        x = x + self.o(F.silu(self.g(y)) * rms(o).reshape(b, -1))
        return x + self.ffn(rms(x, self.n2))


class TransformerBlock(nn.Module):
    """Pre-norm RoPE attention + SwiGLU, same parameter count as RetNetBlock (4 d^2 attention + 8 d^2 FFN)."""

    def __init__(self, d, f, heads):
        super().__init__()
        self.h = heads
        self.qkv, self.o = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.n1, self.n2 = nn.Parameter(torch.ones(d)), nn.Parameter(torch.ones(d))
        self.ffn = GLU(d, f)

    def attend(self, q, k, v, causal):
        if HAVE_SDPA:
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        s = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
        if causal:
            t = q.shape[-2]
            s = s.masked_fill(torch.ones(t, t, dtype=torch.bool, device=q.device).triu(1), float("-inf"))
        return s.softmax(-1) @ v

    def forward(self, x, sin, cos):
        b, t, d = x.shape
        q, k, v = self.qkv(rms(x, self.n1)).view(b, t, 3, self.h, -1).permute(2, 0, 3, 1, 4)
        o = self.attend(rotate(q, sin, cos), rotate(k, sin, cos), v, True)
        x = x + self.o(o.transpose(1, 2).reshape(b, t, d))
        return x + self.ffn(rms(x, self.n2))

    def step(self, x, sin, cos, kc, vc, n):
        """kc, vc preallocated [B,H,Tmax,dh]; position n is written, 0..n attended."""
        b, d = x.shape
        q, k, v = self.qkv(rms(x, self.n1)).view(b, 3, self.h, -1).unbind(1)
        kc[:, :, n], vc[:, :, n] = rotate(k, sin, cos), v
        o = self.attend(rotate(q, sin, cos).unsqueeze(2), kc[:, :, : n + 1], vc[:, :, : n + 1], False)
        x = x + self.o(o.reshape(b, d))
        return x + self.ffn(rms(x, self.n2))


class LM(nn.Module):
    def __init__(self, kind, vocab, d, layers, heads, dv=None, f=None):
        super().__init__()
        self.kind, self.d, self.heads = kind, d, heads
        self.emb = nn.Embedding(vocab, d)
        nn.init.normal_(self.emb.weight, std=d ** -0.5)
        mk = (lambda: RetNetBlock(d, dv, f, heads)) if kind == "retnet" else (lambda: TransformerBlock(d, f, heads))
        self.blocks = nn.ModuleList(mk() for _ in range(layers))
        self.norm = nn.Parameter(torch.ones(d))
        self.head = nn.Linear(d, vocab, bias=False)

    def forward(self, tok, tables=None):
        x = self.emb(tok)
        sin, cos = angles(self.d // self.heads, tok.shape[1], tok.device)
        for blk in self.blocks:
            x = blk(x, sin, cos, tables) if self.kind == "retnet" else blk(x, sin, cos)
        return self.head(rms(x, self.norm))

    def step(self, tok, n, cache, gamma=None):
        x = self.emb(tok)
        sin, cos = angles(self.d // self.heads, 1, tok.device, n)
        for blk, c in zip(self.blocks, cache):
            x = blk.step(x, sin, cos, c, gamma) if self.kind == "retnet" else blk.step(x, sin, cos, c[0], c[1], n)
        return self.head(rms(x, self.norm))


def sync(dev):
    if dev == "cuda":
        torch.cuda.synchronize()


def measure(fn, reps, dev, budget=20.0):
    fn(); sync(dev)
    times, t0 = [], time.perf_counter()
    while len(times) < reps and (len(times) < 3 or time.perf_counter() - t0 < budget):
        a = time.perf_counter(); fn(); sync(dev); times.append((time.perf_counter() - a) * 1e3)
    return statistics.median(times)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--threads", type=int, default=1)
    ap.add_argument("--scale", default="desk", choices=["desk", "paper", "all"])
    ap.add_argument("--reps", type=int, default=9)
    ap.add_argument("--compile", action="store_true")
    ap.add_argument("--only", default="")
    ap.add_argument("--device", default="cpu")
    ap.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    dev, dt = a.device, getattr(torch, a.dtype)
    comp = torch.compile if a.compile and hasattr(torch, "compile") else (lambda f: f)
    par, chw, stp = comp(retention_parallel), comp(retention_chunkwise), comp(retention_step)

    def report(case, fn, note):
        if a.only and a.only not in case:
            return
        ms = measure(fn, a.reps, dev)
        print(json.dumps({"case": case, "threads": a.threads, "median_ms": round(ms, 4), "note": note}), flush=True)

    def mk(*s, grad=False):
        return torch.randn(*s, device=dev, dtype=dt, requires_grad=grad)

    def core(tag, b, h, t, dk, dv, chunk, parallel=True):
        tabs = DecayTables(h, chunk, dev, dt)
        q, k, v = mk(b, h, t, dk, grad=True), mk(b, h, t, dk, grad=True), mk(b, h, t, dv, grad=True)
        do = mk(b, h, t, dv)
        note = f"B{b} H{h} T{t} dk{dk} dv{dv} chunk{chunk}"

        def fwd(f, tb):
            with torch.no_grad():
                f(q, k, v, tb)

        def bwd(f, tb):
            o = f(q, k, v, tb)
            torch.autograd.grad(o[0] if isinstance(o, tuple) else o, (q, k, v), do)
        report(f"core_chunkwise_fwd/{tag}", lambda: fwd(chw, tabs), note)
        report(f"core_chunkwise_fwdbwd/{tag}", lambda: bwd(chw, tabs), note)
        if parallel:
            full = DecayTables(h, t, dev, dt)
            report(f"core_parallel_fwd/{tag}", lambda: fwd(par, full), note)
            report(f"core_parallel_fwdbwd/{tag}", lambda: bwd(par, full), note)

    def step(tag, b, h, dk, dv):
        gamma = DecayTables(h, 1, dev, dt).gamma
        s, q, k, v = mk(b, h, dk, dv), mk(b, h, dk), mk(b, h, dk), mk(b, h, dv)

        @torch.no_grad()
        def run():
            for _ in range(8):
                stp(q, k, v, s, gamma)
        report(f"core_recurrent_8steps/{tag}", run, f"B{b} H{h} dk{dk} dv{dv}, 8 consecutive steps of one layer; state {b*h*dk*dv*s.element_size()/1e6:.2f} MB")

    def gate_norm(tag, b, h, t, dv):
        o, g = mk(b, h, t, dv, grad=True), mk(b, t, h * dv, grad=True)
        do = mk(b, t, h * dv)
        f = comp(lambda o, g: F.silu(g) * rms(o).transpose(1, 2).reshape(b, t, -1))
        report(f"gated_rmsnorm_fwdbwd/{tag}", lambda: torch.autograd.grad(f(o, g), (o, g), do), f"B{b} H{h} T{t} dv{dv}")

    def lm(tag, d, layers, heads, dv, f_r, f_t, vocab, b, t, chunk):
        net = LM("retnet", vocab, d, layers, heads, dv, f_r).to(dev, dt)
        trm = LM("transformer", vocab, d, layers, heads, None, f_t).to(dev, dt)
        tok = torch.randint(0, vocab, (b, t + 1), device=dev)
        for nm, m, tabs in (("retnet_chunkwise", net, DecayTables(heads, chunk, dev, dt)), ("retnet_parallel", net, DecayTables(heads, t, dev, dt)), ("transformer", trm, None)):
            fw = comp(m.forward)
            opt = torch.optim.AdamW(m.parameters(), lr=1e-4)

            def train():
                loss = F.cross_entropy(fw(tok[:, :-1], tabs).flatten(0, 1).float(), tok[:, 1:].flatten())
                opt.zero_grad(set_to_none=True); loss.backward(); opt.step()
            report(f"train_step_{nm}/{tag}", train, f"d{d} L{layers} H{heads} B{b} T{t} chunk{chunk}; {b*t} tokens a step")

    def decode(tag, d, layers, heads, dv, f_r, f_t, vocab, lengths, b=1):
        net = LM("retnet", vocab, d, layers, heads, dv, f_r).to(dev, dt).eval()
        trm = LM("transformer", vocab, d, layers, heads, None, f_t).to(dev, dt).eval()
        gamma = DecayTables(heads, 1, dev, dt).gamma
        tok = torch.randint(0, vocab, (b,), device=dev)
        st = [torch.zeros(b, heads, d // heads, dv // heads, device=dev, dtype=dt) for _ in range(layers)]
        for n in lengths:
            with torch.no_grad():
                kc = [(mk(b, heads, n + 17, d // heads), mk(b, heads, n + 17, d // heads)) for _ in range(layers)]

                def r():
                    with torch.no_grad():
                        for i in range(16):
                            net.step(tok, n + i, st, gamma)

                def tr():
                    with torch.no_grad():
                        for i in range(16):
                            trm.step(tok, n + i, kc)
                es = st[0].element_size()
                report(f"decode16_retnet/{tag}/len{n}", r, f"B{b}, 16 tokens; state {layers*b*d*dv//heads*es/1e6:.2f} MB")
                report(f"decode16_transformer_kv/{tag}/len{n}", tr, f"B{b}, 16 tokens; cache {2*layers*b*n*d*es/1e6:.2f} MB")

    if a.scale in ("desk", "all"):
        core("desk_T256", 8, 4, 256, 32, 64, 64)
        core("desk_T1024", 4, 4, 1024, 32, 64, 64)
        core("desk_T4096", 1, 4, 4096, 32, 64, 64, parallel=a.threads > 0)
        core("desk_T16384", 1, 4, 16384, 32, 64, 64, parallel=False)
        step("desk_B1", 1, 4, 32, 64)
        step("desk_B16", 16, 4, 32, 64)
        gate_norm("desk", 8, 4, 256, 64)
        lm("d64", 64, 2, 2, 96, 96, 160, 256, 8, 128, 64)
        lm("desk", 128, 4, 4, 216, 216, 344, 256, 8, 256, 64)
        lm("d512", 512, 6, 2, 864, 864, 1360, 256, 4, 512, 256)
        decode("desk", 128, 4, 4, 216, 216, 344, 256, (256, 1024, 4096, 16384))
    if a.scale in ("paper", "all"):
        core("1.3B_layer_T2048", 1, 8, 2048, 256, 432, 256)
        core("1.3B_layer_T8192", 1, 8, 8192, 256, 432, 512, parallel=False)
        step("6.7B_layer_B1", 1, 16, 256, 432)
        step("6.7B_layer_B8", 8, 16, 256, 432)
        gate_norm("1.3B_layer", 1, 8, 2048, 432)
        lm("1.3B_one_layer", 2048, 1, 8, 3456, 3456, 5461, 256, 1, 1024, 256)
        decode("1.3B_4layers", 2048, 4, 8, 3456, 3456, 5461, 256, (1024, 8192))


if __name__ == "__main__":
    main()
