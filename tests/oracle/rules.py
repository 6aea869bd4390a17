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
        self.made = 0  # updates with an accepted micro-step
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


def amsgrad(w, g, lr, o):
    """Reddi, Kale & Kumar 2018, Alg. 2, with Adam's bias corrections, as PyTorch has it."""
    adam(w, g, lr, {"amsgrad": 1, **o})


def adagrad(w, g, lr, o):
    """Duchi, Hazan & Singer 2011; rows of an embedding whose gradient is zero are left alone."""
    x, d = with_decay(w.x, g, lr, o, coupled=True)
    if w.t == 1:
        w.s[0] += o.get("initial_accumulator_value", 0.0)
    s = w.s[0] + d * d
    x = x - lr / (1 + (w.t - 1) * o.get("lr_decay", 0.0)) * d / (np.sqrt(s) + o.get("eps", 1e-10))
    if w.role == "embedding" and o.get("embedding_update", "lazy") == "lazy":
        rows = np.any(g != 0, axis=1, keepdims=True)
        x, s = np.where(rows, x, w.x), np.where(rows, s, w.s[0])
    w.x, w.s[0] = x, s


def rmsprop(w, g, lr, o):
    """Tieleman & Hinton 2012; centered: Graves 2013, but eps outside the root, as PyTorch has it."""
    alpha, mu = o.get("alpha", 0.99), o.get("momentum", 0.0)
    states = iter(range(len(w.s)))
    x, g = with_decay(w.x, g, lr, o, coupled=True)
    at = next(states)
    w.s[at] = alpha * w.s[at] + (1 - alpha) * g * g
    spread = w.s[at]
    buffer = next(states) if mu else None
    if o.get("centered"):
        at = next(states)
        w.s[at] = alpha * w.s[at] + (1 - alpha) * g
        spread = spread - w.s[at] ** 2
    d = g / (np.sqrt(spread) + o.get("eps", 1e-8))
    if mu:
        d = w.s[buffer] = mu * w.s[buffer] + d
    w.x = x - lr * d


def adadelta(w, g, lr, o):
    """Zeiler 2012, Alg. 1."""
    rho, eps = o.get("rho", 0.9), o.get("eps", 1e-6)
    x, g = with_decay(w.x, g, lr, o, coupled=True)
    w.s[0] = rho * w.s[0] + (1 - rho) * g * g
    d = np.sqrt(w.s[1] + eps) / np.sqrt(w.s[0] + eps) * g
    w.s[1] = rho * w.s[1] + (1 - rho) * d * d
    w.x = x - lr * d


def adamax(w, g, lr, o):
    """Kingma & Ba 2015, Alg. 2; PyTorch adds eps to every gradient's size."""
    b1, b2 = o.get("beta1", 0.9), o.get("beta2", 0.999)
    x, g = with_decay(w.x, g, lr, o, coupled=True)
    w.s[0] = b1 * w.s[0] + (1 - b1) * g
    w.s[1] = np.maximum(b2 * w.s[1], np.abs(g) + o.get("eps", 1e-8))
    w.x = x - lr / (1 - b1**w.t) * w.s[0] / w.s[1]


def nadam(w, g, lr, o):
    """Dozat 2016, Alg. 8, with the momentum's schedule; the average itself keeps beta1, as PyTorch has it."""
    b1, b2, psi, t = o.get("beta1", 0.9), o.get("beta2", 0.999), o.get("momentum_decay", 4e-3), w.t
    x, g = with_decay(w.x, g, lr, o, coupled=True)
    mu, following = (b1 * (1 - 0.5 * 0.96 ** (at * psi)) for at in (t, t + 1))
    w.s[0] = b1 * w.s[0] + (1 - b1) * g
    w.s[1] = b2 * w.s[1] + (1 - b2) * g * g
    w.s[2] = np.array([mu if t == 1 else w.s[2][0] * mu])
    product = w.s[2][0]
    d = (1 - mu) / (1 - product) * g + following / (1 - product * following) * w.s[0]
    w.x = x - lr * d / (np.sqrt(w.s[1] / (1 - b2**t)) + o.get("eps", 1e-8))


