"""KFAC under PyTorch: what the hooks of a model hand over, and the steps made of it, against the equations in float64."""

import copy
import gc

import pytest
import torch
from torch import nn

import tiger
import tiger.torch as tt

pytestmark = pytest.mark.skipif("kfac" not in tiger.rules(), reason="this build has no LAPACK")

CLOSE = 2e-5  # float32 sums of some dozen products, and inverses of well-conditioned factors


class Conv1D(nn.Module):
    """As transformers has it for GPT-2: the matrix is (in, out)."""

    def __init__(self, nf, nx):
        super().__init__()
        self.nf = nf
        self.weight = nn.Parameter(torch.empty(nx, nf))
        self.bias = nn.Parameter(torch.zeros(nf))

    def forward(self, x):
        return x @ self.weight + self.bias


def net(seed=3, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(7, 5), nn.Tanh(), Conv1D(6, 5), nn.Tanh(), nn.Linear(6, 4, bias=False), nn.LayerNorm(4))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(0.4 * torch.randn(p.shape, generator=random) + 0.0123)
    return model.to(dtype)


def batch(seed, time=None):
    random = torch.Generator().manual_seed(seed)
    shape = (23, 7) if time is None else (9, time, 7)
    return torch.randn(shape, generator=random), torch.randint(0, 4, shape[:-1], generator=random)


def loss_of(model, x, y):
    return nn.functional.cross_entropy(model(x).flatten(0, -2), y.flatten())


class Reference:
    """The equations, layer by layer, on a float64 copy of a model; W (out, in + 1) with the bias as last column."""

    def __init__(self, model, lr, momentum, beta, damping, kl_clip, interval):
        self.model = copy.deepcopy(model).double()
        self.o = dict(lr=lr, momentum=momentum, beta=beta, damping=damping, kl_clip=kl_clip, interval=interval)
        self.layers = [m for m in self.model if hasattr(m, "weight") and m.weight.dim() == 2]
        self.a = [0.0] * len(self.layers)
        self.g = [0.0] * len(self.layers)
        self.m = [0.0] * len(self.layers)
        self.inverse = [None] * len(self.layers)
        self.batches = self.updates = 0

    def observe(self, x, y):
        rows = []
        hooks = []
        for layer in self.layers:
            hooks.append(layer.register_forward_hook(lambda m, args, out: (rows.append([m, args[0], out]), out.retain_grad())[0]))
        loss_of(self.model, x.double(), y).backward()
        for hook in hooks:
            hook.remove()
        self.batches += 1
        keep = min(1 - 1 / self.batches, self.o["beta"])
        for i, (layer, a, out) in enumerate(rows):
            a, g = a.detach().flatten(0, -2), out.grad.flatten(0, -2)
            if layer.bias is not None:
                a = torch.cat([a, torch.ones(len(a), 1, dtype=a.dtype)], 1)
            self.a[i] = keep * self.a[i] + (1 - keep) * a.T @ a / len(a)
            self.g[i] = keep * self.g[i] + (1 - keep) * y.numel() * g.T @ g
        self.model.zero_grad()

    def step(self, x, y):
        o, measured, steps = self.o, 0.0, []
        loss_of(self.model, x.double(), y).backward()
        for i, layer in enumerate(self.layers):
            if self.updates % o["interval"] == 0:
                a, g = self.a[i], self.g[i]
                pi = (a.trace() / len(a) / (g.trace() / len(g))).sqrt()
                root = o["damping"] ** 0.5
                self.inverse[i] = (
                    torch.linalg.inv(a + pi * root * torch.eye(len(a), dtype=a.dtype)),
                    torch.linalg.inv(g + root / pi * torch.eye(len(g), dtype=g.dtype)),
                )
            w = layer.weight.grad.T if isinstance(layer, Conv1D) else layer.weight.grad
            if layer.bias is not None:
                w = torch.cat([w, layer.bias.grad[:, None]], 1)
            u = self.inverse[i][1] @ w @ self.inverse[i][0]
            measured = measured + (u * w).sum()
            steps.append(u)
        nu = min(1.0, (o["kl_clip"] / (o["lr"] ** 2 * float(measured))) ** 0.5)
        with torch.no_grad():
            for i, layer in enumerate(self.layers):
                self.m[i] = o["momentum"] * self.m[i] + nu * steps[i]
                step = o["lr"] * self.m[i]
                if layer.bias is not None:
                    layer.bias -= step[:, -1]
                    step = step[:, :-1]
                layer.weight -= step.T if isinstance(layer, Conv1D) else step
        self.model.zero_grad()
        self.updates += 1
        return nu


