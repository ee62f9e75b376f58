"""The network of doc/architecture.md in PyTorch, written from that page alone, in float64.

It shares nothing with the engine: what both agree on is the document. Weights are kept in the checkpoint's layout
(channels last, HWIO) and turned round here.
"""

import math

import torch
import torch.nn.functional as F

GROUPS = 8
EPS = 1e-5
FEATURES = 64


class Config:
    def __init__(self, height, width, image_channels, classes, channels, blocks, layers, heads, label_tokens, augment):
        self.height, self.width, self.image_channels = height, width, image_channels
        self.classes, self.channels, self.blocks, self.layers = classes, channels, blocks, layers
        self.heads, self.label_tokens, self.augment = heads, label_tokens, augment


def shapes(cfg):
    """Every parameter's name and shape, in an order of our own."""
    C, D, I, K, T = cfg.channels, 4 * cfg.channels, cfg.image_channels, cfg.classes, cfg.label_tokens
    out = {}

    def linear(name, n_in, n_out):
        out[name + ".weight"], out[name + ".bias"] = (n_in, n_out), (n_out,)

    def conv(name, n_in, n_out):
        out[name + ".weight"], out[name + ".bias"] = (3, 3, n_in, n_out), (n_out,)

    def norm(name, n):
        out[name + ".scale"], out[name + ".bias"] = (n,), (n,)

    def residual(name, n_in, n_out):
        norm(name + ".norm1", n_in)
        conv(name + ".conv1", n_in, n_out)
        linear(name + ".time", D, n_out)
        norm(name + ".norm2", n_out)
        conv(name + ".conv2", n_out, n_out)
        if n_in != n_out:
            linear(name + ".skip", n_in, n_out)

    for clock in ("img_time", "lab_time"):
        linear(clock + ".fc1", FEATURES, D)
        linear(clock + ".fc2", D, D)
    if cfg.augment:
        linear("augment", cfg.augment, D)
    conv("conv_in", I, C)
    conv("down1", C, 2 * C)
    conv("down2", 2 * C, 4 * C)
    for b in range(cfg.blocks):
        residual(f"enc1.{b}", C, C)
        residual(f"enc2.{b}", 2 * C, 2 * C)
        residual(f"enc3.{b}", 4 * C, 4 * C)
        residual(f"dec2.{b}", 4 * C if b == 0 else 2 * C, 2 * C)
        residual(f"dec1.{b}", 2 * C if b == 0 else C, C)
    out["img_pos.positions"] = (cfg.height * cfg.width // 16, D)
    linear("lab_in.fc1", K, D)
    linear("lab_in.fc2", D, T * D)
    out["lab_pos.positions"] = (T, D)
    for l in range(cfg.layers):
        for side in ("img", "lab"):
            norm(f"mid{l}.{side}_norm1", D)
            linear(f"mid{l}.{side}_qkv", D, 3 * D)
            linear(f"mid{l}.{side}_proj", D, D)
            norm(f"mid{l}.{side}_norm2", D)
            linear(f"mid{l}.{side}_fc1", D, 2 * D)
            linear(f"mid{l}.{side}_fc2", 2 * D, D)
    linear("dec_label", D, D)
    linear("up1", 4 * C, 8 * C)
    linear("up2", 2 * C, 4 * C)
    norm("norm_out", C)
    conv("conv_out", C, I)
    norm("head.norm", D)
    linear("head.fc1", T * D, D)
    linear("head.fc2", D, K)
    return out


class Network:
    """p: name -> float64 tensor in the checkpoint's layout."""

    def __init__(self, cfg, p):
        self.cfg, self.p = cfg, p

    def linear(self, name, x):
        return x @ self.p[name + ".weight"] + self.p[name + ".bias"]

    def conv(self, name, x, stride=1):
        """x [N][H][W][in], zero border of one pixel."""
        w = self.p[name + ".weight"].permute(3, 2, 0, 1).contiguous()
        y = F.conv2d(x.permute(0, 3, 1, 2).contiguous(), w, self.p[name + ".bias"], stride=stride, padding=1)
        return y.permute(0, 2, 3, 1)

    def group_norm(self, name, x):
        y = F.group_norm(x.permute(0, 3, 1, 2), GROUPS, self.p[name + ".scale"], self.p[name + ".bias"], EPS)
        return y.permute(0, 2, 3, 1)

    def layer_norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.p[name + ".scale"], self.p[name + ".bias"], EPS)

    def residual(self, name, x, s):
        h = self.conv(name + ".conv1", F.silu(self.group_norm(name + ".norm1", x)))
        h = h + self.linear(name + ".time", s)[:, None, None, :]
        h = self.conv(name + ".conv2", F.silu(self.group_norm(name + ".norm2", h)))
        return h + (self.linear(name + ".skip", x) if name + ".skip.weight" in self.p else x)

    def clock(self, name, t):
        """t [N] -> [N][D]"""
        i = torch.arange(FEATURES // 2, dtype=torch.float64)
        angle = 1000.0 * t[:, None] * 10000.0 ** (-i / (FEATURES // 2))
        feat = torch.cat([torch.cos(angle), torch.sin(angle)], dim=1)
        return self.linear(name + ".fc2", F.silu(self.linear(name + ".fc1", feat)))

    def attention(self, query, keys):
        """query [N][R][3D], keys [N][S][3D] -> [N][R][D]"""
        D = query.shape[-1] // 3
        heads, d = self.cfg.heads, D // self.cfg.heads
        q = query[..., :D].unflatten(-1, (heads, d)).transpose(1, 2)
        k = keys[..., D : 2 * D].unflatten(-1, (heads, d)).transpose(1, 2)
        v = keys[..., 2 * D :].unflatten(-1, (heads, d)).transpose(1, 2)
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(d), dim=-1)
        return (weights @ v).transpose(1, 2).flatten(2)

    def layer(self, l, img, lab):
        qi = self.linear(f"mid{l}.img_qkv", self.layer_norm(f"mid{l}.img_norm1", img))
        ql = self.linear(f"mid{l}.lab_qkv", self.layer_norm(f"mid{l}.lab_norm1", lab))
        both = torch.cat([qi, ql], dim=1)
        out = []
        for side, x, q in (("img", img, qi), ("lab", lab, ql)):
            x = x + self.linear(f"mid{l}.{side}_proj", self.attention(q, both))
            h = F.silu(self.linear(f"mid{l}.{side}_fc1", self.layer_norm(f"mid{l}.{side}_norm2", x)))
            out.append(x + self.linear(f"mid{l}.{side}_fc2", h))
        return out

    @staticmethod
    def depth_to_space(x):
        n, h, w, c4 = x.shape
        c = c4 // 4
        out = x.new_zeros(n, 2 * h, 2 * w, c)
        for dy in range(2):
            for dx in range(2):
                at = (2 * dy + dx) * c
                out[:, dy::2, dx::2, :] = x[..., at : at + c]
        return out

    def forward(self, x, y, t_img, t_lab, a=None):
        """x [N][H][W][I], y [N][K], t [N], a [N][A] -> image velocity, label head"""
        cfg, n = self.cfg, x.shape[0]
        D = 4 * cfg.channels
        tv_img = self.clock("img_time", t_img)
        if cfg.augment:
            tv_img = tv_img + self.linear("augment", a)
        tv_lab = self.clock("lab_time", t_lab)
        s = F.silu(tv_img)

        h0 = self.conv("conv_in", x)
        for b in range(cfg.blocks):
            h0 = self.residual(f"enc1.{b}", h0, s)
        h1 = self.conv("down1", h0, stride=2)
        for b in range(cfg.blocks):
            h1 = self.residual(f"enc2.{b}", h1, s)
        h2 = self.conv("down2", h1, stride=2)
        for b in range(cfg.blocks):
            h2 = self.residual(f"enc3.{b}", h2, s)

        img = h2.flatten(1, 2) + self.p["img_pos.positions"] + tv_img[:, None, :]
        lab = self.linear("lab_in.fc2", F.silu(self.linear("lab_in.fc1", y))).reshape(n, cfg.label_tokens, D)
        lab = lab + self.p["lab_pos.positions"] + tv_lab[:, None, :]
        for l in range(cfg.layers):
            img, lab = self.layer(l, img, lab)

        s_dec = F.silu(tv_img + self.linear("dec_label", lab.mean(dim=1)))
        u = self.linear("up1", img.reshape(n, cfg.height // 4, cfg.width // 4, D))
        u = torch.cat([self.depth_to_space(u), h1], dim=-1)
        for b in range(cfg.blocks):
            u = self.residual(f"dec2.{b}", u, s_dec)
        u = torch.cat([self.depth_to_space(self.linear("up2", u)), h0], dim=-1)
        for b in range(cfg.blocks):
            u = self.residual(f"dec1.{b}", u, s_dec)
        velocity = self.conv("conv_out", F.silu(self.group_norm("norm_out", u)))

        z = self.layer_norm("head.norm", lab).flatten(1)
        return velocity, self.linear("head.fc2", F.silu(self.linear("head.fc1", z)))


def loss(velocity, target, logits, classes):
    """Image: mean over pixels and batch of (v - v*)^2; label: 0.3 x cross-entropy of the endpoint."""
    return ((velocity - target) ** 2).mean() + 0.3 * F.cross_entropy(logits, classes)
