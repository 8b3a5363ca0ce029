"""Bounds on chat templates, which are programs that come with a model: time, output, and the size of every value.

transformers renders a template in Jinja's sandbox, which denies access to files and to Python's internals. The sandbox
does not limit time and memory: nested loops, recursive macros, ``'a' * 10**10``, or a string that doubles in a loop.
No system can interrupt Python within one operation, so the environment below checks the clock at each step, and the
operands before each operation whose result can be larger than they are.
"""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinMethodType, FunctionType
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from graft.data.template_compiler import KEPT_ITEM_SIZE, BoundedGenerator
from graft.data.template_growth import (
    ITEM_SIZE,
    LARGEST_TOTAL,
    LARGEST_VALUE,
    MOST_ITEMS,
    TemplateLimit,
    check_call,
    check_items,
    check_number,
    check_numbers,
    check_power,
    check_product,
    measure,
    refuse,
)

SECONDS = 10.0
"""Maximum duration of one rendering; usual templates take less than a millisecond."""
LONGEST_TEMPLATE = 256 * 1024
"""Characters of a template; the longest on the Hub have a tenth of this."""


_HARMLESS = frozenset(
    {"strip", "lstrip", "rstrip", "split", "rsplit", "partition", "startswith", "endswith", "find", "removeprefix"}
    | {"removesuffix", "lower", "upper", "title", "capitalize", "items", "keys", "values", "get"}
)
"""Fast methods whose result is no larger than their input: only the result is counted."""
_SPLITTING = frozenset({"split", "rsplit"})
_COPYING = frozenset({"trim", "lower", "upper", "title", "capitalize", "safe", "string"})
"""Filters of this kind."""
_FREE = frozenset({"length", "count", "first", "last", "default", "d", "abs"})
"""Filters that make nothing."""
_INTERNAL = frozenset({"_loop_vars", "_block_vars"})
"""Keywords with which Jinja's own code passes variables."""
_HOLDERS = (list, tuple, dict, Namespace)
_SHORT = 100
"""Items of a list that a loop goes through without a check of the clock."""


class _Buffer(list[str]):
    """The output of a macro or a block, counted."""

    left = LARGEST_VALUE

    def __init__(self, environment: BoundedEnvironment) -> None:
        super().__init__()
        self.environment = environment

    def append(self, text: str) -> None:
        """Count and keep a text."""
        self.left -= len(text)
        if self.left < 0:
            refuse("a string")
        if len(text) > ITEM_SIZE:
            self.environment.charge(len(text))
        super().append(text)

    def extend(self, texts: Iterable[str]) -> None:
        """Count and keep texts."""
        for text in texts:
            self.append(text)