def follow(model, optimizer, reference, updates, time=None, drawn=True):
    """Both through the same batches; the norm's parameters, which AdamW moves, are kept alike. Least and most of nu."""
    nus = []
    for u in range(updates):
        x, y = batch(100 + u, time)
        if optimizer.due:
            labels = batch(200 + u, time)[1] if drawn else y
            reference.observe(x, labels)
            with optimizer.observe(y.numel()):
                loss_of(model, x, labels).backward()
            if drawn:
                optimizer.zero_grad()
        if drawn or not model[0].weight.grad is not None:
            optimizer.zero_grad()
            loss_of(model, x, y).backward()
        nus.append(reference.step(x, y))
        optimizer.step()
        with torch.no_grad():
            for p, q in zip(model[-1].parameters(), reference.model[-1].parameters()):
                q.copy_(p)
    return nus


def check(model, reference):
    for (name, p), q in zip(model.named_parameters(), reference.model.parameters()):
        apart = (p.detach().double() - q.detach()).abs().max() / q.detach().abs().max()
        assert apart < CLOSE, (name, float(apart))


SETTINGS = dict(lr=0.023, momentum=0.83, beta=0.7, damping=0.71, kl_clip=1.3e-5, interval=2)


@pytest.mark.parametrize("time", [None, 5])
@pytest.mark.parametrize("gradients", ["auto", "buffered"])
def test_equations(time, gradients):
    model = net()
    optimizer = tt.KFAC(model, weight_decay=0, gradients=gradients, **SETTINGS)
    reference = Reference(model, **SETTINGS)
    if gradients == "buffered":  # gradients are taken in backward: rows must come from the update's own pass
        for u in range(5):
            x, y = batch(100 + u, time)
            if u % 2 == 0:
                reference.observe(x, y)
            due = u % 2 == 0
            if due:
                with optimizer.observe(y.numel()):
                    loss_of(model, x, y).backward()
            else:
                loss_of(model, x, y).backward()
            reference.step(x, y)
            optimizer.step()
            with torch.no_grad():
                for p, q in zip(model[-1].parameters(), reference.model[-1].parameters()):
                    q.copy_(p)
    else:
        nus = follow(model, optimizer, reference, 7, time)
        assert min(nus) < 0.9
    check(model, reference)


def test_without_a_constraint():
    settings = {**SETTINGS, "kl_clip": 1e9, "interval": 3}
    model = net()
    optimizer = tt.KFAC(model, weight_decay=0, **settings)
    reference = Reference(model, **settings)
    assert follow(model, optimizer, reference, 5) == [1.0] * 5
    check(model, reference)


def test_states_and_layers():
    model = net()
    optimizer = tt.KFAC(model)
    assert optimizer.due
    x, y = batch(1)
    with optimizer.observe(y.numel()):
        loss_of(model, x, y).backward()
    optimizer.step()
    assert not optimizer.due
    state = optimizer.state
    assert state[model[0].weight]["left"].shape == (5, 5) and state[model[0].weight]["right"].shape == (8, 8)
    assert state[model[2].weight]["left"].shape == (6, 6) and state[model[2].weight]["right"].shape == (6, 6)
    assert state[model[4].weight]["right"].shape == (6, 6) and "left" not in state[model[0].bias]
    assert "exp_avg_sq" in state[model[5].weight] and "exp_avg_sq" not in state[model[0].bias]
    corner = state[model[0].weight]["right"][-1]
    assert corner[-1] == 1 and torch.allclose(corner[:-1], x.mean(0), atol=1e-6)


