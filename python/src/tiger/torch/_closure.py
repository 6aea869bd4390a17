"""Optimizers that see the whole model through a closure, as torch.optim.LBFGS does: step(closure) makes up to max_iter
iterations on the function that the closure computes, which should be the same one each time: a full batch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

import torch

from .. import _native
from .._native import METHOD_COMMON, METHODS

__all__ = ["CG", "ClosureOptimizer", "LBFGS", "NewtonCG"]

_SEARCHES = {None: "none", "strong_wolfe": "torch", "wolfe": "wolfe", "backtracking": "backtracking"}
_NEVER_MIND = 1e15  # a budget that is counted here instead


class ClosureOptimizer(torch.optim.Optimizer):
    """What they share. Parameters are CPU tensors, all float32 or all float64, in one group. In float32 points are kept
    to float32 and rounding is reckoned with. What a method has learnt lasts from step to step, and is saved by
    state_dict."""

    method: str

    def __init__(self, params: Iterable[Any], max_iter: int, max_eval: int | None, options: dict[str, Any]):
        table = {**METHODS[self.method].options, **METHOD_COMMON}
        self._numbers = {name: table[name].number(value) for name, value in options.items()}
        super().__init__(params, {"max_iter": max_iter, "max_eval": max_eval, **options})
        if len(self.param_groups) != 1:
            raise ValueError(f"{type(self).__name__} has one parameter group: it sees the model as a whole")
        self._params: list[torch.Tensor] = self.param_groups[0]["params"]
        kinds = {(p.dtype, p.device.type, p.layout) for p in self._params}
        if len(kinds) != 1 or kinds & {(d, "cpu", torch.strided) for d in (torch.float32, torch.float64)} != kinds:
            raise TypeError(f"{type(self).__name__} takes dense CPU parameters, all float32 or all float64")
        self._engine: _native.Minimizer | None = None
        self._closure: Callable[[], Any] | None = None
        self._error: BaseException | None = None
        self._first: Any = None
        self.result: dict[str, Any] = {}

    # ---- between the parameters and the library's vector ----

    def _gather(self) -> torch.Tensor:
        return torch.cat([p.detach().reshape(-1) for p in self._params]).double()

    def _scatter(self, values: torch.Tensor) -> None:
        at = 0
        for p in self._params:
            p.data.copy_(values[at : at + p.numel()].view_as(p))
            at += p.numel()

    def _evaluate(self, ctx: Any, value: Any, gradient: Any, x: Any) -> int:
        try:
            n = sum(p.numel() for p in self._params)
            single = self._params[0].dtype == torch.float32
            dtype, width = (torch.float32, ctypes.c_float) if single else (torch.float64, ctypes.c_double)

            def view(pointer: Any) -> torch.Tensor:
                return torch.frombuffer((width * n).from_address(ctypes.addressof(pointer.contents)), dtype=dtype)

            self._scatter(view(x))
            with torch.enable_grad():
                loss = self._closure()  # type: ignore[misc]
            self._first = loss if self._first is None else self._first
            value[0] = float(loss)
            if gradient:
                parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._params]
                view(gradient).copy_(torch.cat([g.detach().to_dense().reshape(-1) for g in parts]))
            return 0
        except BaseException as error:  # noqa: BLE001 -- it is raised again in step()
            self._error = error
            return 1

    # ---- torch.optim.Optimizer ----

    def _begin(self) -> _native.Minimizer:
        engine, x = _native.Minimizer(self.method), self._gather()
        for name, number in {"max_iter": _NEVER_MIND, "max_eval": _NEVER_MIND, **self._numbers}.items():
            engine.set(name, number)
        kind = _native.Function32 if self._params[0].dtype == torch.float32 else _native.Function
        engine.start(x.numel(), x.data_ptr(), kind(self._evaluate))
        saved = self.state[self._params[0]].get("minimizer")
        if saved is not None:
            torch.frombuffer(engine.state(), dtype=torch.uint8).copy_(saved)
        return engine

    @torch.no_grad()
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """closure: clears gradients, computes the loss, calls backward and returns it. Returns the first loss; `result`
        says how the iterations ended."""
        self._closure, self._first = closure, None
        if self._engine is None:
            self._engine = self._begin()
        engine, group = self._engine, self.param_groups[0]
        x = self._gather()
        engine.refresh(x.data_ptr())
        before, going, made = engine.minimum().evaluations, True, 0
        most = group["max_iter"] * 5 // 4 if group["max_eval"] is None else group["max_eval"]
        while going and made < group["max_iter"] and engine.minimum().evaluations - before < most:
            going = engine.iterate()
            made += 1
            if self._error is not None:
                break
        now = engine.minimum()
        self._scatter(torch.frombuffer((ctypes.c_double * x.numel()).from_address(ctypes.addressof(now.x.contents)),
                                       dtype=torch.float64))
        self.result = {"stop": now.stop.decode(), "message": now.text.decode(), "line_search": now.line.decode(),
                       "loss": now.value, "gradient_norm": now.gradient_norm, "iterations": now.iterations,
                       "evaluations": now.evaluations}
        self._closure = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return self._first

    def state_dict(self) -> dict[str, Any]:
        """torch's, with what the method has learnt as bytes."""
        if self._engine is not None:
            learnt = torch.frombuffer(self._engine.state(), dtype=torch.uint8).clone()
            self.state[self._params[0]]["minimizer"] = learnt
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of the same class, shapes and options: the search goes on to the same bits."""
        super().load_state_dict(state_dict)
        self._params = self.param_groups[0]["params"]
        self._engine = None


class LBFGS(ClosureOptimizer):
    """Limited-memory BFGS with torch.optim.LBFGS's keywords, whose path it walks.

    line_search_fn: None, "strong_wolfe" (PyTorch's), and besides "wolfe" (More and Thuente's, the better one) and
    "backtracking". tolerance_change must hold three times in a row, and for the loss relative to it.
    State: 2 history_size + 6 float64 a parameter.
    """

    method = "lbfgs"

    def __init__(self, params: Iterable[Any], lr: float = 1, max_iter: int = 20, max_eval: int | None = None,
                 tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
                 line_search_fn: str | None = None):
        if line_search_fn not in _SEARCHES:
            raise ValueError(f"line_search_fn must be one of {', '.join(map(repr, _SEARCHES))}, not {line_search_fn!r}")
        super().__init__(params, max_iter, max_eval, {
            "lr": lr, "history_size": history_size, "line_search": _SEARCHES[line_search_fn],
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change})


class CG(ClosureOptimizer):
    """Nonlinear conjugate gradients. State: 6 float64 a parameter."""

    method = "cg"

    def __init__(self, params: Iterable[Any], beta: str = "polak_ribiere", max_iter: int = 20,
                 max_eval: int | None = None, tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9):
        super().__init__(params, max_iter, max_eval, {
            "beta": beta, "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change})


class NewtonCG(ClosureOptimizer):
    """Newton's method by conjugate gradients, truncated at negative curvature; products with the Hessian are
    differences of two gradients. State: 11 float64 a parameter."""

    method = "newton_cg"

    def __init__(self, params: Iterable[Any], eta: float = 0.5, max_cg: int = 0, max_iter: int = 20,
                 max_eval: int | None = 100000, tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9):
        super().__init__(params, max_iter, max_eval, {
            "eta": eta, "max_cg": max_cg, "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change})