def asgd(w, g, lr, o):
    """Polyak & Juditsky 1992 with Bottou's schedules (2012): eta and mu are those the last update left."""
    lambd, alpha, t0, t = o.get("lambd", 1e-4), o.get("alpha", 0.75), o.get("t0", 1e6), w.t
    x, g = with_decay(w.x, g, lr, o, coupled=True)
    eta, mu = (lr, 1.0) if t == 1 else (w.s[1][0], w.s[2][0])
    w.x = (1 - lambd * eta) * x - eta * g
    w.s[0] = w.s[0] + mu * (w.x - w.s[0])
    w.s[1] = np.array([lr / (1 + lambd * lr * t) ** alpha])
    w.s[2] = np.array([1 / max(1.0, t - t0)])


def radam(w, g, lr, o):
    """Liu et al. 2020, Alg. 2; the rectified step begins above rho = 5, as PyTorch has it (the paper: 4)."""
    b1, b2, t = o.get("beta1", 0.9), o.get("beta2", 0.999), w.t
    x, g = with_decay(w.x, g, lr, o, coupled=True)
    w.s[0] = b1 * w.s[0] + (1 - b1) * g
    w.s[1] = b2 * w.s[1] + (1 - b2) * g * g
    longest = 2 / (1 - b2) - 1
    rho = longest - 2 * t * b2**t / (1 - b2**t)
    step = w.s[0] / (1 - b1**t)
    if rho > 5:
        rectifier = np.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))
        step = step * rectifier * np.sqrt(1 - b2**t) / (np.sqrt(w.s[1]) + o.get("eps", 1e-8))
    w.x = x - lr * step


def rprop(w, g, lr, o):
    """Riedmiller & Braun 1993, in the form of PyTorch (iRprop-: Igel & Huesken 2003)."""
    x, g = with_decay(w.x, g, lr, o, coupled=True)
    if w.t == 1:
        w.s[1] = np.full_like(x, lr)
    agree = w.sign(g) * np.sign(w.s[0])
    factor = np.select([agree > 0, agree < 0], [o.get("etaplus", 1.2), o.get("etaminus", 0.5)], 1.0)
    w.s[1] = np.clip(w.s[1] * factor, o.get("step_size_min", 1e-6), o.get("step_size_max", 50.0))
    w.s[0] = np.where(agree < 0, 0.0, g)
    w.x = x - np.sign(w.s[0]) * w.s[1]


def signsgd(w, g, lr, o):
    """Bernstein et al. 2018, Alg. 1."""
    x, g = with_decay(w.x, g, lr, o, coupled=False)
    w.x = x - lr * w.sign(g)


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


def is_matrix(w):
    return w.role in ("matrix", "embedding")


def lars(w, g, lr, o):
    """You, Gitman & Ginsburg 2017, Alg. 1."""
    wd = o.get("weight_decay", 0.0)
    x, g = (w.x, -g if o.get("maximize") else g) if o.get("decay", "auto") == "auto" else with_decay(w.x, g, lr, o, True)
    wd = wd if o.get("decay", "auto") == "auto" else 0.0
    size, slope = np.linalg.norm(w.x), np.linalg.norm(g)
    trust = 1.0
    if is_matrix(w) and size and slope:
        trust = o.get("trust_coefficient", 1e-3) * size / (slope + wd * size + o.get("eps", 1e-8))
    w.s[0] = o.get("momentum", 0.9) * w.s[0] + lr * trust * (g + wd * x)
    w.x = x - w.s[0]


