"""One class a rule. Keywords are torch.optim's where it has the rule, else the option table's; defaults are the
table's.

foreach and fused say how PyTorch should work; they are taken and make no difference: every update is one fused call.
capturable and differentiable must be False. **common: see Common.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from .._native import RULES
from ._layers import Layer, parts_of
from ._layers import find as find_layers
from ._layers import hook as hook_layer
from ._optimizer import Common, Optimizer, ParamsT
from ._tensors import FORMATS

if TYPE_CHECKING:
    from typing_extensions import Unpack

BETAS = {"betas": ("beta1", "beta2")}


class SGD(Optimizer):
    """Stochastic gradient descent with Polyak's or Nesterov's momentum, as torch.optim.SGD. `ema`: the momentum is an
    average, gradients enter it with 1 - momentum. State: momentum_buffer, shaped as the parameter, unless momentum is
    0."""

    rule = "sgd"

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        ema: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)

    def takes_sparse(self, group: Mapping[str, Any], role: str) -> bool:
        return group["momentum"] == 0 and group["weight_decay"] == 0


class Adagrad(Optimizer):
    """Steps over the root of the sum of squared gradients (Duchi, Hazan & Singer 2011), as torch.optim.Adagrad.
    Tensors in the role embedding are updated in the rows that have a gradient. State: sum, shaped as the parameter."""

    rule = "adagrad"

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        embedding_update: str = "lazy",
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)

    def takes_sparse(self, group: Mapping[str, Any], role: str) -> bool:
        return group["weight_decay"] == 0 or (role == "embedding" and group["embedding_update"] == "lazy")


class RMSprop(Optimizer):
    """Gradients over the root of their average square (Tieleman & Hinton 2012), as torch.optim.RMSprop. State:
    square_avg, with momentum > 0 momentum_buffer, and with centered grad_avg, shaped as the parameter."""

    rule = "rmsprop"

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class Adadelta(Optimizer):
    """Steps in the size of the steps before (Zeiler 2012, arXiv:1212.5701), as torch.optim.Adadelta. State: square_avg,
    acc_delta, shaped as the parameter."""

    rule = "adadelta"

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2015, arXiv:1412.6980), as torch.optim.Adam: weight decay enters the gradient
    unless decoupled_weight_decay. State: exp_avg, exp_avg_sq and with amsgrad max_exp_avg_sq, shaped as the
    parameter."""

    rule = "adam"
    tuples = BETAS

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101), as torch.optim.AdamW. State:
    exp_avg, exp_avg_sq and with amsgrad max_exp_avg_sq, shaped as the parameter."""

    rule = "adamw"
    tuples = BETAS

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class AMSGrad(Optimizer):
    """Adam that divides by the largest second moment so far (Reddi, Kale & Kumar 2018, arXiv:1904.09237), as
    torch.optim.Adam(amsgrad=True). State: exp_avg, exp_avg_sq, max_exp_avg_sq, shaped as the parameter."""

    rule = "amsgrad"
    tuples = BETAS

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = True,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class Adamax(Optimizer):
    """Average of gradients over their largest size (Kingma & Ba 2015, arXiv:1412.6980, Alg. 2), as torch.optim.Adamax.
    State: exp_avg, exp_inf, shaped as the parameter."""

    rule = "adamax"
    tuples = BETAS

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class NAdam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2016), as torch.optim.NAdam. State: exp_avg, exp_avg_sq, shaped as the
    parameter, and mu_product, one double."""

    rule = "nadam"
    tuples = BETAS

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class RAdam(Optimizer):
    """Adam whose early steps make up for how little the second moment knows (Liu et al. 2020, arXiv:1908.03265), as
    torch.optim.RAdam. State: exp_avg, exp_avg_sq, shaped as the parameter."""

    rule = "radam"
    tuples = BETAS

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class ASGD(Optimizer):
    """Gradient descent with an average of its weights (Polyak & Juditsky 1992), as torch.optim.ASGD. State: ax, the
    average, shaped as the parameter; eta and mu, a double each."""

    rule = "asgd"

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class Rprop(Optimizer):
    """A step size for every weight, grown and shrunk by the gradient's signs (Riedmiller & Braun 1993), as
    torch.optim.Rprop. State: prev, step_size, shaped as the parameter."""

    rule = "rprop"
    tuples = {"etas": ("etaminus", "etaplus"), "step_sizes": ("step_size_min", "step_size_max")}

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        weight_decay: float = 0,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class SignSGD(Optimizer):
    """Sign of the gradient (Bernstein et al. 2018, arXiv:1802.04434, Alg. 1). It has no state."""

    rule = "signsgd"

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-4,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)

    def takes_sparse(self, group: Mapping[str, Any], role: str) -> bool:
        return group["weight_decay"] == 0


