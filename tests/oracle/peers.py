"""Holds the float64 rules of rules.py against PyTorch's and optax's own, where they ship the rule."""
import numpy as np

import rules


def ours(rule, options, x, gradients):
    w = rules.Tensor(x, "matrix", rules.slots(rule, options))
    for g in gradients:
        w.t += 1
        rules.RULES[rule](w, g, options["lr"], options)
    return w.x


def torch_result(make, x, gradients):
    import torch
    torch.set_default_dtype(torch.float64)  # of states that are one number, too
    p = torch.nn.Parameter(torch.tensor(x))
    optimizer = make([p])
    for g in gradients:
        p.grad = torch.tensor(g)
        optimizer.step()
    return p.detach().numpy()


def torch_cases():
    """Every case of the table by which torch_optimizers.py holds the library itself against PyTorch. But for muon, which
    PyTorch works in bf16: no double follows that, and torch_optimizers.py has tolerances of its own for it."""
    import torch
    import torch_optimizers
    for rule, kind, fixed, cases in torch_optimizers.RULES:
        make = getattr(torch.optim, kind)
        for case in cases if rule != "muon" else []:
            for theirs, _ in torch_optimizers.variants(kind, {**fixed, **case}):
                words = torch_optimizers.our_options({"lr": torch_optimizers.parameters(kind)["lr"], **theirs})
                o = {name: number(value) for name, value in zip(words[::2], words[1::2])}
                yield rule, o, lambda p, theirs=theirs, make=make: make(p, **theirs)


def number(word):
    return {"on": 1, "off": 0}[word] if word in ("on", "off") else word if word[0] in "cd" else float(word)


def optax_result(make, x, gradients):
    import jax
    import jax.numpy as jnp
    import optax
    jax.config.update("jax_enable_x64", True)
    transform = make(optax)
    p = jnp.asarray(x)
    state = transform.init(p)
    for g in gradients:
        updates, state = transform.update(jnp.asarray(g), state, p)
        p = optax.apply_updates(p, updates)
    return np.asarray(p)


def optax_cases():
    for b1, b2, wd in [(0.9, 0.99, 0.0), (0.95, 0.8, 0.3)]:
        o = {"lr": 0.0091, "beta1": b1, "beta2": b2, "weight_decay": wd}
        yield "lion", o, lambda optax, o=o: optax.lion(o["lr"], b1=o["beta1"], b2=o["beta2"], weight_decay=o["weight_decay"])
    o = {"lr": 0.0091, "weight_decay": 0.0}
    yield "signsgd", o, lambda optax: optax.sign_sgd(0.0091)
    for o in [{"lr": 0.37, "weight_decay": 0.0}, {"lr": 0.1, "weight_decay": 0.0, "trust_coefficient": 0.013, "momentum": 0.7}]:
        # With a decay optax takes another norm; without, both are the paper's.
        yield "lars", {"eps": 0.0, **o}, lambda optax, o=o: optax.lars(
            o["lr"], trust_coefficient=o.get("trust_coefficient", 1e-3), momentum=o.get("momentum", 0.9))
    for o in [{"lr": 0.0117}, {"lr": 0.0117, "beta1": 0.7, "beta2": 0.95, "eps": 1e-3, "weight_decay": 0.21}]:
        yield "lamb", o, lambda optax, o=o: optax.lamb(
            o["lr"], b1=o.get("beta1", 0.9), b2=o.get("beta2", 0.999), eps=o.get("eps", 1e-6),
            weight_decay=o.get("weight_decay", 0.0))
    # Signum without decay: an average of the gradients, then the sign.
    o = {"lr": 0.0091, "beta": 0.9, "weight_decay": 0.0}
    yield "signum", o, lambda optax: optax.chain(optax.ema(0.9, debias=False), optax.scale_by_sign(), optax.scale(-0.0091))


def main():
    rng = np.random.default_rng(2385)
    x = rng.standard_normal((7, 11)) * 0.5
    gradients = [rng.standard_normal(x.shape) * 1.7 for _ in range(50)]
    wrong = 0
    for rule, options, make in torch_cases():
        wrong += report("torch", rule, options, ours(rule, options, x, gradients), torch_result(make, x, gradients))
    for rule, options, make in optax_cases():
        wrong += report("optax", rule, options, ours(rule, options, x, gradients), optax_result(make, x, gradients))
    return 1 if wrong else 0


def report(peer, rule, options, a, b):
    difference = np.abs(a - b).max()
    good = difference < 1e-12
    print(f"{peer} {rule} {options}: largest difference {difference:.1e}{'' if good else '  WRONG'}")
    return not good
