"""What all of tiger.torch's optimizers share: a torch.optim.Optimizer whose step is one call of the C library.

A parameter's memory is stepped where it lies. The library's states are seen through `state[p]` as tensors over its own
memory. The C optimizer is made at the first update, and made anew, states carried over, when something changes that it
cannot take while running: parameters added or moved, a switch flipped, states loaded.
"""

from __future__ import annotations

import difflib
import functools
import os
import threading
import warnings
import weakref
from array import array
from collections.abc import Callable, Iterable, Mapping
from operator import is_
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

import torch
from torch.optim import optimizer as _torch

from .. import _native
from .._native import COMMON, RULES
from ._tensors import (
    FORMATS,
    Place,
    check,
    copy_of_gradient,
    dense_order,
    in_place_order,
    shape_for_c,
    state_view,
    true_states,
    write_state,
)
from ._layers import Layer
from ._run import VERSION, Grads, Run, Sent
from .roles import Roles, propose

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT
else:
    ParamsT = Iterable


class Common(TypedDict, total=False):
    """Keywords every optimizer takes. `tiger.common_options()` has the ranges and the defaults."""

    decay: str  # "auto" | "coupled" | "decoupled"
    rounding: str  # "stochastic" | "nearest" | "kahan" | "weyl": of 16-bit weights and states
    state_format: str  # "auto" | "fp32" | "bf16" | "fp16"
    gradients: str  # "auto": in .grad; "folded" | "buffered" | "released": taken from .grad in backward
    gradient_format: str  # of buffered gradients
    clip_norm: float
    clip_value: float
    clip_adaptive: float
    nan_guard: str  # "auto" | "shrink" | "skip" | "error" | "off"
    shrink: float
    shrink_noise: float
    nan_budget: int
    seed: int
    threads: int  # 0: as many as torch.set_num_threads allows
    state_file: (
        str | os.PathLike[str]
    )  # states in a mapped file of that name, larger than memory; it goes with the process
    accumulate: int  # backward passes in one update, with folded or buffered gradients
    roles: Roles | Mapping[str, str]


# Keywords of torch.optim that say how PyTorch should go about its work: there is one way here.
HINTS = {"foreach": None, "fused": None, "capturable": False, "differentiable": False}
# Options of the whole C optimizer that a parameter group may have of its own: each kind is a C optimizer.
SHARED = ("maximize", "decay")


# state[p] has it where offload() keeps copies in another format than the parameters'.
MASTER = "master"


def _is_frozen(p: torch.Tensor) -> bool:
    return not p.requires_grad and p.grad is None


class _Held:
    """A tensor on its way through torch's load_state_dict, which would cast it to its parameter's format."""

    def __init__(self, value: torch.Tensor):
        self.value = value