class _State(threading.local):
    """Of the rendering in this thread."""

    deadline = float("inf")
    left = LARGEST_TOTAL


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with bounds; ``bound`` gives it what transformers' own has."""

    code_generator_class = BoundedGenerator
    intercepted_binops = frozenset({"*", "**", "%", "//"})
    state: _State
    ran_out = False

    @staticmethod
    def bound(template: Any, text: str) -> Any:
        """Return ``text`` compiled with bounds, with the functions and the extensions that ``template`` knows."""
        known = template.environment
        environment = BoundedEnvironment(
            trim_blocks=known.trim_blocks,
            lstrip_blocks=known.lstrip_blocks,
            extensions=[type(extension) for extension in known.extensions.values()],
        )
        environment.globals.update(known.globals)
        environment.globals.pop("lipsum", None)
        environment.filters.update(known.filters)
        environment.state = _State()
        for name, function in list(environment.filters.items()):
            if name in _COPYING:
                environment.filters[name] = _charged(environment, function)
            elif name not in _FREE:
                environment.filters[name] = _bounded(environment, name, function)
        environment.tests["divisibleby"] = lambda value, number: environment.call_binop(None, "%", value, number) == 0
        environment.filters["graft_steps"] = environment.steps
        made = environment.from_string(text)
        made.root_render_func = _counted(environment, made.root_render_func)
        return made

    def begin(self) -> None:
        """Start the clock of a rendering."""
        if self.ran_out:  # every row would take as long
            self._late()
        self.state.deadline = time.monotonic() + SECONDS
        self.state.left = LARGEST_TOTAL

    def tick(self) -> None:
        """Look at the clock."""
        if time.monotonic() > self.state.deadline:
            self.ran_out = True
            self._late()

    def _late(self) -> None:
        raise TemplateLimit(f"ran for more than {SECONDS:.0f} s")

    def charge(self, size: int) -> None:
        """Subtract what is made from what a rendering may make in all."""
        self.state.left -= size
        if self.state.left < 0:
            raise TemplateLimit(f"makes values of more than {LARGEST_TOTAL:,} characters in total")

    def counted(self, value: Any, item: int = ITEM_SIZE) -> Any:
        """A value that was made, of which all characters, or items, are subtracted.

        A short text is not: to keep many of them takes lists, which are counted.
        """
        if value.__class__ is str and len(value) <= ITEM_SIZE:
            return value
        if isinstance(value, (str, bytes)):
            self.charge(len(value))
        elif isinstance(value, (list, tuple)):
            self.charge(item * len(value))
        elif isinstance(value, int):
            check_number(value)
        return value

    @pass_context  # so that Jinja does not call it when it compiles a loop over constants
    def steps(self, context: Context, items: Any) -> Iterable[Any]:
        """What a loop goes through, with a look at the clock before a short list and at each step of others."""
        self.tick()
        return items if isinstance(items, list) and len(items) <= _SHORT else self._each(items)

    def _each(self, items: Iterable[Any]) -> Iterator[Any]:
        for item in items:
            self.tick()
            yield item

    def _lazy(self, items: Iterator[Any]) -> Iterator[Any]:
        """Items that a filter makes one by one, and that may all be kept."""
        for item in items:
            self.tick()
            self.charge(ITEM_SIZE + (len(item) if isinstance(item, str) else 0))
            yield item

    def new_buffer(self) -> list[str]:
        """What a macro or a block writes to."""
        return _Buffer(self)

    def joinable(self, parts: tuple[Any, ...]) -> tuple[Any, ...]:
        """The operands of ``~``."""
        self.tick()
        made = tuple(part if isinstance(part, str) else str(part) for part in parts)
        size = sum(map(len, made))
        if size > LARGEST_VALUE:
            refuse("a string")
        if size > ITEM_SIZE:
            self.charge(size)
        return made

    def measured(self, value: Any) -> Any:
        """A list, a tuple, an object or a namespace, unless all that is within it is too much."""
        self.tick()
        if measure(value) > LARGEST_VALUE:
            refuse("a value")
        return self.counted(value)

    def small(self, value: Any) -> Any:
        """What an operation gave."""
        if value.__class__ is str and len(value) <= ITEM_SIZE:
            return value
        if isinstance(value, (str, bytes)) and len(value) > LARGEST_VALUE:
            refuse("a string")
        if isinstance(value, (list, tuple)) and measure(value) > LARGEST_VALUE:
            refuse("a value")
        return self.counted(value, KEPT_ITEM_SIZE)

    def call_binop(self, context: Context | None, operator: str, left: Any, right: Any) -> Any:
        """``*``, ``**``, ``%`` and ``//``."""
        self.tick()
        if operator == "*":
            check_product(left, right)
        elif operator == "**":
            check_power(left, right)
        elif operator == "%" and isinstance(left, str):
            check_call("%", left, (right,))
        else:
            check_numbers(left, right)
        return self.small(self.binop_table[operator](left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """A function, a macro or a method of a value."""
        given = args if not kwargs else (*args, *[kwargs[key] for key in kwargs if key not in _INTERNAL])
        if isinstance(__obj, BuiltinMethodType):
            owner: Any = __obj.__self__
            if __obj.__name__ in _HARMLESS and len(given) == len(args):
                if __obj.__name__ in _SPLITTING and len(args) < 2 and len(owner) > MOST_ITEMS:
                    args = (*(args or (None,)), MOST_ITEMS)
                made = __obj(*args)
                return __self.counted(made) if isinstance(owner, str) else made
            check_call(__obj.__name__, owner, given)
        elif isinstance(__obj, FunctionType):  # str.format as the sandbox gives it, strftime_now
            function = getattr(__obj, "__wrapped__", __obj)
            check_call(function.__name__.removeprefix("safe_"), getattr(function, "__self__", ""), given)
        __self.tick()
        holds = any(isinstance(value, _HOLDERS) for value in given)
        if holds:  # by varargs a macro makes a tuple of them
            __self.measured(given)
        found = super().call(__context, __obj, *args, **kwargs)
        return __self.measured(found) if holds and isinstance(found, _HOLDERS) else __self.counted(found)

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        for loop in source.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "graft_steps", [], [], None, None, lineno=loop.lineno)
        return super()._generate(source, *args, **kwargs)


def _bounded(environment: BoundedEnvironment, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that looks at the clock and at its operands."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0  # the context comes before the value

    @functools.wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        environment.tick()
        value = args[first]
        if name == "join" and not isinstance(value, (str, list, tuple)):  # a range or a generator has to be counted
            value = list(value)
        check_items(name, value)
        check_call(name, value, (*args[first + 1 :], *kwargs.values()))
        found = function(*args[:first], value, *args[first + 1 :], **kwargs)
        return environment._lazy(found) if isinstance(found, Iterator) else environment.small(found)

    return bounded


def _charged(environment: BoundedEnvironment, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that copies its value."""

    @functools.wraps(function)
    def charged(*args: Any, **kwargs: Any) -> Any:
        return environment.counted(function(*args, **kwargs))

    return charged


def _counted(environment: BoundedEnvironment, render: Callable[[Context], Iterator[str]]) -> Callable[..., Any]:
    """The render function of a template, with its clock and its output counted."""

    def counted(context: Context) -> Iterator[str]:
        environment.begin()
        left = LARGEST_VALUE
        for text in render(context):
            left -= len(text)
            if left < 0:
                refuse("a string")
            yield text

    return counted


def bound_chat_templates() -> None:
    """From now on, transformers compiles each chat template of this process with these bounds.

    It is found among the loaded modules: nothing renders without it, and this layer does not import it.
    """
    library: Any = sys.modules.get("transformers.utils.chat_template_utils")
    if library is None or hasattr(library._compile_jinja_template, "bounded"):
        return
    make = library._cached_compile_jinja_template

    @functools.lru_cache(maxsize=128)
    def compiled(text: str) -> Any:
        if len(text) > LONGEST_TEMPLATE:
            raise TemplateLimit(f"has {len(text):,} characters; at most {LONGEST_TEMPLATE:,} are accepted")
        return BoundedEnvironment.bound(make(""), text)

    compiled.bounded = True  # type: ignore[attr-defined]
    library._compile_jinja_template = compiled
