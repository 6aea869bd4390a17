"""Minimizers of any function of an array: one call as SciPy's, or asked for points and told their values.

Needs NumPy.
"""

from __future__ import annotations

import ctypes
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy

from . import _native
from ._native import METHOD_COMMON, METHODS

__all__ = ["Minimizer", "OptimizeResult", "minimize"]

_DASHES = {"L-BFGS-B": "lbfgs", "CG": "cg", "Newton-CG": "newton_cg"}  # SciPy's names


class OptimizeResult(dict):
    """How a search ended, as a dict whose entries are attributes too: x, fun, success, status, message, stop, nit,
    nfev, nhev, gradient_norm, step, line_search, phase, nrestarts, nswitches."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self) -> str:
        width = max(map(len, self)) if self else 0
        return "\n".join(f"{name:>{width}}: {value}" for name, value in self.items())


def _method(name: str) -> _native.Method:
    name = _DASHES.get(name, name)
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, 1)
        raise ValueError(f"there is no minimizer '{name}'" + (f" (did you mean {near[0]}?)" if near else
                         f" (there are {', '.join(METHODS)})"))
    return METHODS[name]


def _bounds(bounds: Any, n: int) -> tuple[numpy.ndarray | None, numpy.ndarray | None]:
    """Lower and upper ones, of pairs (None: none there) or of an object with lb and ub."""
    if bounds is None:
        return None, None
    if hasattr(bounds, "lb"):
        pairs: Any = numpy.broadcast_arrays(bounds.lb, bounds.ub, numpy.empty(n))[:2]
    else:
        rows = list(bounds)
        if len(rows) != n:
            raise ValueError(f"bounds must be {n} pairs, not {len(rows)}")
        pairs = zip(*((-numpy.inf if a is None else a, numpy.inf if b is None else b) for a, b in rows))
    lower, upper = (numpy.array(side, dtype=numpy.float64) for side in pairs)
    return lower, upper


def _set(engine: _native.Minimizer, method: _native.Method, options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        option = method.options.get(name) or METHOD_COMMON.get(name)
        if option is None:
            near = difflib.get_close_matches(name, [*method.options, *METHOD_COMMON], 1)
            raise TypeError(f"{method.name} has no option '{name}'" + (f" (did you mean {near[0]}?)" if near else ""))
        engine.set(name, option.number(value))


def _view(pointer: Any, n: int) -> numpy.ndarray:
    return numpy.ctypeslib.as_array(pointer, (n,))


class _Callbacks:
    """Python functions as C's. What they raise is kept, and raised again once the library has come back."""

    def __init__(self, n: int, shape: tuple[int, ...]):
        self.n, self.shape = n, shape
        self.error: BaseException | None = None

    def _guarded(self, call: Callable[..., None]) -> Callable[..., int]:
        def run(ctx, *pointers) -> int:
            try:
                call(*pointers)
                return 0
            except BaseException as error:  # noqa: BLE001 -- KeyboardInterrupt too: it must not die inside C
                self.error = error
                return 1

        return run

    def function(self, value_and_gradient: Callable[[numpy.ndarray, bool], tuple[float, Any]]) -> Any:
        def call(value, gradient, x) -> None:
            wants = bool(gradient)
            f, g = value_and_gradient(_view(x, self.n).reshape(self.shape).copy(), wants)
            value[0] = float(f)
            if wants:
                _view(gradient, self.n)[:] = numpy.asarray(g, dtype=numpy.float64).reshape(self.n)

        return _native.Function(self._guarded(call))

    def product(self, function: Callable[..., Any] | None, args: tuple) -> Any:
        if function is None:
            return None

        def call(out, x, v) -> None:
            point, along = (_view(a, self.n).reshape(self.shape).copy() for a in (x, v))
            _view(out, self.n)[:] = numpy.asarray(function(point, along, *args), dtype=numpy.float64).reshape(self.n)

        return _native.Product(self._guarded(call))

    def check(self) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error