class Optimizer(torch.optim.Optimizer):
    """Base of the optimizers. A subclass names its `rule`, says which options torch.optim has as tuples, and has an
    __init__ whose keywords are the rule's options."""

    rule: ClassVar[str]
    tuples: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # "betas": ("beta1", "beta2")
    _layers: Mapping[int, Layer] = {}  # by id of the matrix: those whose rows come

    _step_supports_amp_scaling = True  # GradScaler then brings grad_scale and found_inf

    def __init__(self, params: ParamsT, options: Mapping[str, Any], common: Mapping[str, Any]):
        """`options`: the subclass's keywords, as its locals() have them; `common`: see Common."""
        options = {k: v for k, v in options.items() if k not in ("self", "params", "common", "__class__")}
        given: dict[str, Any] = dict(common)
        if self.rule not in RULES:
            _native.Optimizer(self.rule)  # fails, and says what this build lacks
        self._rule = RULES[self.rule]
        self._roles_given = given.pop("roles", None)
        self._state_file: str | None = given.pop("state_file", None)
        if self._state_file is not None:
            self._state_file = os.fspath(self._state_file)
        self._accumulate = int(given.pop("accumulate", 1))
        self._offload = bool(given.pop("_offload", False))  # these two come from offload()
        self._weights: torch.dtype | None = given.pop("_weights", None)
        for name in given:
            self._known(name)
        for name in SHARED:
            options.setdefault(name, given.pop(name, COMMON[name].value))
        self._common = {name: given.get(name, option.value) for name, option in COMMON.items() if name not in SHARED}
        self._common_numbers = {name: COMMON[name].number(value) for name, value in self._common.items()}
        self._start_empty()
        self._roles: dict[int, str] = {}
        self._names: dict[int, str] = {}
        self._updates = 0
        if self._accumulate < 1:
            raise ValueError(f"accumulate must be at least 1, not {self._accumulate}")
        if self._accumulate > 1 and self._common["gradients"] not in ("folded", "buffered"):
            raise ValueError(
                "accumulate needs gradients='folded' or 'buffered': .grad already sums what is not stepped"
            )
        super().__init__(params, options)
        if self._roles_given is not None and not isinstance(self._roles_given, Roles):
            unknown = set(self._roles_given) - set(self._names.values())
            if unknown:
                raise ValueError(
                    f"roles for parameters that are not there: {', '.join(sorted(unknown))} (names come with "
                    "model.named_parameters())"
                )

    def _start_empty(self) -> None:
        self._runs: list[Run] | None = None
        self._seen_state: object = None
        self._seen_count = 0
        self._seen_params: list[list[torch.Tensor]] = []
        self._window = False
        self._taken = False  # gradients of a pass that step() has not ended
        self._micro_step = 0
        self._lock = threading.RLock()
        self._hooks: list[Any] = []
        self._where: dict[int, tuple[Run, int]] = {}

    # ---- options ---------------------------------------------------------------------------------------------------

    def _known(self, name: str) -> None:
        mine = [*self.defaults_of_rule(), *COMMON, "roles", "accumulate", "state_file", *HINTS]
        if name in mine:
            return
        near = difflib.get_close_matches(name, mine, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise TypeError(f"{type(self).__name__} has no option '{name}'{hint}")

    @classmethod
    def defaults_of_rule(cls) -> dict[str, Any]:
        """The C table's defaults under the keywords of this class."""
        values: dict[str, Any] = {name: option.value for name, option in RULES[cls.rule].options.items()}
        for keyword, names in cls.tuples.items():
            values[keyword] = tuple(values.pop(name) for name in names)
        return values

    @classmethod
    def preset(cls, name: str, **options: Any) -> dict[str, Any]:
        """Keywords that its source published together, under and beside `options`, which win:
        `Tiger(params, **Tiger.preset("reference", lr=2e-3))`. `tiger.rules()` lists them."""
        values: dict[str, Any] = dict(RULES[cls.rule].preset(name))
        for keyword, names in cls.tuples.items():
            if any(part in values for part in names):
                defaults = cls.defaults_of_rule()[keyword]
                values[keyword] = tuple(values.pop(part, default) for part, default in zip(names, defaults))
        return {**values, **options}

    def _numbers(self, group: Mapping[str, Any]) -> dict[str, float]:
        """A group's options as the C library has them, each checked."""
        numbers = {}
        for name, option in self._rule.options.items():
            numbers[name] = option.number(self._value(group, name))
        for name in SHARED:
            numbers[name] = COMMON[name].number(group[name])
        if group.get("decoupled_weight_decay"):  # PyTorch's switch for the same
            numbers["decay"] = COMMON["decay"].number("decoupled")
        return numbers

    def _value(self, group: Mapping[str, Any], name: str) -> Any:
        for keyword, names in self.tuples.items():
            if name in names:
                values = group[keyword]
                if not isinstance(values, (tuple, list)) or len(values) != len(names):
                    raise ValueError(f"{keyword} must be {len(names)} numbers ({', '.join(names)}), not {values!r}")
                return values[names.index(name)]
        return group[name]

    def _snapshot(self, group: Mapping[str, Any]) -> tuple:
        """What the group's options are now, cheap to compare. Tensors (a learning rate may be one) count by value."""
        values = []
        for keyword in self._keywords:
            value = group.get(keyword)
            if type(value) is tuple or type(value) is list:
                value = tuple(float(v) if isinstance(v, torch.Tensor) else v for v in value)
            elif isinstance(value, torch.Tensor):
                value = float(value)
            values.append(value)
        return tuple(values)

    @property
    def _keywords(self) -> tuple[str, ...]:
        cached = self.__dict__.get("_keywords_cached")
        if cached is None:
            cached = self._keywords_cached = (*self.defaults_of_rule(), *SHARED, "decoupled_weight_decay")
        return cached

    def _check_group(self, group: Mapping[str, Any]) -> None:
        for hint in ("capturable", "differentiable"):
            if group.get(hint):
                raise ValueError(
                    f"{hint}=True: the update runs in a C library, which CUDA graphs and autograd cannot follow"
                )
        trial = _native.Optimizer(self.rule)
        self._configure(trial, 0, self._numbers(group))
        trial.check()

    def _configure(self, engine: _native.Optimizer, group: int, numbers: Mapping[str, float]) -> None:
        for name, number in numbers.items():
            if name in SHARED:
                engine.set(-1, name, number)
            else:
                engine.set(group, name, number)
        for name, number in self._common_numbers.items():
            engine.set(-1, name, number)

    # ---- parameters ------------------------------------------------------------------------------------------------

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group, at any time between updates. Besides the options it may have "role": what its tensors are to
        the model (matrix, embedding, bias or gain), for rules that treat them differently."""
        if self._window:
            raise RuntimeError("gradients of an update are being gathered: add parameters after step()")
        for name in param_group:
            if name in COMMON and name not in SHARED:
                raise ValueError(f"{name} belongs to the whole optimizer, not to a group")
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            self._check_group(group)
            for at, p in enumerate(group["params"]):
                self._admit(group, at, p)
        except BaseException:
            self.param_groups.pop()
            raise
        self._runs = None

    def _admit(self, group: Mapping[str, Any], at: int, p: torch.Tensor) -> None:
        named = group.get("param_names")
        name = named[at] if named else f"param_groups[{len(self.param_groups) - 1}].params[{at}]"
        check(p, name, self._offload)
        role = group.get("role")
        given = self._roles_given
        if isinstance(given, Roles):
            name = given.name_of(p) or name
            role = role or given.role_of(p)
        elif given is not None:
            role = role or given.get(name)
        if role is None:
            role = propose(p)
        if role not in _native.ROLES:
            raise ValueError(f"{name}: a role is one of {', '.join(_native.ROLES)}, not {role!r}")
        self._names[id(p)], self._roles[id(p)] = name, role
        if self._common["gradients"] != "auto":
            self._hook(p)

    def role_of(self, p: torch.Tensor) -> str:
        """The role `p` is updated in."""
        return self._roles[id(p)]

    # ---- making the C optimizers -----------------------------------------------------------------------------------

    def _build(self) -> None:
        """Makes the C optimizers for the parameters and options as they are, and moves the states into them."""
        runs: dict[tuple, Run] = {}
        for group in self.param_groups:
            for at, p in enumerate(group["params"]):
                if id(p) not in self._roles:  # put into the list by hand
                    self._admit(group, at, p)
        names = self._unique_names()
        for number, group in enumerate(self.param_groups):
            self._check_group(group)
            numbers = self._numbers(group)
            key = tuple(numbers[name] for name in SHARED)
            run = runs.get(key)
            if run is None:
                run = runs[key] = Run(_native.Optimizer(self.rule, self._state_file), key)
                at = 0
            else:
                at = run.engine.add_group()
            self._configure(run.engine, at, numbers)
            run.groups.append(number)
            run.sent.append(Sent(group, self._keywords, self._snapshot(group), numbers))
            for p in group["params"]:
                self._add(run, at, p, names)
        if len(runs) > 1 and self._common_numbers["clip_norm"] > 0:
            raise ValueError(
                "clip_norm is over all gradients, which groups that differ in maximize or decay do not share"
            )
        for run in runs.values():
            run.engine.start()
        for run in runs.values():
            self._move_states(run)
            run.engine.updates = self._updates
            run.engine.refresh()
        self._runs = list(runs.values())
        self._seen_params = [list(group["params"]) for group in self.param_groups]
        self._where = {id(p): (run, i) for run in self._runs for i, p in enumerate(run.params)}
        self._seen_state, self._seen_count = self.state, len(self.state)
        self._note_versions()

    def _unique_names(self) -> dict[int, str]:
        names, taken = {}, set()
        for group in self.param_groups:
            for p in group["params"]:
                name = base = self._names[id(p)]
                again = 1
                while name in taken:
                    again += 1
                    name = f"{base}#{again}"
                taken.add(name)
                names[id(p)] = name
        return names

    @property
    def _rows_matter(self) -> bool:
        """Whether memory must be in the order of the shape, because a step or a state belongs to rows, columns or
        runs of values."""
        return self._rule.matrices or any(slot.shape in ("row", "column") or slot.coded for slot in self._rule.slots)

    def _bias_in(self, run: Run, bias: torch.Tensor, names: Mapping[int, str]) -> str | None:
        """A layer's bias by name, if it is in the same C optimizer."""
        for group in self.param_groups:
            if tuple(self._numbers(group)[name] for name in SHARED) == run.shared and any(
                p is bias for p in group["params"]
            ):
                return names[id(bias)]
        return None

    def _master(self, p: torch.Tensor) -> torch.Tensor:
        """A copy to step in the parameter's stead: the one there was, where it has digits that the parameter has not."""
        dtype = self._weights or p.dtype
        before = self.state.get(p, {}).get(MASTER)
        if dtype != p.dtype and isinstance(before, torch.Tensor) and before.shape == p.shape:
            return before.detach().to("cpu", dtype).contiguous()
        return p.detach().to("cpu", dtype, copy=True).contiguous()

    def _add(self, run: Run, group: int, p: torch.Tensor, names: Mapping[int, str]) -> None:
        name = names[id(p)]
        check(p, name, self._offload)
        role = self._roles[id(p)]
        order = None if self._offload else dense_order(p)
        in_order = order is not None and order == tuple(range(p.dim()))
        master = None
        if order is None or (not in_order and (self._rows_matter or role == "embedding")):
            master = self._master(p)
            order = tuple(range(p.dim()))
        memory = (master if master is not None else p.detach()).permute(order)
        place = Place(p, memory, order, master, _is_frozen(p))
        place.read()
        rows, cols = shape_for_c(memory)
        layer = self._layers.get(id(p))
        bias = None if layer is None or layer.bias is None else self._bias_in(run, layer.bias, names)
        fan_in = 0 if p.dim() < 2 or p.numel() == 0 else p.numel() // p.shape[0]
        run.engine.add(
            name,
            memory.data_ptr(),
            FORMATS[memory.dtype],
            rows,
            cols,
            _native.ROLES.index(role),
            group,
            fan_in,
            place.frozen,
            0 if layer is None else layer.form,
            bias,
        )
        run.append(place, name)

    def _move_states(self, run: Run) -> None:
        """state[p] becomes views of the C states; what was there before is copied into them."""
        slots = {slot.name: slot.shape for slot in self._rule.slots}
        slots |= {f"{name}{beside}": "row" for name in slots for beside in ("_range", "_scale")}
        slots |= {"compensation": "full", "row_updates": "row", "step": "scalar", MASTER: "full"}
        views: dict[str, dict[str, torch.Tensor]] = {name: {} for name in run.names}
        by_name = dict(zip(run.names, run.places))
        counts = None
        for raw in run.engine.states():
            if raw.param:
                views[raw.param][raw.slot] = state_view(raw, slots[raw.slot], by_name[raw.param])
            elif raw.slot == "tensor_updates":
                counts = raw.memory
        for at, place in enumerate(run.places):
            mine = views[run.names[at]]
            mine["step"] = torch.frombuffer(counts, dtype=torch.int64, count=1, offset=8 * at).reshape(())
            before = self.state.get(place.param, {})
            if place.frozen:  # it has no states in C; what it had is kept for when it thaws
                if before:
                    self.state[place.param] = {
                        k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in before.items()
                    }
                continue
            if before:
                self._carry_over(place, mine, before)
            if place.master is not None and place.master.dtype != place.param.dtype:
                mine[MASTER] = place.master
            self.state[place.param] = {**{k: v for k, v in before.items() if k not in slots}, **mine}

    def _carry_over(self, place: Place, views: dict[str, torch.Tensor], before: Mapping[str, Any]) -> None:
        before = self._from_torch(place.param, true_states(before))
        held = {key: value for key, value in before.items() if key in views and isinstance(value, torch.Tensor)}
        step = before.get("step")
        if step is None:  # rules that PyTorch does not count: a state is there, so there was an update
            step = 1 if held else 0
        for key, value in held.items():
            if key == "step" or key.endswith("_range"):
                continue
            if value.numel() != views[key].numel():
                self._wrong_shape(place.param, key, value, tuple(views[key].shape))
            write_state(views, key, value.detach().reshape(views[key].shape), held.get(f"{key}_range"))
        views["step"].fill_(int(step))
        if "row_updates" in views:
            views["row_updates"].clamp_(max=int(step))

    def _from_torch(self, p: torch.Tensor, state: dict[str, Any]) -> dict[str, Any]:
        """A parameter's entry of a state_dict, as PyTorch's optimizer writes it, in the C library's terms."""
        return state

    def _to_torch(self, p: torch.Tensor, state: dict[str, Any]) -> dict[str, Any]:
        """And back."""
        return state

    # ---- keeping up with the user ----------------------------------------------------------------------------------

    def _ready(self) -> list[Run]:
        """The C optimizers, up to date with param_groups, state and the parameters' memory."""
        runs = self._runs
        if runs is None or self._outdated(runs) or not all([self._send(run) for run in runs]):
            self._build()
            runs = self._runs
        elif any([list(map(VERSION, run.params)) != run.versions for run in runs]):
            self._reread()
        if not self._offload:  # views with gaps: their copies are only for the update
            for run in runs:  # type: ignore[union-attr]
                for place in run.staged:
                    place.read()
        return runs  # type: ignore[return-value]

    def _outdated(self, runs: list[Run]) -> bool:
        """Whether states, parameters or their memory are others than those the C optimizers were made for."""
        if self.state is not self._seen_state or len(self.state) != self._seen_count:
            return True
        if len(self.param_groups) != len(self._seen_params):
            return True
        for group, seen in zip(self.param_groups, self._seen_params):
            params = group["params"]
            if len(params) != len(seen) or not all(map(is_, params, seen)):
                return True
        for run in runs:
            if run.moved() or (run.frozen and not all([_is_frozen(place.param) for place in run.frozen])):
                return True
        return False

    def _send(self, run: Run) -> bool:
        """Hands changed options over; False when the C optimizer has to be made anew for them."""
        for at, number in enumerate(run.groups):
            group = self.param_groups[number]
            if run.sent[at].unchanged(group):
                continue
            sent, now = run.sent[at], self._snapshot(group)
            for name, number_now in self._changed(group, now, sent).items():
                if name in SHARED:
                    return False
                try:
                    run.engine.set(at, name, number_now)
                except RuntimeError:  # fixed once the C optimizer has started
                    return False
                sent.numbers[name] = number_now
            sent.note(group, now)
        return True

    def _changed(self, group: Mapping[str, Any], now: tuple, sent: Sent) -> dict[str, float]:
        """The options whose numbers are others than those sent. A schedule changes one of many, at every update."""
        options, names = self._rule.options, list[str]()
        for keyword, value, before in zip(self._keywords, now, sent.values):
            if value == before:
                continue
            parts = self.tuples.get(keyword, (keyword,))
            if not all([part in options for part in parts]):  # several meet in a number, or it has another name
                return {name: n for name, n in self._numbers(group).items() if n != sent.numbers[name]}
            names += parts
        numbers = {name: options[name].number(self._value(group, name)) for name in names}
        return {name: n for name, n in numbers.items() if n != sent.numbers[name]}

    def _note_versions(self) -> None:
        for run in self._runs or []:
            run.versions = list(map(VERSION, run.params))
            for place in run.staged:
                place.version = place.param._version

    def _reread(self) -> None:
        """Somebody has changed weights: copies of them are made anew, and what is remembered of them."""
        with torch.no_grad():
            for run in self._runs or []:
                for place in run.staged:
                    if place.version != place.param._version:
                        place.read()
                run.engine.refresh()
        self._note_versions()

    def refresh(self) -> None:
        """For after weights were changed through `.data`, which PyTorch does not count as a change."""
        if self._runs is not None:
            for run in self._runs:
                for place in run.staged:
                    place.version = -1
            self._reread()

    def _after_update(self, changed: list[torch.Tensor]) -> None:
        for run in self._runs or []:
            for place in run.staged:
                place.write()
        torch.autograd.graph.increment_version(changed)
        self._note_versions()

    def _warn(self) -> None:
        for run in self._runs or []:
            if not run.engine.events:
                continue
            events, run.engine.events[:] = list(run.engine.events), []
            for kind, param, value in events:
                if kind == _native.BAD_GRADIENT:
                    warnings.warn(
                        f"the gradient of {param} holds NaN or Inf: the tensor is guarded (option nan_guard)",
                        RuntimeWarning,
                        stacklevel=4,
                    )
                elif kind == _native.STALE_ROOT:
                    warnings.warn(
                        f"a factor of {param} has no root: the last good one stays ({value:.0f} times so far)",
                        RuntimeWarning,
                        stacklevel=4,
                    )
                elif kind == _native.FROZEN_SHARE and value > 0.01:
                    warnings.warn(
                        f"rounding=nearest lost {100 * value:.0f} % of the first update's moves: use "
                        "rounding=stochastic, weyl or kahan",
                        RuntimeWarning,
                        stacklevel=4,
                    )

    # ---- updating --------------------------------------------------------------------------------------------------

    @staticmethod
    def profile_hook_step(func: Callable[..., Any]) -> Callable[..., Any]:
        """What PyTorch wraps step() in: a label for profilers, and hooks. For a small model the label alone costs more
        than the update, so it is left out when nobody is looking."""
        watched = torch.optim.Optimizer.profile_hook_step(func)

        @functools.wraps(func)
        def step(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
            if (
                self._optimizer_step_pre_hooks
                or self._optimizer_step_post_hooks
                or _torch._global_optimizer_pre_hooks
                or _torch._global_optimizer_post_hooks
                or torch.autograd._profiler_enabled()
            ):
                return watched(self, *args, **kwargs)
            return func(self, *args, **kwargs)

        return step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; with gradients="folded", "buffered" or "released", the
        end of a backward pass. `closure` computes the loss and its gradients first; its value is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._common["gradients"] == "auto":
            self._update()
        else:
            self._end_pass()
        return loss

    def _update(self) -> None:
        found_inf, scale = getattr(self, "found_inf", None), getattr(self, "grad_scale", None)
        if found_inf is not None and float(found_inf) != 0:
            return
        factor = 1.0 if scale is None else float(scale)
        if self._runs is None and not self._has_gradients():
            return
        runs, work = self._gather()
        try:
            for run, grads in zip(runs, work):
                if grads.sparse:
                    self._tiles(run, factor)
                else:
                    run.engine.step(grads.addresses, grads.formats, factor)
        finally:
            if work:
                self._updates = max([run.engine.updates for run in runs])
                self._after_update([p for grads in work for p in grads.params])
                self._warn()

    def _has_gradients(self) -> bool:
        return any(p.grad is not None for group in self.param_groups for p in group["params"])

    def _gather(self) -> tuple[list[Run], list[Grads]]:
        """The C optimizers, up to date, and the gradients for each; nothing of the latter where there are none."""
        runs = self._ready()
        quick = [run.gradients() for run in runs]
        if all(quick):
            return runs, quick  # type: ignore[return-value]
        if not self._has_gradients():
            return runs, []
        if any([run.reshaped() for run in runs]):
            self._build()
            runs = self._runs or []
        return runs, [self._gather_each(run) for run in runs]

    def _gather_each(self, run: Run) -> Grads:
        """The gradients of one C optimizer, those copied that it cannot read as they are."""
        addresses = array("Q")
        params: list[torch.Tensor] = []
        held: list[torch.Tensor] = []
        append, take, hold = addresses.append, params.append, held.append
        formats, sparse, strided = run.formats, False, torch.strided
        tiles = run.engine.place != "arrays"
        for p, shape, stride, dtype in zip(run.params, run.shapes, run.strides, run.dtypes):
            g = p.grad
            if g is None:
                append(0)
                continue
            take(p)
            if g.shape != shape:
                raise ValueError(
                    f"{self._names[id(p)]}: the gradient's shape is {tuple(g.shape)}, the parameter's {tuple(shape)}"
                )
            if g.layout is not strided:
                self._check_sparse(p, g)
                if tiles:
                    sparse = True
                    append(0)
                    continue
                g = g.to_dense()  # a row of zeros counts as a row without a gradient
            if g.dtype is not dtype or g.stride() != stride or g.is_neg():
                at = len(addresses)
                g = copy_of_gradient(g, run.places[at])
                if FORMATS[g.dtype] != formats[at]:
                    formats = formats[:]
                    formats[at] = FORMATS[g.dtype]
            hold(g)
            append(g.data_ptr())
        return Grads(addresses, formats, params, held, sparse)

    def takes_sparse(self, group: Mapping[str, Any], role: str) -> bool:
        """Whether a row without a gradient is left as it is, so that a sparse gradient says all there is to say."""
        return False

    def _check_sparse(self, p: torch.Tensor, g: torch.Tensor) -> None:
        name, role = self._names[id(p)], self._roles[id(p)]
        group = next(group for group in self.param_groups if any(q is p for q in group["params"]))
        if g.layout is not torch.sparse_coo or g.sparse_dim() != 1:
            raise TypeError(
                f"{name}: the gradient's layout is {g.layout}: only strided and, by rows, sparse_coo are known"
            )
        if not self.takes_sparse(group, role):
            raise RuntimeError(
                f"{name}: {type(self).__name__} with these options moves every row of a {role}, so it needs "
                "the gradient dense (sparse=False in the embedding)"
            )

    def _tiles(self, run: Run, factor: float) -> None:
        """An update in which some gradients are sparse: all go in as tiles."""
        run.engine.begin(1)
        run.engine.set_gradient_scale(factor)
        for at, p in enumerate(run.params):
            if p.grad is not None:
                self._feed(run, at, p.grad)
        run.engine.micro_end()
        try:
            run.engine.end()
        finally:  # the update was made, also where the guard then ends the training
            run.engine.set_gradient_scale(1.0)

    def _feed(self, run: Run, at: int, g: torch.Tensor) -> None:
        """Hands a gradient over in panels of rows, fp32, of a few MiB each."""
        place = run.places[at]
        if place.param.numel() == 0:
            return
        rows, cols = shape_for_c(place.memory)
        if g.layout is not torch.strided:
            g = g.coalesce()
            index = g.indices()[0].to("cpu", torch.int32).contiguous()
            values = g.values().to("cpu", torch.float32).resolve_neg().reshape(len(index), -1).contiguous()
            if len(index):
                run.engine.accumulate_rows(at, index.data_ptr(), len(index), values.data_ptr())
            return
        g = copy_of_gradient(g, place).reshape(rows, cols)
        panel = rows if g.dtype is torch.float32 else max(1, (1 << 20) // cols)
        for row in range(0, rows, panel):
            tile = g[row : row + panel].to(torch.float32)
            run.engine.accumulate(at, row, tile.shape[0], tile.data_ptr())

    def values(self, p: torch.Tensor, name: str) -> torch.Tensor:
        """The true values of a state of `p`, as a float32 tensor of their own: 8-bit codes decoded, fp16 states
        without their power of two. state[p][name] has them as they are stored."""
        run, at = self._where[id(p)]
        place, shapes = run.places[at], {slot.name: slot.shape for slot in self._rule.slots}
        stored = self.state[p][name]
        if name not in shapes:
            return stored.to(torch.float32)
        flat = torch.empty(stored.numel(), dtype=torch.float32)
        index = next(i for i, raw in enumerate(run.engine.states()) if raw.slot == name and raw.param == run.names[at])
        run.engine.state_values(index, flat.data_ptr())
        return in_place_order(flat, place) if shapes[name] == "full" else flat.reshape(stored.shape)

    # ---- gradients taken in backward -------------------------------------------------------------------------------

    def _hook(self, p: torch.Tensor) -> None:
        me = weakref.ref(self)

        def take(param: torch.Tensor) -> None:
            optimizer = me()
            if optimizer is not None:
                optimizer._take(param)

        frozen = not p.requires_grad
        if frozen:  # it may thaw, but takes hooks only when it is
            p.requires_grad_(True)
        self._hooks.append(p.register_post_accumulate_grad_hook(take))
        p.requires_grad_(not frozen)

    def remove_hooks(self) -> None:
        """Lets gradients stay in .grad again; for an optimizer that is no longer needed."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def _take(self, p: torch.Tensor) -> None:
        """A gradient is complete: it goes into the C library, and its memory is free."""
        g, p.grad = p.grad, None
        if g is None:
            return
        with self._lock, torch.no_grad():
            if not self._window:
                for run in self._ready():
                    run.engine.begin(self._accumulate)
                self._window, self._micro_step = True, 0
            if id(p) not in self._where or self._where[id(p)][0].places[self._where[id(p)][1]].frozen:
                raise RuntimeError(f"{self._names.get(id(p), 'a tensor')} joined while an update was under way")
            run, at = self._where[id(p)]
            self._taken = True
            if g.layout is not torch.strided:
                self._check_sparse(p, g)
            self._feed(run, at, g)
            if run.engine.place == "released":
                run.engine.complete(at)
                place = run.places[at]
                if place.master is not None:
                    place.write()
                torch.autograd.graph.increment_version([p])

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As in torch.optim. Gradients that backward has taken since the last step() are given up, too: buffered ones are
        dropped; what is in the momentum (folded) or in the weights (released) stays, and a warning says so."""
        super().zero_grad(set_to_none)
        if self._taken:
            self._give_up()

    def _give_up(self) -> None:
        with self._lock:
            self._taken = False
            runs = self._runs or []
            place = runs[0].engine.place
            if self._micro_step == 0:
                for run in runs:
                    run.engine.abandon()
                self._window = False
                self._updates = max([run.engine.updates for run in runs])
                self._note_versions()
            if place != "buffered" or self._micro_step > 0:
                where = {"folded": "the momentum", "released": "the weights"}.get(place, "this update's sum")
                warnings.warn(
                    f"zero_grad() after a backward pass without step(): its gradients are in {where} and stay there. Where "
                    "a tensor should get none of another loss, use requires_grad_(False) during that loss's backward",
                    RuntimeWarning,
                    stacklevel=3,
                )

    def _end_pass(self) -> None:
        if getattr(self, "grad_scale", None) is not None:
            raise RuntimeError(
                "a GradScaler cannot unscale gradients that were taken in backward: use gradients='auto'"
            )
        if not self._window:
            return
        runs = self._runs or []
        with self._lock:
            self._taken = False
            self._micro_step += 1
            last = self._micro_step == self._accumulate
            try:
                for run in runs:
                    run.engine.micro_end()
                if last:
                    for run in runs:
                        run.engine.end()
            finally:
                if last:
                    self._window = False
                    self._updates = max(run.engine.updates for run in runs)
                    self._after_update(
                        [p for run in runs for p, place in zip(run.params, run.places) if not place.frozen]
                    )
                self._warn()

    # ---- checkpoints -----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """As PyTorch's: param_groups, and the states of every parameter that was updated, under PyTorch's names and,
        where the rule is PyTorch's, with PyTorch's meaning. "tiger" holds what an exact continuation needs besides."""
        if self._window:
            raise RuntimeError(
                "gradients of an update are being gathered: save after the step() that ends it, or after zero_grad(), "
                "which gives up a pass that failed"
            )
        handle = self.register_state_dict_post_hook(lambda _, found: self._export(found), prepend=True)
        try:
            return super().state_dict()
        finally:
            handle.remove()

    def _export(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        params = [p for group in self.param_groups for p in group["params"]]
        states = {}
        for key, state in state_dict["state"].items():
            step = state.get("step")
            if step is not None and int(step) == 0:
                continue
            state = true_states(state)
            if isinstance(step, torch.Tensor):
                state["step"] = step.to(torch.float32)
            states[key] = self._to_torch(params[key], state) if isinstance(key, int) else state
        return {**state_dict, "state": states, "tiger": {"rule": self.rule, "updates": self._updates}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes a state_dict of this class, or of torch.optim's of the same name."""
        if self._window:
            raise RuntimeError("gradients of an update are being gathered: load after the step() that ends it")
        own: dict[str, Any] = {}

        def hold(optimizer: torch.optim.Optimizer, given: dict[str, Any]) -> dict[str, Any]:
            own.update(given.get("tiger", {}))
            if own.get("rule", self.rule) != self.rule:
                raise ValueError(f"these are states of {own['rule']}, not of {self.rule}")
            self._check_shapes(given)
            held = {
                key: {name: _Held(value) if isinstance(value, torch.Tensor) else value for name, value in state.items()}
                if isinstance(state, dict)
                else state
                for key, state in given["state"].items()
            }
            return {**given, "state": held}

        handle = self.register_load_state_dict_pre_hook(hold)
        try:
            super().load_state_dict(state_dict)
        finally:
            handle.remove()
        steps = [int(state["step"]) for state in self.state.values() if state.get("step") is not None]
        self._updates = int(own.get("updates", max(steps, default=0)))

    def _check_shapes(self, given: dict[str, Any]) -> None:
        """Refuses states of other shapes before anything is changed. A wrong number of groups or tensors is PyTorch's to
        tell."""
        full = {slot.name for slot in self._rule.slots if slot.shape == "full"}
        numbers = [number for group in given["param_groups"] for number in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for number, p in zip(numbers, params):
            for key, value in given["state"].get(number, {}).items():
                if key in full and isinstance(value, torch.Tensor) and value.numel() != p.numel():
                    self._wrong_shape(p, key, value, tuple(p.shape))

    def _wrong_shape(self, p: torch.Tensor, key: str, value: torch.Tensor, shape: tuple[int, ...]) -> None:
        raise ValueError(f"{self._names[id(p)]}: state {key} has shape {tuple(value.shape)}, not {shape}")

    def __getstate__(self) -> dict[str, Any]:
        if self._window:
            raise RuntimeError("gradients of an update are being gathered: copy the optimizer after step()")
        params = [p for group in self.param_groups for p in group["params"]]
        kept = {
            name: self.__dict__[name]
            for name in ("_common", "_accumulate", "_state_file", "_offload", "_weights", "_updates")
        }
        kept["_each"] = [(self._names[id(p)], self._roles[id(p)]) for p in params]
        return {**super().__getstate__(), "tiger": kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        kept = state.pop("tiger", None)
        if kept is not None:  # a copy of a whole optimizer
            each = kept.pop("_each")
            self.__dict__.update(kept)
            self._rule = RULES[self.rule]
            self._roles_given = None
            self._common_numbers = {name: COMMON[name].number(value) for name, value in self._common.items()}
            self._start_empty()
        super().__setstate__(state)
        for param_state in self.state.values():
            for name, value in list(param_state.items()) if isinstance(param_state, dict) else ():
                if isinstance(value, _Held):
                    param_state[name] = value.value.detach().clone()
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)
        if kept is not None:
            params = [p for group in self.param_groups for p in group["params"]]
            self._names = {id(p): name for p, (name, _) in zip(params, each)}
            self._roles = {id(p): role for p, (_, role) in zip(params, each)}
            if self._common["gradients"] != "auto":
                for p in params:
                    self._hook(p)
        self._runs = None