def lamb(w, g, lr, o):
    """You et al. 2020, Alg. 2."""
    b1, b2, wd = o.get("beta1", 0.9), o.get("beta2", 0.999), o.get("weight_decay", 0.0)
    x, g = (w.x, -g if o.get("maximize") else g) if o.get("decay", "auto") == "auto" else with_decay(w.x, g, lr, o, True)
    wd = wd if o.get("decay", "auto") == "auto" else 0.0
    w.s[0] = b1 * w.s[0] + (1 - b1) * g
    w.s[1] = b2 * w.s[1] + (1 - b2) * g * g
    r = w.s[0] / (1 - b1**w.t) / (np.sqrt(w.s[1] / (1 - b2**w.t)) + o.get("eps", 1e-6)) + wd * x
    size, length = np.linalg.norm(w.x), np.linalg.norm(r)
    w.x = x - lr * (size / length if is_matrix(w) and size and length else 1.0) * r


def adafactor(w, g, lr, o):
    """Shazeer & Stern 2018, Alg. 4 to 6, with PyTorch's choices."""
    eps1, eps2, d = 2.0**-23, o.get("eps2", 1e-3), o.get("d", 1.0)
    share = w.t ** o.get("beta2_decay", -0.8)
    factored = min(w.x.shape) > 1
    if w.t == 1:
        w.s = [np.zeros(w.x.shape[0]), np.zeros(w.x.shape[1])] if factored else [np.zeros_like(w.x)]
    alpha = max(eps2, np.sqrt(np.mean(w.x**2))) * min(lr, 1 / np.sqrt(w.t))
    x, g = with_decay(w.x, g, lr, o, coupled=False)
    if factored:
        w.s[0] = (1 - share) * w.s[0] + share * np.mean(g * g, axis=1)
        w.s[1] = (1 - share) * w.s[1] + share * np.mean(g * g, axis=0)
        v = np.outer(w.s[0], w.s[1]) / max(np.mean(w.s[0]), eps1)
    else:
        v = w.s[0] = (1 - share) * w.s[0] + share * g * g
    u = g / np.sqrt(np.maximum(v, eps1**2))
    w.x = x - alpha / max(1.0, np.sqrt(np.mean(u * u)) / d) * u


def amos(w, g, lr, o):
    """Tian & Parikh 2022, Alg. 1 with the factors of section 4."""
    beta, zeta, mu, eta = o.get("beta", 0.999), o.get("zeta", 0.25), o.get("momentum", 0.0), o.get("eta", 1.0)
    if w.t == 1:
        w.s[0], w.s[1] = np.zeros((w.x.shape[0], 1)), np.zeros((w.x.shape[0], 1))
    eta *= {"bias": 0.5, "gain": 1.0}.get(w.role, 1 / np.sqrt(w.x.shape[1]))
    x, g = with_decay(w.x, g, lr, o, coupled=False)
    s = np.mean(g * g, axis=1, keepdims=True)
    w.s[0] = beta * w.s[0] + (1 - beta) * s
    b, reciprocal = w.s[1], (1 - beta**w.t) / np.maximum(w.s[0], 2.0**-125)
    gamma = lr**2 * reciprocal * s / np.sqrt(1 + zeta * np.sqrt(lr) * b)
    step = (lr * eta * np.sqrt(reciprocal) * g + gamma * x / 2) / (1 + zeta * np.sqrt(lr * eta) * b)
    w.s[1] = b + gamma * (1 + b)
    if mu:
        step = w.s[2] = mu * w.s[2] + (1 - mu) * step
    w.x = x - step


def sophia(w, g, lr, o):
    """Liu et al. 2023, Alg. 3, before any estimate of curvature: h = 0."""
    b1, eps = o.get("beta1", 0.965), o.get("eps", 1e-12)
    x, g = with_decay(w.x, g, lr, {"weight_decay": 0.1, **o}, coupled=False)
    w.s[0] = b1 * w.s[0] + (1 - b1) * g
    w.sign(w.s[0])
    w.x = x - lr * np.clip(w.s[0] / np.maximum(o.get("rho", 0.04) * w.s[1], eps), -1, 1)