def test_a_run_goes_on_to_the_same_bits():
    model = net(dtype=torch.bfloat16)
    optimizer = tt.KFAC(model, lr=0.02, interval=2)

    def update(model, optimizer, u):
        x, y = batch(100 + u)
        if optimizer.due:
            with optimizer.observe(y.numel()):
                loss_of(model, x.bfloat16(), y).backward()
            optimizer.zero_grad()
        loss_of(model, x.bfloat16(), y).backward()
        optimizer.step()
        optimizer.zero_grad()

    for u in range(3):
        update(model, optimizer, u)
    again = copy.deepcopy(model)
    other = tt.KFAC(again, lr=0.02, interval=2)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for u in range(3, 7):
        update(model, optimizer, u)
        update(again, other, u)
    for p, q in zip(model.parameters(), again.parameters()):
        assert torch.equal(p, q)


def test_who_is_a_layer():
    shared = nn.Linear(5, 5)
    tied = nn.Linear(5, 11, bias=False)
    table = nn.Embedding(11, 5)
    tied.weight = table.weight
    model = nn.Sequential(table, shared, nn.Sequential(shared), tied)  # a module used twice is one layer, a tied one none
    optimizer = tt.KFAC(model)
    assert set(optimizer._layers) == {id(shared.weight)}
    assert not tt.KFAC(model.parameters()).due  # nobody watches: all is AdamW's
    late = tt.KFAC(model.parameters())
    late.watch(model)
    assert late.due


def test_mistakes_are_named():
    model = net()
    optimizer = tt.KFAC(model)
    x, y = batch(1)
    loss_of(model, x, y).backward()
    with pytest.raises(RuntimeError, match="tg_optim_observe_layer|observe"):
        optimizer.step()
    with pytest.raises(ValueError, match="gradients=buffered"):
        released = tt.KFAC(net(), gradients="released")
        released.due


def test_hooks_do_not_keep_the_optimizer():
    model = net()
    optimizer = tt.KFAC(model)
    x, y = batch(1)
    with optimizer.observe(y.numel()):
        loss_of(model, x, y).backward()
    del optimizer
    gc.collect()
    loss_of(model, x, y).backward()  # the hooks find nobody


def test_convolutions():
    """A convolution is a linear layer of its windows: the same steps as of nn.Linear over unfolded images."""
    random = torch.Generator().manual_seed(9)
    conv = nn.Conv2d(3, 5, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), padding_mode="circular")
    linear = nn.Linear(18, 5)
    with torch.no_grad():
        linear.weight.copy_(conv.weight.reshape(5, 18))
        linear.bias.copy_(conv.bias)
    ours, theirs = tt.KFAC(conv, weight_decay=0, **SETTINGS), tt.KFAC(linear, weight_decay=0, **SETTINGS)
    for _ in range(5):
        x = torch.randn(700, 3, 7, 6, generator=random)  # in parts
        y = conv(x)
        target = torch.randn(y.shape, generator=random)
        windows = nn.functional.unfold(nn.functional.pad(x, (2, 2, 1, 1), "circular"), (3, 2), (1, 2), 0, (2, 1))
        with ours.observe(700):
            (conv(x) - target).square().sum().div(700).backward()
        with theirs.observe(700):
            (linear(windows.transpose(1, 2)).transpose(1, 2) - target.flatten(2)).square().sum().div(700).backward()
        ours.step(), theirs.step()
        ours.zero_grad(), theirs.zero_grad()
    for p, q in ((conv.weight.reshape(5, 18), linear.weight), (conv.bias, linear.bias)):
        assert (p - q).abs().max() < 2e-5 * q.abs().max()
    assert ours.state[conv.weight]["right"].shape == (19, 19)
    grouped = nn.Conv2d(4, 4, 3, groups=2)
    assert "right" not in tt.KFAC(grouped).state[grouped.weight]
