"""The C library: found beside this file, called through ctypes.

Structs of C are repeated here only where bridge.c declares them. A status other than ok becomes the exception that
Python has for it, with the library's one-line message.
"""

from __future__ import annotations

import ctypes as c
import importlib.util
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent


class Diverged(RuntimeError):
    """A gradient was not finite in too many updates in a row (option nan_budget), or once with nan_guard="error"."""


# tg_status, in its order
ERRORS: tuple[type[Exception], ...] = (
    AssertionError,
    ValueError,
    MemoryError,
    OSError,
    ValueError,
    LookupError,
    RuntimeError,
    NotImplementedError,
    Diverged,
)

SHAPES = ("full", "row", "column", "scalar", "left", "right")  # tg_slot_shape
ROLES = ("matrix", "embedding", "bias", "gain")
REAL, INTEGER, SWITCH, CHOICE = range(4)
BAD_GRADIENT, FROZEN_SHARE, STALE_ROOT = range(3)


class _Option(c.Structure):
    _fields_ = [
        ("name", c.c_char_p),
        ("choices", c.c_char_p),
        ("help", c.c_char_p),
        ("value", c.c_double),
        ("least", c.c_double),
        ("most", c.c_double),
        ("kind", c.c_int32),
        ("above", c.c_int32),
    ]


class _Slot(c.Structure):
    _fields_ = [("name", c.c_char_p), ("when", c.c_char_p), ("shape", c.c_int32), ("codes", c.c_int32)]


# What bridge.c tells first of a member of either family.
_MEMBER = [(text, c.c_char_p) for text in ("name", "title", "source", "equations", "when_to_use")] + [("options", c.c_uint64)]


class _Rule(c.Structure):
    _fields_ = [
        *_MEMBER,
        ("slots", c.c_uint64),
        ("presets", c.c_uint64),
        ("folds", c.c_int32),
        ("matrices", c.c_int32),
    ]


class _State(c.Structure):
    _fields_ = [
        ("name", c.c_char_p),
        ("format", c.c_char_p),
        ("data", c.c_void_p),
        ("bytes", c.c_uint64),
        ("rank", c.c_uint64),
        ("shape", c.c_uint64 * 8),
    ]


class _Method(c.Structure):
    _fields_ = [
        *_MEMBER,
        ("needs", c.c_int32),
        ("bounds", c.c_int32),
    ]


class Minimum(c.Structure):
    """tb_minimum of bridge.c: what is known of a minimum."""

    _fields_ = [
        ("x", c.POINTER(c.c_double)),
        ("phase", c.c_char_p),
        ("stop", c.c_char_p),
        ("text", c.c_char_p),
        ("line", c.c_char_p),
        ("value", c.c_double),
        ("gradient_norm", c.c_double),
        ("step", c.c_double),
        ("iterations", c.c_uint64),
        ("evaluations", c.c_uint64),
        ("products", c.c_uint64),
        ("restarts", c.c_uint64),
        ("switches", c.c_uint64),
        ("reason", c.c_int32),
        ("converged", c.c_int32),
    ]


_DOUBLES = c.POINTER(c.c_double)
Function = c.CFUNCTYPE(c.c_int, c.c_void_p, _DOUBLES, _DOUBLES, _DOUBLES)
Function32 = c.CFUNCTYPE(c.c_int, c.c_void_p, _DOUBLES, c.POINTER(c.c_float), c.POINTER(c.c_float))
Product = c.CFUNCTYPE(c.c_int, c.c_void_p, _DOUBLES, _DOUBLES, _DOUBLES)
_Event = c.CFUNCTYPE(None, c.c_int32, c.c_char_p, c.c_double)


class _Listener(c.Structure):
    _fields_ = [("event", _Event)]