def tiger_eta(w, lr, o, fan_in):
    """The step size, by role: a number, or one for each row."""
    scale = o.get("scale", "rms")
    if w.role in ("bias", "gain"):
        return lr * o.get("bias_lr", 0.05)
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
    w.made += 1
    eta = tiger_eta(w, lr, o, w.x.shape[1])
    if "period" in o and is_whole(w, o) and w.made % o["period"] == 0:  # tigermuon
        direction = np.sqrt(max(w.x.shape)) * newton_schulz(m, o)
    else:
        direction = w.sign(m[rows])
    if gamma != 1.0:
        direction = direction * np.abs(m[rows]) ** (1 - gamma)
    step = np.zeros_like(w.x)
    step[rows] = direction + wd * w.x[rows]
    w.x = w.x - eta * step



def adamw_of_the_rest(w, g, lr, o):
    """What a rule of whole matrices does to the other tensors."""
    inner = {"beta1": o.get("adamw_beta1", 0.9), "beta2": o.get("adamw_beta2", 0.999), "eps": o.get("adamw_eps", 1e-8),
             "weight_decay": o.get("adamw_weight_decay", 0.01)}
    inner.update({name: o[name] for name in ("decay", "maximize") if name in o})
    if w.t == 1:
        w.s = [np.zeros_like(w.x), np.zeros_like(w.x)]
    adam(w, g, lr * o.get("adamw_lr", 1.0), inner, coupled=False)


def is_whole(w, o):
    return w.role == "matrix" and min(w.x.shape) > 1 and max(w.x.shape) <= o.get("max_dim", 16384)


def newton_schulz(d, o):
    """Jordan et al. 2024: a quintic polynomial of the singular values, again and again."""
    a, b, c = o.get("ns_a", 3.4445), o.get("ns_b", -4.775), o.get("ns_c", 2.0315)
    x = d / max(np.linalg.norm(d), o.get("eps", 1e-7))
    for _ in range(o.get("ns_steps", 5)):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def muon(w, g, lr, o):
    """Jordan et al. 2024, with Liu et al.'s scale (2025) as an option."""
    if not is_whole(w, o):
        return adamw_of_the_rest(w, g, lr, o)
    mu, (rows, cols) = o.get("momentum", 0.95), w.x.shape
    x, g = with_decay(w.x, g, lr, {"weight_decay": 0.1, **o}, coupled=False)
    w.s[0] = mu * w.s[0] + (1 - mu) * g
    d = (1 - mu) * g + mu * w.s[0] if o.get("nesterov", 1) else w.s[0]
    scale = {"original": max(1.0, rows / cols) ** 0.5, "match_rms_adamw": 0.2 * max(rows, cols) ** 0.5}
    w.x = x - lr * scale[o.get("adjust_lr_fn", "original")] * newton_schulz(d, o)



def root_of(factor, o):
    """(A + ridge max(A) I)^(-1/root), of a matrix or of a diagonal."""
    ridge, p = o.get("ridge", 1e-5), o.get("root", 4)
    if factor.shape[1] == 1 and factor.shape[0] > 1:
        return (factor + ridge * factor.max()) ** (-1 / p)
    w, q = np.linalg.eigh(factor)
    return (q * (np.maximum(w, 0) + ridge * w.max()) ** (-1 / p)) @ q.T