class Signum(Optimizer):
    """Sign of the momentum (Bernstein et al. 2018, arXiv:1802.04434, Alg. 2). State: momentum_buffer."""

    rule = "signum"

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-4,
        beta: float = 0.9,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class Lion(Optimizer):
    """Sign of an interpolated momentum (Chen et al. 2023, arXiv:2302.06675, Alg. 2). State: exp_avg."""

    rule = "lion"
    tuples = BETAS

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class Tiger(Optimizer):
    """Sign of the momentum, steps relative to each tensor's own scale (Su Jianlin 2023, spaces.ac.cn/archives/9512).
    gradients="folded" takes gradients into the momentum in backward: no .grad stays. Roles matter: see roles().
    State: exp_avg, and row_updates for embeddings updated lazily, which may have sparse gradients."""

    rule = "tiger"

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-2,
        beta: float = 0.965,
        weight_decay: float = 0.01,
        *,
        gamma: float = 1,
        scale: str = "rms",
        rms_floor: float = 1e-3,
        bias_lr: float = 0.05,
        embedding_rms: str = "table",
        embedding_update: str = "lazy",
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)

    def takes_sparse(self, group: Mapping[str, Any], role: str) -> bool:
        return role == "embedding" and group["embedding_update"] == "lazy"


class LARS(Optimizer):
    """Momentum whose steps are as long as each tensor's norm allows (You, Gitman & Ginsburg 2017, arXiv:1708.03888);
    biases and gains move as with SGD. State: momentum_buffer, shaped as the parameter."""

    rule = "lars"

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0,
        trust_coefficient: float = 1e-3,
        eps: float = 1e-8,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class LAMB(Optimizer):
    """Adam's direction, as long as each tensor's weights (You et al. 2020, arXiv:1904.00962); biases and gains move as
    with Adam. State: exp_avg, exp_avg_sq, shaped as the parameter."""

    rule = "lamb"
    tuples = BETAS

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class Adafactor(Optimizer):
    """Adaptive rates from row and column means (Shazeer & Stern 2018, arXiv:1804.04235), as torch.optim.Adafactor.
    eps: its first value must be None (2^-23), the second is the least RMS of weights that steps are relative to.
    Kernels of more than two dimensions are matrices (first dimension, all else); PyTorch factors their last two.
    State: row_var (rows) and col_var (columns) of matrices, variance of vectors."""

    rule = "adafactor"

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)

    @classmethod
    def defaults_of_rule(cls) -> dict[str, Any]:
        values = super().defaults_of_rule()
        values["eps"] = (None, values.pop("eps2"))
        return values

    def _value(self, group: Mapping[str, Any], name: str) -> Any:
        if name != "eps2":
            return super()._value(group, name)
        eps = group["eps"]
        if not isinstance(eps, (tuple, list)) or len(eps) != 2 or eps[0] not in (None, 2**-23):
            raise ValueError(f"eps must be (None, least RMS): the first is always 2^-23 here, not {eps!r}")
        return eps[1]

    def _from_torch(self, p: torch.Tensor, state: dict[str, Any]) -> dict[str, Any]:
        # PyTorch factors a matrix of one row or column too: what has all its values is the variance.
        if p.dim() == 2 and 1 in p.shape and "row_var" in state:
            state["variance"] = state["col_var"] if p.shape[0] == 1 else state["row_var"]
        return state

    def _to_torch(self, p: torch.Tensor, state: dict[str, Any]) -> dict[str, Any]:
        if p.dim() == 2 and "variance" in state:
            variance = state.pop("variance").reshape(p.shape)
            state["row_var"], state["col_var"] = variance.mean(1, keepdim=True), variance.mean(0, keepdim=True)
        elif p.dim() == 2 and "row_var" in state:
            state["row_var"], state["col_var"] = state["row_var"].reshape(-1, 1), state["col_var"].reshape(1, -1)
        return state