def _load() -> c.CDLL:
    names = [HERE / name for name in ("libtiger.so", "libtiger.dylib", "tiger.dll")]
    path = next((name for name in names if name.exists()), None)
    if path is None:
        raise ImportError(f"{HERE} holds no libtiger: build and install the package (pip install ./python)")
    try:
        return c.CDLL(str(path))
    except OSError as error:
        # A system without a compiler may lack its OpenMP runtime. PyTorch brings one, which both then use.
        if "libgomp" not in str(error):
            raise
        spec = importlib.util.find_spec("torch")
        runtimes = sorted((Path(spec.origin).parent / "lib").glob("libgomp*.so*")) if spec and spec.origin else []
        if not runtimes:
            raise ImportError(
                f"{error}: install the package libgomp1, or PyTorch, which has the same library"
            ) from error
        c.CDLL(str(runtimes[0]), mode=c.RTLD_GLOBAL)
        return c.CDLL(str(path))


_lib = _load()
_POINTER, _SIZE, _TEXT, _INT = c.c_void_p, c.c_size_t, c.c_char_p, c.c_int


def _declare(name: str, result: type | None, *arguments: type):
    function = getattr(_lib, name)
    function.restype, function.argtypes = result, arguments
    return function


_version = _declare("tg_version", _TEXT)
_message = _declare("tg_message", _TEXT)
_format_parse = _declare("tg_format_parse", _INT, _TEXT)
_rule_at = _declare("tb_rule_at", _INT, _POINTER, c.c_uint64)
_option_at = _declare("tb_option_at", _INT, _POINTER, c.c_uint64, c.c_uint64)
_preset_at = _declare("tb_preset_at", _INT, _POINTER, c.c_uint64, c.c_uint64, c.c_uint64)
_slot_at = _declare("tb_slot_at", _INT, _POINTER, c.c_uint64, c.c_uint64)
_option_test = _declare("tb_option_test", _INT, c.c_uint64, c.c_uint64, c.c_double)
_create = _declare("tg_optim_create", _INT, _POINTER, _TEXT, _POINTER)
_destroy = _declare("tg_optim_destroy", None, _POINTER)
_allocator_bytes = _declare("tb_allocator_bytes", c.c_uint64)
_paged_create = _declare("tg_paged_create", _INT, _POINTER, _TEXT)
_paged_destroy = _declare("tg_paged_destroy", None, _POINTER)
_add_group = _declare("tg_optim_add_group", _INT, _POINTER, _POINTER)
_set_number = _declare("tg_optim_set_number", _INT, _POINTER, _INT, _TEXT, c.c_double)
_add = _declare(
    "tb_add",
    _INT,
    _POINTER,
    _TEXT,
    _POINTER,
    c.c_int32,
    c.c_uint64,
    c.c_uint64,
    c.c_int32,
    c.c_int32,
    c.c_uint64,
    c.c_int32,
    c.c_int32,
    _TEXT,
)
_check = _declare("tb_check", _INT, _POINTER)
_start = _declare("tg_optim_start", _INT, _POINTER)
_step_bytes = _declare("tb_step_bytes", c.c_uint64, _POINTER)
_step = _declare("tb_step", _INT, _POINTER, _POINTER, _POINTER, _POINTER, c.c_float)
_observe = _declare("tb_observe", _INT, _POINTER, _POINTER, _POINTER, _POINTER, c.c_int32, c.c_double)
_observe_layer = _declare(
    "tb_observe_layer",
    _INT,
    _POINTER,
    c.c_uint64,
    _POINTER,
    _POINTER,
    c.c_int32,
    c.c_uint64,
    c.c_double,
    c.c_uint64,
    c.c_uint64,
)
_layers_due = _declare("tg_optim_layers_due", c.c_bool, _POINTER)
_set_gradient_scale = _declare("tg_optim_set_gradient_scale", _INT, _POINTER, c.c_double)
_state_values = _declare("tg_optim_state_values", _INT, _POINTER, _SIZE, _POINTER)
_begin = _declare("tg_optim_begin", _INT, _POINTER, c.c_uint32)
_accumulate = _declare("tg_optim_accumulate", _INT, _POINTER, _SIZE, _SIZE, _SIZE, _POINTER)
_accumulate_rows = _declare("tg_optim_accumulate_rows", _INT, _POINTER, _SIZE, _POINTER, _SIZE, _POINTER)
_complete = _declare("tg_optim_complete", _INT, _POINTER, _SIZE)
_micro_end = _declare("tg_optim_micro_end", _INT, _POINTER)
_end = _declare("tg_optim_end", _INT, _POINTER)
_abandon = _declare("tg_optim_abandon", None, _POINTER)
_place = _declare("tg_optim_gradient_place", _INT, _POINTER)
_updates = _declare("tg_optim_updates", c.c_uint64, _POINTER)
_set_updates = _declare("tg_optim_set_updates", _INT, _POINTER, c.c_uint64)
_refresh = _declare("tg_optim_refresh", _INT, _POINTER)
_state_count = _declare("tg_optim_state_count", _SIZE, _POINTER)
_state_at = _declare("tb_state_at", _INT, _POINTER, _POINTER, c.c_uint64)
_save = _declare("tg_optim_save", _INT, _POINTER, _TEXT)
_load_states = _declare("tg_optim_load", _INT, _POINTER, _TEXT)
_method_at = _declare("tb_method_at", _INT, _POINTER, c.c_uint64)
_minimizer_create = _declare("tg_minimizer_create", _INT, _POINTER, _TEXT, _POINTER)
_minimizer_destroy = _declare("tg_minimizer_destroy", None, _POINTER)
_minimizer_set_number = _declare("tg_minimizer_set_number", _INT, _POINTER, _TEXT, c.c_double)
_minimizer_start = _declare(
    "tb_minimizer_start",
    _INT,
    _POINTER,
    c.c_uint64,
    Function,
    Function32,
    c.c_int32,
    Product,
    Product,
    _POINTER,
    _POINTER,
    _POINTER,
)
_minimizer_iterate = _declare("tb_minimizer_iterate", _INT, _POINTER, _POINTER)
_minimizer_refresh = _declare("tg_minimizer_refresh", _INT, _POINTER, _POINTER)
_minimizer_ask = _declare("tg_minimizer_ask", _INT, _POINTER, _POINTER, _POINTER)
_minimizer_tell = _declare("tg_minimizer_tell", _INT, _POINTER, _POINTER, _SIZE)
_minimizer_minimum = _declare("tb_minimizer_minimum", None, _POINTER, _POINTER)
_minimizer_state = _declare("tg_minimizer_state", _POINTER, _POINTER, _POINTER)
_listen = _declare("tb_listen", None, _POINTER, _POINTER)


