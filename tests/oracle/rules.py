"""The optimizer rules in float64 numpy, one plain function each, written from their papers' equations and nothing else.

A rule is `rule(tensor, g, lr, o)`: it moves tensor.x by one update with the mean gradient g and changes the states in
tensor.s. tensor.t counts the tensor's own updates from 1; o holds the options. Sign arguments pass through
tensor.sign, which remembers how near to zero they came: the caller picks inputs whose signs fp32 cannot miss.
"""
import numpy as np


class Tensor:
    def __init__(self, x, role, slots):
        self.x = x.copy()
        self.role = role
        self.s = [np.zeros_like(x) for _ in range(slots)]
        self.t = 0
        self.nearest = np.inf  # smallest |argument of a sign| / RMS of the arguments, zeros left out
        self.missed = np.zeros(x.shape[0])  # updates a row has slept through (lazy embeddings)

    def sign(self, v):
        size = np.abs(v)
        live = size[size > 0]
        if live.size:
            self.nearest = min(self.nearest, live.min() / np.sqrt(np.mean(live**2)))
        return np.sign(v)


def with_decay(x, g, lr, o, coupled):
    """maximize flips the gradient, then the decay enters it (coupled) or the weights (decoupled)."""
    form = o.get("decay", "auto")
    coupled = coupled if form == "auto" else form == "coupled"
    wd = o.get("weight_decay", 0.0)
    g = -g if o.get("maximize") else g
    return (x, g + wd * x) if coupled else (x - lr * wd * x, g)


def sgd(w, g, lr, o):
    x, g = with_decay(w.x, g, lr, o, coupled=True)
    mu, tau = o.get("momentum", 0.0), o.get("dampening", 0.0)
    d = g
    if mu:
        if o.get("ema"):
            w.s[0] = mu * w.s[0] + (1 - mu) * g
            d = (1 - mu) * g + mu * w.s[0] if o.get("nesterov") else w.s[0]
        else:
            w.s[0] = g.copy() if w.t == 1 else mu * w.s[0] + (1 - tau) * g
            d = g + mu * w.s[0] if o.get("nesterov") else w.s[0]
    w.x = x - lr * d


def adam(w, g, lr, o, coupled=True):
    """Kingma & Ba 2015, Alg. 1; amsgrad keeps the maximum of the raw second moment, as PyTorch does."""
    b1, b2, eps = o.get("beta1", 0.9), o.get("beta2", 0.999), o.get("eps", 1e-8)
    x, g = with_decay(w.x, g, lr, o, coupled)
    w.s[0] = b1 * w.s[0] + (1 - b1) * g
    w.s[1] = b2 * w.s[1] + (1 - b2) * g * g
    v = w.s[1]
    if o.get("amsgrad"):
        w.s[2] = np.maximum(w.s[2], v)
        v = w.s[2]
    w.x = x - lr * (w.s[0] / (1 - b1**w.t)) / (np.sqrt(v / (1 - b2**w.t)) + eps)


def adamw(w, g, lr, o):
    """Loshchilov & Hutter 2019, Alg. 2."""
    adam(w, g, lr, {"weight_decay": 0.01, **o}, coupled=False)


def lion(w, g, lr, o):
    """Chen et al. 2023, Alg. 2."""
    b1, b2 = o.get("beta1", 0.9), o.get("beta2", 0.99)
    x, g = with_decay(w.x, g, lr, o, coupled=False)
    w.x = x - lr * w.sign(b1 * w.s[0] + (1 - b1) * g)
    w.s[0] = b2 * w.s[0] + (1 - b2) * g


def signum(w, g, lr, o):
    """Bernstein et al. 2018, Alg. 2."""
    b = o.get("beta", 0.9)
    x, g = with_decay(w.x, g, lr, o, coupled=False)
    w.s[0] = b * w.s[0] + (1 - b) * g
    w.x = x - lr * w.sign(w.s[0])


def tiger_eta(w, lr, o, fan_in):
    """The step size, by role: a number, or one for each row."""
    scale = o.get("scale", "rms")
    if w.role in ("bias", "gain"):
        return lr * o.get("bias_lr", 0.5)
    if scale == "dim":
        return lr / np.sqrt(fan_in)
    if scale == "none":
        return lr
    by_row = w.role == "embedding" and o.get("embedding_rms", "table") == "row"
    rms = np.sqrt(np.mean(w.x**2, axis=1, keepdims=True)) if by_row else np.sqrt(np.mean(w.x**2))
    return lr * np.maximum(rms, o.get("rms_floor", 1e-3))


def tiger(w, micro, lr, o):
    """One window of the page's update. micro: a list of k micro-steps, each None (bad) or (gradient, touched rows)."""
    beta, gamma, k = o.get("beta", 0.965), o.get("gamma", 1.0), len(micro)
    wd = 0.0 if w.role in ("bias", "gain") else o.get("weight_decay", 0.01)
    lazy = w.role == "embedding" and o.get("embedding_update", "lazy") == "lazy"
    centre, flip = (1.0 if w.role == "gain" else 0.0), (-1.0 if o.get("maximize") else 1.0)
    touched = np.zeros(w.x.shape[0], bool)
    total, accepted = np.zeros_like(w.x), False
    for step in micro:
        if step is None:
            if o.get("nan_guard", "shrink") in ("auto", "shrink"):
                w.x = (w.x - centre) * o.get("shrink", 0.99) + centre
            continue
        accepted = True
        total += step[0]
        touched |= step[1]
    if not accepted:
        return
    rows = touched if lazy else np.ones_like(touched)
    decay = (beta ** (1 + w.missed))[:, None]
    mean = flip * total / k
    if o.get("decay") == "coupled":
        mean, wd = mean + wd * w.x, 0.0
    m = decay * w.s[0] + (1 - beta) * mean
    w.s[0] = np.where(rows[:, None], m, w.s[0])
    w.missed = np.where(rows, 0, w.missed + 1)
    eta = tiger_eta(w, lr, o, w.x.shape[1])
    direction = w.sign(m[rows])
    if gamma != 1.0:
        direction = direction * np.abs(m[rows]) ** (1 - gamma)
    step = np.zeros_like(w.x)
    step[rows] = direction + wd * w.x[rows]
    w.x = w.x - eta * step


RULES = {"sgd": sgd, "adam": adam, "adamw": adamw, "lion": lion, "signum": signum, "tiger": tiger}


def slots(rule, o):
    if rule == "sgd":
        return 1 if o.get("momentum") else 0
    if rule in ("adam", "adamw"):
        return 3 if o.get("amsgrad") else 2
    return 1