class Amos(Optimizer):
    """Weights decay adaptively towards a scale that the model's shape gives (Tian & Parikh 2022, arXiv:2210.11693).
    Roles matter. State: exp_avg_sq and decay, a value for each row, and with momentum > 0 exp_avg, shaped as the
    parameter."""

    rule = "amos"

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-2,
        beta: float = 0.999,
        zeta: float = 0.25,
        eta: float = 1.0,
        momentum: float = 0,
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class Sophia(Optimizer):
    """Momentum over the Hessian's diagonal, clipped (Liu et al. 2023, arXiv:2305.14342, Alg. 3). Without estimates,
    which observe() takes, every step is a sign. State: exp_avg, hessian, shaped as the parameter.

        if optimizer.due:                                  # every `interval` updates
            logits = model(x)
            drawn = torch.distributions.Categorical(logits=logits).sample()
            cross_entropy(logits, drawn).backward()        # mean over the N labels drawn
            optimizer.observe(drawn.numel())
            optimizer.zero_grad()
    """

    rule = "sophia"
    tuples = BETAS

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 4e-4,
        betas: tuple[float, float] = (0.965, 0.99),
        rho: float = 0.04,
        eps: float = 1e-12,
        weight_decay: float = 0.1,
        *,
        interval: int = 10,
        hessian: str = "gnb",
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)

    @property
    def due(self) -> bool:
        """Whether an estimate should come before the next update."""
        return self._updates % int(self.param_groups[0]["interval"]) == 0

    def observe(self, scale: float = 1.0) -> None:
        """Takes an estimate of the Hessian's diagonal from .grad into the states. With hessian="gnb" .grad is the
        gradient of the mean loss over `scale` labels drawn from the model's own output; with "hutchinson" it is the
        estimate itself, u (H u) with random signs u."""
        if self._common["gradients"] != "auto":
            raise RuntimeError("estimates come from .grad: use gradients='auto'")
        for run, grads in zip(*self._gather()):
            squares = self.param_groups[run.groups[0]]["hessian"] == "gnb"
            run.engine.observe(grads.addresses, grads.formats, squares, float(scale))


class Muon(Optimizer):
    """The momentum of matrices, orthogonalised by products (Jordan et al. 2024), as torch.optim.Muon, with AdamW for
    all other tensors: those in another role, vectors, and matrices with more than max_dim rows or columns. Their
    options begin with adamw_; adamw_lr is a factor of lr. Kernels of more than two dimensions are matrices (first
    dimension, all else). ns_format: "bf16", as PyTorch, or "fp32". State: momentum_buffer of matrices, exp_avg and
    exp_avg_sq of the others, shaped as the parameter."""

    rule = "muon"
    tuples = {"ns_coefficients": ("ns_a", "ns_b", "ns_c"), "adamw_betas": ("adamw_beta1", "adamw_beta2")}

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        *,
        ns_format: str = "bf16",
        max_dim: int = 16384,
        adamw_lr: float = 1,
        adamw_betas: tuple[float, float] = (0.9, 0.999),
        adamw_eps: float = 1e-8,
        adamw_weight_decay: float = 0.01,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)

    @classmethod
    def defaults_of_rule(cls) -> dict[str, Any]:
        return {**super().defaults_of_rule(), "adjust_lr_fn": None}

    def _value(self, group: Mapping[str, Any], name: str) -> Any:
        value = super()._value(group, name)
        return "original" if name == "adjust_lr_fn" and value is None else value