def shampoo(w, g, lr, o):
    """Gupta, Koren & Singer 2018, Alg. 1, with Anil et al.'s grafting (2020)."""
    if w.role != "matrix" or min(w.x.shape) == 1:
        return adamw_of_the_rest(w, g, lr, o)
    graft, most, keep = o.get("grafting", "adam"), o.get("max_dim", 2048), o.get("beta", 1.0)
    b1, b2, eps = o.get("adamw_beta1", 0.9), o.get("adamw_beta2", 0.999), o.get("adamw_eps", 1e-8)
    x, g = with_decay(w.x, g, lr, {"weight_decay": 0.01, **o}, coupled=False)
    grams = [g @ g.T, g.T @ g]
    grams = [a if len(a) <= most else np.diag(a)[:, None] for a in grams]
    if w.t == 1:
        kept = {"adam": 2, "adagrad": 1, "rmsprop": 1}.get(graft, 0)
        w.s = [np.zeros_like(a) for a in grams] * 2 + [np.zeros(1)] + [np.zeros_like(g) for _ in range(kept)]
    for side in (0, 1):
        w.s[side] = keep * w.s[side] + grams[side]
        if (w.t - 1) % o.get("interval", 20) == 0:
            w.s[2 + side] = root_of(w.s[side], o)
    left, right = w.s[2:4]
    u = left @ g if left.shape[1] > 1 else left * g
    u = u @ right if right.shape[1] > 1 else u * right.T
    step = g
    if graft == "adagrad":
        w.s[5] = w.s[5] + g * g
        step = g / (np.sqrt(w.s[5]) + eps)
    elif graft == "rmsprop":
        w.s[5] = b2 * w.s[5] + (1 - b2) * g * g
        step = g / (np.sqrt(w.s[5]) + eps)
    elif graft == "adam":
        w.s[5] = b1 * w.s[5] + (1 - b1) * g
        w.s[6] = b2 * w.s[6] + (1 - b2) * g * g
        step = w.s[5] / (1 - b1**w.t) / (np.sqrt(w.s[6] / (1 - b2**w.t)) + eps)
    if graft != "none":
        u = u * np.linalg.norm(step) / np.linalg.norm(u)
    w.x = x - lr * u


def eigenvectors(a):
    """Columns, of large eigenvalues first, each with its largest component positive."""
    q = np.linalg.eigh(a)[1][:, ::-1]
    return q * np.sign(q[np.argmax(np.abs(q), axis=0), np.arange(len(q))])


def renewed(a, q):
    """A step of orthogonal iteration on directions sorted by what `a` is along them, and their old numbers."""
    order = np.argsort(-np.einsum("ij,ik,kj->j", q, a, q), kind="stable")
    q, r = np.linalg.qr(a @ q[:, order])
    return q * np.where(np.diag(r) < 0, -1.0, 1.0), order


def soap(w, g, lr, o):
    """Vyas et al. 2024, Alg. 3: w.s holds the factors, the transposed bases, failures, and adam's states in the bases."""
    if w.role != "matrix" or min(w.x.shape) == 1:
        return adamw_of_the_rest(w, g, lr, o)
    b1, b2, eps = o.get("beta1", 0.95), o.get("beta2", 0.95), o.get("eps", 1e-8)
    keep = b2 if o.get("shampoo_beta", -1) < 0 else o["shampoo_beta"]
    full = [n <= o.get("max_dim", 2048) for n in g.shape]
    if o.get("one_sided", 0):
        full[0 if g.shape[0] > g.shape[1] else 1] = False
    x, g = with_decay(w.x, g, lr, {"weight_decay": 0.01, **o}, coupled=False)
    grams = [g @ g.T, g.T @ g]
    sides = [side for side in (0, 1) if full[side]]
    if w.t == 1:
        w.factor = [(1 - keep) * a for a in grams]
        w.q = [eigenvectors(w.factor[side]) if full[side] else np.eye(len(a)) for side, a in enumerate(grams)]
        w.m, w.v = np.zeros_like(g), np.zeros_like(g)
    else:
        left, right = w.q
        turned = left.T @ g @ right
        w.m = b1 * w.m + (1 - b1) * turned
        w.v = b2 * w.v + (1 - b2) * turned**2
        n = w.m / (1 - b1**(w.t - 1)) / (np.sqrt(w.v / (1 - b2**(w.t - 1))) + eps)
        w.x = x - lr * left @ n @ right.T
        w.factor = [keep * old + (1 - keep) * a for old, a in zip(w.factor, grams)]
        if (w.t - 1) % o.get("interval", 10) == 0:
            plain = left @ w.m @ right.T
            for side in sides:
                w.q[side], order = renewed(w.factor[side], w.q[side])
                w.v = np.take(w.v, order, axis=side)
            w.m = w.q[0].T @ plain @ w.q[1]
    w.s = [w.factor[side] for side in sides] + [w.q[side].T for side in sides] + [np.zeros(1), w.m, w.v]