def _result(engine: _native.Minimizer, shape: tuple[int, ...]) -> OptimizeResult:
    now = engine.minimum()
    n = int(numpy.prod(shape, dtype=numpy.int64))
    return OptimizeResult(
        x=_view(now.x, n).reshape(shape).copy(),
        fun=now.value,
        success=bool(now.converged),
        status=now.reason,
        message=now.text.decode(),
        stop=now.stop.decode(),
        nit=now.iterations,
        nfev=now.evaluations,
        nhev=now.products,
        gradient_norm=now.gradient_norm,
        step=now.step,
        line_search=now.line.decode(),
        phase=now.phase.decode(),
        nrestarts=now.restarts,
        nswitches=now.switches,
    )


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    args: tuple = (),
    method: str = "lbfgs",
    jac: bool | Callable[..., Any] | None = None,
    hessp: Callable[..., Any] | None = None,
    fisherp: Callable[..., Any] | None = None,
    bounds: Any = None,
    tol: float | None = None,
    callback: Callable[[OptimizeResult], Any] | None = None,
    options: Mapping[str, Any] | None = None,
    workers: Callable[[Callable, Iterable], Iterable] | None = None,
) -> OptimizeResult:
    """Minimizes fun(x, *args) from x0, an array of any shape.

    method: a name of `tiger.minimizers()`. jac: True if fun returns (value, gradient), or a function that gives the
    gradient; without it methods that need one take central differences. hessp(x, v, *args) and fisherp(x, v, *args):
    products with the Hessian and the Fisher matrix. bounds: a pair for each entry, None for no bound. tol:
    tolerance_grad. callback: called with the result so far after each iteration; StopIteration or True ends the search.
    options: of the method, by their names. workers: a function like map that evaluates a generation
    (`multiprocessing.Pool().map`), for methods without gradients.
    """
    chosen = _method(method)
    start = numpy.ascontiguousarray(x0, dtype=numpy.float64)
    calls = _Callbacks(start.size, start.shape)

    def value_and_gradient(x: numpy.ndarray, wants: bool) -> tuple[float, Any]:
        if jac is True:
            return fun(x, *args)
        f = fun(x, *args)
        return f, jac(x, *args) if wants and callable(jac) else None

    engine = _native.Minimizer(chosen.name)
    _set(engine, chosen, {**({} if tol is None else {"tolerance_grad": tol}), **(options or {})})
    lower, upper = _bounds(bounds, start.size)
    engine.start(
        start.size,
        start.ctypes.data,
        calls.function(value_and_gradient),
        not jac,
        calls.product(hessp, args),
        calls.product(fisherp, args),
        None if lower is None else lower.ctypes.data,
        None if upper is None else upper.ctypes.data,
    )
    plain = not args and jac is not True  # fun itself, which unlike a closure can go to other processes
    going = True
    while going:
        if workers is not None and chosen.needs == "value":
            going = _generation(engine, fun if plain else lambda x: value_and_gradient(x, False)[0], workers, start)
        else:
            going = engine.iterate()
        calls.check()
        if callback is not None and _asks_to_stop(callback, _result(engine, start.shape)):
            break
    result = _result(engine, start.shape)
    if result.stop == "not yet":
        result.update(stop="caller", status=9, success=False, message="stopped by the callback")
    return result


def _asks_to_stop(callback: Callable[[OptimizeResult], Any], now: OptimizeResult) -> bool:
    try:
        return callback(now) is True
    except StopIteration:
        return True


def _generation(engine: _native.Minimizer, value: Callable, workers: Callable, start: numpy.ndarray) -> bool:
    address, count = engine.ask()
    if count == 0:
        return False
    memory = (ctypes.c_double * (count * start.size)).from_address(address)
    points = numpy.frombuffer(memoryview(memory)).reshape(count, *start.shape).copy()
    values = numpy.array([float(v) for v in workers(value, list(points))])
    engine.tell(values.ctypes.data, count)
    return engine.minimum().reason == 0


class Minimizer:
    """A search without gradients that is asked for points and told their values:

        search = tiger.Minimizer("cmaes", x0, seed=7)
        while not search.done:
            points = search.ask()
            search.tell([f(x) for x in points])
        print(search.result())

    options: those of the method and `tiger.minimizer_options()`. `state` is an array of bytes; copied into that
    of a new Minimizer of the same method, shape, bounds and options, the search goes on to the same bits.
    """

    def __init__(self, method: str, x0: Any, bounds: Any = None, **options: Any):
        chosen = _method(method)
        if chosen.needs != "value":
            raise ValueError(f"{chosen.name} needs gradients and cannot be asked for points: use tiger.minimize")
        start = numpy.ascontiguousarray(x0, dtype=numpy.float64)
        lower, upper = _bounds(bounds, start.size)
        self.method = chosen
        self._shape, self._n = start.shape, start.size
        self._engine = _native.Minimizer(chosen.name)
        _set(self._engine, chosen, options)
        self._engine.start(
            start.size,
            start.ctypes.data,
            None,
            lower=None if lower is None else lower.ctypes.data,
            upper=None if upper is None else upper.ctypes.data,
        )

    def ask(self) -> numpy.ndarray:
        """The points whose values are wanted, a row each; no rows once the search is over."""
        address, count = self._engine.ask()
        if count == 0:
            return numpy.empty((0, *self._shape))
        memory = (ctypes.c_double * (count * self._n)).from_address(address)
        return numpy.frombuffer(memoryview(memory)).reshape(count, *self._shape).copy()

    def tell(self, values: Sequence[float] | numpy.ndarray) -> None:
        """Their values, in that order."""
        told = numpy.ascontiguousarray(values, dtype=numpy.float64).reshape(-1)
        self._engine.tell(told.ctypes.data, told.size)

    @property
    def done(self) -> bool:
        """Whether the search is over."""
        return self._engine.minimum().reason != 0

    @property
    def state(self) -> numpy.ndarray:
        """All that changes, as bytes over the library's memory."""
        return numpy.frombuffer(memoryview(self._engine.state()), numpy.uint8)

    def result(self) -> OptimizeResult:
        """The best so far."""
        return _result(self._engine, self._shape)