class TigerMuon(Optimizer):
    """Tiger's signs and Muon's orthogonalised steps in turn, on one momentum that gradients can be folded into. Every
    `period`-th update of a matrix is orthogonalised. Roles matter, as with Tiger. State: exp_avg, shaped as the
    parameter."""

    rule = "tigermuon"

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-2,
        beta: float = 0.965,
        weight_decay: float = 0.01,
        *,
        period: int = 2,
        rms_floor: float = 1e-3,
        bias_lr: float = 0.05,
        embedding_rms: str = "table",
        embedding_update: str = "lazy",
        ns_steps: int = 5,
        ns_format: str = "bf16",
        max_dim: int = 16384,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class Shampoo(Optimizer):
    """Gradients of matrices between roots of their rows' and columns' second moments (Gupta, Koren & Singer 2018,
    arXiv:1802.09568), with the length of the step of `grafting`; AdamW for all other tensors, whose options begin with
    adamw_ and serve the grafted rule too. Needs a library built with LAPACK, which the wheels are not. State: left and
    left_root (rows, rows), right and right_root (columns, columns), or a column each beyond max_dim; failures; exp_avg
    and exp_avg_sq, shaped as the parameter, as the grafted rule has them."""

    rule = "shampoo"
    tuples = {"adamw_betas": ("adamw_beta1", "adamw_beta2")}

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-3,
        weight_decay: float = 0.01,
        beta: float = 1,
        *,
        root: int = 4,
        ridge: float = 1e-5,
        interval: int = 20,
        max_dim: int = 2048,
        grafting: str = "adam",
        adamw_lr: float = 1,
        adamw_betas: tuple[float, float] = (0.9, 0.999),
        adamw_eps: float = 1e-8,
        adamw_weight_decay: float = 0.01,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class SOAP(Optimizer):
    """Adam in the eigenbasis of Shampoo's factors (Vyas et al. 2024, arXiv:2409.11321); AdamW for all other tensors, whose
    options begin with adamw_. The first step moves no matrix: it takes the bases. Needs a library built with LAPACK,
    which the wheels are not. State: left and left_basis (rows, rows), right and right_basis (columns, columns), of the
    sides that are turned; failures; exp_avg and exp_avg_sq, shaped as the parameter, in the bases."""

    rule = "soap"
    tuples = {**BETAS, "adamw_betas": ("adamw_beta1", "adamw_beta2")}

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        shampoo_beta: float = -1,
        interval: int = 10,
        max_dim: int = 2048,
        one_sided: bool = False,
        adamw_lr: float = 1,
        adamw_betas: tuple[float, float] = (0.9, 0.999),
        adamw_eps: float = 1e-8,
        adamw_weight_decay: float = 0.01,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class KFAC(Optimizer):
    """The natural gradient of linear layers and convolutions, by Kronecker factors of their curvature (Martens & Grosse
    2015, arXiv:1503.05671; Grosse & Martens 2016, arXiv:1602.01407); AdamW for all other tensors, whose options begin with
    adamw_. Given a model in place of parameters it takes all of that model's, and the inputs and output gradients of its
    nn.Linear and nn.Conv2d layers (without groups) in passes like these:

        optimizer = tiger.torch.KFAC(model, lr=0.1)
        if optimizer.due:                                  # at first, and every `interval` updates
            with optimizer.observe(y.numel()):             # the loss is a mean over so many labels
                logits = model(x)
                drawn = torch.distributions.Categorical(logits=logits).sample()
                cross_entropy(logits, drawn).backward()
            optimizer.zero_grad()

    With labels of the data instead (`fisher` is what `tiger train` does) the update's own backward pass serves. Layers shared
    over time count every step as a sample. Needs a library built with LAPACK, which the wheels are not. State of a layer:
    left and left_inverse, right and right_inverse, as wide as the matrix's sides, one more on the side of the inputs where
    there is a bias; batches, failures; exp_avg, shaped as the parameter, the momentum."""

    rule = "kfac"
    tuples = {"adamw_betas": ("adamw_beta1", "adamw_beta2")}

    def __init__(
        self,
        params: ParamsT | torch.nn.Module,
        lr: float | torch.Tensor = 0.1,
        weight_decay: float = 0.01,
        momentum: float = 0.9,
        *,
        beta: float = 0.95,
        damping: float = 0.1,
        kl_clip: float = 3e-3,
        interval: int = 5,
        fisher: str = "sampled",
        max_dim: int = 4096,
        adamw_lr: float = 0.03,
        adamw_betas: tuple[float, float] = (0.9, 0.999),
        adamw_eps: float = 1e-8,
        adamw_weight_decay: float = 0.01,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        options = locals()
        model = params if isinstance(params, torch.nn.Module) else None
        super().__init__(model.named_parameters() if model is not None else params, options, common)
        self._terms: float | None = None
        if model is not None:
            self.watch(model)

    def watch(self, model: torch.nn.Module) -> None:
        """Has the linear layers and convolutions of `model` hand over their rows; for an optimizer of parameters, or a copy of one."""
        if self._updates > 0 and self._runs is not None:
            raise RuntimeError("watch a model before the first update")
        me = weakref.ref(self)

        def taker() -> Any:
            optimizer = me()
            return None if optimizer is None or optimizer._terms is None else optimizer._take_rows

        mine = {id(p) for group in self.param_groups for p in group["params"]}
        layers = [layer for layer in find_layers(model) if id(layer.weight) in mine]
        self._layers = {id(layer.weight): layer for layer in layers}
        self._hooks += [hook_layer(layer, taker) for layer in layers]
        self._runs = None

    @property
    def due(self) -> bool:
        """Whether rows should come before the next update."""
        return any([run.engine.layers_due for run in self._ready()])

    @contextmanager
    def observe(self, scale: float) -> Iterator[None]:
        """Forward and backward passes in here hand over the rows of layers. The loss is a mean over `scale` terms."""
        self._ready()
        self._terms = float(scale)
        try:
            yield
        finally:
            self._terms = None

    def _take_rows(self, layer: Layer, inputs: torch.Tensor, gradients: torch.Tensor) -> None:
        dtype = inputs.dtype if inputs.dtype == gradients.dtype and inputs.dtype in FORMATS else torch.float32
        with self._lock:
            if self._terms is None or id(layer.weight) not in self._where:
                return
            run, at = self._where[id(layer.weight)]
            for a, g, first, all_rows in parts_of(layer, inputs, gradients, dtype):
                run.engine.observe_layer(at, a.data_ptr(), g.data_ptr(), FORMATS[dtype], len(a), self._terms, first, all_rows)


class AdamW8bit(Optimizer):
    """AdamW with states of 8 bits, a scale for every 256 values (codes after Dettmers et al. 2022, arXiv:2110.02861).
    State: exp_avg, exp_avg_sq as codes, shaped as the parameter, and their scales; values() decodes."""

    rule = "adamw8bit"
    tuples = BETAS

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


class Lion8bit(Optimizer):
    """Lion with a momentum of 8 bits, a scale for every 256 values (codes after Dettmers et al. 2022,
    arXiv:2110.02861). State: exp_avg as codes, shaped as the parameter, and its scales; values() decodes."""

    rule = "lion8bit"
    tuples = BETAS

    def __init__(
        self,
        params: ParamsT,
        lr: float | torch.Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0,
        *,
        maximize: bool = False,
        **common: Unpack[Common],
    ):
        super().__init__(params, locals(), common)


CLASSES: dict[str, type[Optimizer]] = {
    cls.rule: cls
    for cls in (
        SGD,
        Adagrad,
        RMSprop,
        Adadelta,
        Adam,
        AdamW,
        AMSGrad,
        Adamax,
        NAdam,
        RAdam,
        ASGD,
        Rprop,
        SignSGD,
        Signum,
        Lion,
        Tiger,
        LARS,
        LAMB,
        Adafactor,
        Amos,
        Sophia,
        Muon,
        TigerMuon,
        Shampoo,
        SOAP,
        KFAC,
        AdamW8bit,
        Lion8bit,
    )
    if cls.rule in RULES  # a build may lack what a rule needs
}


def class_of(name: str) -> type[Optimizer]:
    """The class of a rule of the library."""
    if name not in RULES:
        raise LookupError(f"there is no optimizer '{name}' (there are {', '.join(RULES)})")
    return CLASSES[name]


def optimizer(name: str, params: ParamsT, **options: Any) -> Optimizer:
    """The optimizer of that name in `tiger.rules()`. Options by the class's keywords, or by the table's names
    (beta1=...); preset: options that are published together, under the others."""
    cls = class_of(name)
    if "preset" in options:
        options = cls.preset(options.pop("preset"), **options)
    for keyword, names in cls.tuples.items():
        given = {part: options.pop(part) for part in names if part in options}
        if given:
            values = options.get(keyword) or cls.defaults_of_rule()[keyword]
            options[keyword] = tuple(given.get(part, value) for part, value in zip(names, values))
    return cls(params, **options)  # type: ignore[arg-type, call-arg]