def inverse_of(a, damping):
    return np.linalg.inv(a + damping * np.eye(len(a)))


def kfac(w, g, lr, o):
    """Martens & Grosse 2015, sections 4.2, 5 and 6.3, without a norm constraint: one layer knows nothing of the others. w.rows:
    second moments of the rows' and the columns' side, a pair for every batch since the last update."""
    if w.role != "matrix" or min(w.x.shape) == 1 or max(w.x.shape) > o.get("max_dim", 4096):
        return adamw_of_the_rest(w, g, lr, {"adamw_lr": 0.03, **o})
    x, g = with_decay(w.x, g, lr, {"weight_decay": 0.01, **o}, coupled=False)
    rows, cols = g.shape
    if w.t == 1:
        squares = [np.zeros((rows, rows)), np.zeros((cols, cols))]
        w.s = squares + [a.copy() for a in squares] + [np.zeros(1), np.zeros(1), np.zeros_like(g)]
    for batch in w.rows:
        w.s[4] = w.s[4] + 1
        b = min(1 - 1 / w.s[4][0], o.get("beta", 0.95))
        for side in (0, 1):
            w.s[side] = b * w.s[side] + (1 - b) * batch[side]
    if (w.t - 1) % o.get("interval", 5) == 0:
        pi = np.sqrt(np.trace(w.s[0]) / rows / (np.trace(w.s[1]) / cols))
        root = np.sqrt(o.get("damping", 0.1))
        w.s[2], w.s[3] = inverse_of(w.s[0], pi * root), inverse_of(w.s[1], root / pi)
    w.s[6] = o.get("momentum", 0.9) * w.s[6] + w.s[2] @ g @ w.s[3]
    w.x = x - lr * w.s[6]


RULES = {"sgd": sgd, "adagrad": adagrad, "rmsprop": rmsprop, "adadelta": adadelta, "adam": adam, "adamw": adamw,
         "amsgrad": amsgrad, "adamax": adamax, "nadam": nadam, "radam": radam, "asgd": asgd, "rprop": rprop,
         "signsgd": signsgd, "signum": signum, "lion": lion, "tiger": tiger, "lars": lars, "lamb": lamb,
         "adafactor": adafactor, "amos": amos, "sophia": sophia, "muon": muon, "tigermuon": tiger, "shampoo": shampoo, "soap": soap,
         "kfac": kfac}
# States of a rule: a number, or from its options.
SLOTS = {
    "sgd": lambda o: 1 if o.get("momentum") else 0,
    "adagrad": 1,
    "rmsprop": lambda o: 1 + bool(o.get("momentum")) + bool(o.get("centered")),
    "adadelta": 2,
    "adam": lambda o: 3 if o.get("amsgrad") else 2,
    "adamw": lambda o: 3 if o.get("amsgrad") else 2,
    "amsgrad": lambda o: 3 if o.get("amsgrad", 1) else 2,
    "adamax": 2,
    "nadam": 3,
    "radam": 2,
    "asgd": 3,
    "rprop": 2,
    "signsgd": 0,
    "signum": 1,
    "lion": 1,
    "tiger": 1,
    "lars": 1,
    "lamb": 2,
    "adafactor": 1,  # two of other shapes for matrices
    "amos": lambda o: 3 if o.get("momentum") else 2,
    "sophia": 2,
    "shampoo": 2,  # many of other shapes for matrices
    "soap": 2,  # likewise
    "kfac": 2,  # likewise
    "tigermuon": 1,
    "muon": 1,  # two of the tensors that get adamw
}


def slots(rule, o):
    return SLOTS[rule](o) if callable(SLOTS[rule]) else SLOTS[rule]