def _raise(status: int) -> None:
    raise ERRORS[status](_message().decode())


version: str = _version().decode()


def format_number(tag: str) -> int:
    """tg_format of a tag or common name: "F32", "bf16", ..."""
    return _format_parse(tag.encode())


class Option(NamedTuple):
    """A row of an option table. `value` is the default as Python has it: float, int, bool, or the choice's name."""

    name: str
    kind: int
    value: float | int | bool | str
    least: float
    most: float
    above: bool
    choices: tuple[str, ...]
    help: str
    table: int  # where the library has it
    row: int

    def number(self, value: object) -> float:
        """`value` as the library's number, checked against kind and range: ValueError or TypeError if it is not
        legal."""
        if self.kind == CHOICE:
            if value not in self.choices:
                raise ValueError(f"{self.name} must be one of {', '.join(self.choices)}, not {value!r}")
            return float(self.choices.index(value))
        try:
            if isinstance(value, str):  # float("1e-3") would do, but nothing that then calculates with the option
                raise TypeError
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise TypeError(f"{self.name} must be a number, not {value!r}") from None
        status = _option_test(self.table, self.row, number)
        if status:
            _raise(status)
        return number


class Slot(NamedTuple):
    """A state of a rule: a value for every weight ("full"), row or column, or one for the tensor ("scalar"). `when`
    names the option that must be non-zero for it to exist. `coded`: 8 bits a value, with a scale for every 256."""

    name: str
    when: str | None
    shape: str
    coded: bool


class Preset(NamedTuple):
    """Options of a rule that its source published together."""

    name: str
    source: str
    options: dict[str, float | int | bool | str]


class Rule(NamedTuple):
    """What the library says of an optimizer."""

    name: str
    title: str
    source: str
    equations: str
    when_to_use: str
    options: dict[str, Option]
    slots: tuple[Slot, ...]
    folds: bool
    matrices: bool
    presets: dict[str, Preset]

    def preset(self, name: str) -> dict[str, float | int | bool | str]:
        """The options of a preset; LookupError, naming those that there are."""
        if name not in self.presets:
            there = f" (there are {', '.join(self.presets)})" if self.presets else ""
            raise LookupError(f"{self.name} has no preset '{name}'{there}")
        return dict(self.presets[name].options)


def _option_table(table: int, count: int | None = None) -> dict[str, Option]:
    found: dict[str, Option] = {}
    raw = _Option()
    while (count is None or len(found) < count) and _option_at(c.byref(raw), table, len(found)) == 0:
        choices = tuple(raw.choices.decode().split("|")) if raw.choices else ()
        value: float | int | bool | str = raw.value
        if raw.kind == CHOICE:
            value = choices[int(raw.value)]
        elif raw.kind == SWITCH:
            value = bool(raw.value)
        elif raw.kind == INTEGER:
            value = int(raw.value)
        name = raw.name.decode()
        found[name] = Option(
            name, raw.kind, value, raw.least, raw.most, bool(raw.above), choices, raw.help.decode(), table, len(found)
        )
    return found


def _value_of(option: Option, text: str) -> float | int | bool | str:
    if option.kind == CHOICE:
        return text
    if option.kind == SWITCH:
        return text in ("1", "on", "true", "yes")
    return int(text) if option.kind == INTEGER else float(text)


def _read_presets(rule: int, count: int, options: Mapping[str, Option]) -> dict[str, Preset]:
    found: dict[str, Preset] = {}
    texts = (c.c_char_p * 4)()
    for at in range(count):
        setting = 0
        while _preset_at(texts, rule, at, setting) == 0:
            name, source, option, value = (bytes(text or b"").decode() for text in texts)
            preset = found.setdefault(name, Preset(name, source, {}))
            preset.options[option] = _value_of(options[option], value)
            setting += 1
    return found


def _read_rules() -> Iterator[Rule]:
    raw, slot = _Rule(), _Slot()
    index = 0
    while _rule_at(c.byref(raw), index) == 0:
        slots = []
        for at in range(raw.slots):
            _slot_at(c.byref(slot), index, at)
            slots.append(
                Slot(
                    slot.name.decode(), slot.when.decode() if slot.when else None, SHAPES[slot.shape], bool(slot.codes)
                )
            )
        options = _option_table(index, raw.options)
        yield Rule(
            raw.name.decode(),
            raw.title.decode(),
            raw.source.decode(),
            raw.equations.decode(),
            raw.when_to_use.decode(),
            options,
            tuple(slots),
            bool(raw.folds),
            bool(raw.matrices),
            _read_presets(index, raw.presets, options),
        )
        index += 1


class Method(NamedTuple):
    """What the library says of a minimizer. needs: "value", "gradient", "product" (with the Hessian: differences will do)
    or "fisher" (with a Fisher matrix)."""

    name: str
    title: str
    source: str
    equations: str
    when_to_use: str
    options: dict[str, Option]
    needs: str
    bounds: bool


def _read_methods(first: int) -> Iterator[Method]:
    raw = _Method()
    index = 0
    while _method_at(c.byref(raw), index) == 0:
        yield Method(
            raw.name.decode(),
            raw.title.decode(),
            raw.source.decode(),
            raw.equations.decode(),
            raw.when_to_use.decode(),
            _option_table(first + index, raw.options),
            ("value", "gradient", "product", "fisher")[raw.needs],
            bool(raw.bounds),
        )
        index += 1


RULES: dict[str, Rule] = {rule.name: rule for rule in _read_rules()}
COMMON: dict[str, Option] = _option_table(len(RULES))
METHODS: dict[str, Method] = {method.name: method for method in _read_methods(len(RULES) + 1)}
METHOD_COMMON: dict[str, Option] = _option_table(len(RULES) + 1 + len(METHODS))


class State(NamedTuple):
    """A state array of the library's: owner's name ("" for bookkeeping of all), slot, format tag, shape, and its
    memory."""

    param: str
    slot: str
    format: str
    shape: tuple[int, ...]
    memory: c.Array | None  # of bytes; keeps the optimizer alive; None: it has none


class Optimizer:
    """A tg_optim. One thread at a time; the interpreter's lock is released while the library works."""

    def __init__(self, rule: str, state_file: str | None = None):
        """state_file: where the states lie instead of in memory, in a new file that goes with the optimizer."""
        self._allocator: c.Array | None = None
        if state_file is not None:
            allocator = c.create_string_buffer(_allocator_bytes())
            self._call(_paged_create(allocator, state_file.encode()))
            self._allocator = allocator
        self._o: c.c_void_p | None = c.c_void_p()
        self._call(_create(c.byref(self._o), rule.encode(), self._allocator))
        self.events: list[tuple[int, str, float]] = []  # (kind, parameter, value), until somebody takes them
        events = self.events  # not self: the listener must not keep the optimizer alive
        self._listener = _Listener(_Event(lambda kind, param, value: events.append((kind, param.decode(), value))))
        _listen(self._o, c.byref(self._listener))
        self.count = 0
        self.groups = 1
        self._room: c.Array | None = None

    def __del__(self) -> None:
        if getattr(self, "_o", None):
            _destroy(self._o)
            self._o = None
        if getattr(self, "_allocator", None) is not None:
            _paged_destroy(self._allocator)
            self._allocator = None

    @staticmethod
    def _call(status: int) -> None:
        if status:
            _raise(status)

    def set(self, group: int, option: str, number: float) -> None:
        self._call(_set_number(self._o, group, option.encode(), number))

    def add_group(self) -> int:
        group = c.c_int()
        self._call(_add_group(self._o, c.byref(group)))
        self.groups += 1
        return group.value

    def add(
        self,
        name: str,
        address: int,
        format: int,
        rows: int,
        cols: int,
        role: int,
        group: int,
        fan_in: int = 0,
        frozen: bool = False,
        layer: int = 0,
        bias: str | None = None,
    ) -> int:
        """layer: a tg_layer_form; bias: the name of the vector that this layer adds."""
        text = None if bias is None else bias.encode()
        self._call(_add(self._o, name.encode(), address, format, rows, cols, role, group, fan_in, frozen, layer, text))
        self.count += 1
        return self.count - 1

    def check(self) -> None:
        self._call(_check(self._o))

    def start(self) -> None:
        self._call(_start(self._o))
        self._room = c.create_string_buffer(max(1, _step_bytes(self._o)))

    def step(self, addresses: array, formats: array, scale: float) -> None:
        """One update. addresses, array("Q"): parameter i's gradient, 0 for none; formats: array("i") of tg_format."""
        status = _step(self._o, self._room, addresses.buffer_info()[0], formats.buffer_info()[0], scale)
        if status:
            _raise(status)

    def observe(self, addresses: array, formats: array, squares: bool, scale: float) -> None:
        """An estimate of the Hessian's diagonal: `scale` times the squares of these gradients, or these arrays."""
        self._call(_observe(self._o, self._room, addresses.buffer_info()[0], formats.buffer_info()[0], squares, scale))

    def observe_layer(
        self, param: int, inputs: int, gradients: int, format: int, rows: int, scale: float, first: int = 0, all: int = 0
    ) -> None:
        """A layer's rows: inputs and gradients at its output, of the mean of `scale` terms. With `all` > 0 they are the
        part from `first` on of that many."""
        self._call(_observe_layer(self._o, param, inputs, gradients, format, rows, scale, first, all))

    @property
    def layers_due(self) -> bool:
        return bool(_layers_due(self._o))

    def set_gradient_scale(self, scale: float) -> None:
        self._call(_set_gradient_scale(self._o, scale))

    def state_values(self, index: int, address: int) -> None:
        """The true values of states()[index], as fp32, to `address`."""
        self._call(_state_values(self._o, index, address))

    def begin(self, micro_steps: int) -> None:
        self._call(_begin(self._o, micro_steps))

    def accumulate(self, param: int, row: int, rows: int, address: int) -> None:
        self._call(_accumulate(self._o, param, row, rows, address))

    def accumulate_rows(self, param: int, index: int, rows: int, address: int) -> None:
        self._call(_accumulate_rows(self._o, param, index, rows, address))

    def complete(self, param: int) -> None:
        self._call(_complete(self._o, param))

    def micro_end(self) -> None:
        self._call(_micro_end(self._o))

    def end(self) -> None:
        self._call(_end(self._o))

    def abandon(self) -> None:
        _abandon(self._o)

    @property
    def place(self) -> str:
        return ("arrays", "folded", "buffered", "released")[_place(self._o)]

    @property
    def updates(self) -> int:
        return _updates(self._o)

    @updates.setter
    def updates(self, made: int) -> None:
        self._call(_set_updates(self._o, made))

    def refresh(self) -> None:
        self._call(_refresh(self._o))

    def save(self, path: str) -> None:
        self._call(_save(self._o, path.encode()))

    def load(self, path: str) -> None:
        self._call(_load_states(self._o, path.encode()))

    def states(self) -> Iterator[State]:
        raw = _State()
        for index in range(_state_count(self._o)):
            self._call(_state_at(c.byref(raw), self._o, index))
            param, _, slot = raw.name.decode().rpartition("/")
            memory = None
            if raw.bytes:
                memory = (c.c_char * raw.bytes).from_address(raw.data)
                memory.owner = self
            yield State(param, slot, raw.format.decode(), tuple(raw.shape[: raw.rank]), memory)


class Minimizer:
    """A tg_minimizer. Addresses are those of contiguous float64 arrays that outlive the call."""

    def __init__(self, method: str):
        self._m: c.c_void_p | None = c.c_void_p()
        self._call(_minimizer_create(c.byref(self._m), method.encode(), None))
        self._held: tuple = ()  # callbacks, which ctypes would let go

    def __del__(self) -> None:
        if getattr(self, "_m", None):
            _minimizer_destroy(self._m)
            self._m = None

    @staticmethod
    def _call(status: int) -> None:
        if status:
            _raise(status)

    def set(self, option: str, number: float) -> None:
        self._call(_minimizer_set_number(self._m, option.encode(), number))

    def start(
        self,
        n: int,
        x0: int,
        function: Any,  # a Function, a Function32 or None
        value_only: bool = False,
        hessian: Any = None,  # a Product
        fisher: Any = None,
        lower: int | None = None,
        upper: int | None = None,
    ) -> None:
        self._held = (function, hessian, fisher)
        double = function if isinstance(function, Function) else Function()
        single = function if isinstance(function, Function32) else Function32()
        hessian, fisher = hessian or Product(), fisher or Product()
        self._call(_minimizer_start(self._m, n, double, single, value_only, hessian, fisher, lower, upper, x0))

    def iterate(self) -> bool:
        going = c.c_int32()
        self._call(_minimizer_iterate(self._m, c.byref(going)))
        return bool(going.value)

    def refresh(self, x: int | None) -> None:
        self._call(_minimizer_refresh(self._m, x))

    def ask(self) -> tuple[int, int]:
        """Address and number of the points that are wanted."""
        points, count = c.c_void_p(), _SIZE()
        self._call(_minimizer_ask(self._m, c.byref(points), c.byref(count)))
        return points.value or 0, count.value

    def tell(self, values: int, count: int) -> None:
        self._call(_minimizer_tell(self._m, values, count))

    def minimum(self) -> Minimum:
        now = Minimum()
        _minimizer_minimum(self._m, c.byref(now))
        return now

    def state(self) -> c.Array:
        count = _SIZE()
        address = _minimizer_state(self._m, c.byref(count))
        memory: Any = (c.c_char * count.value).from_address(address)
        memory.owner = self
        return memory
