"""Which steps run: the safe ones, those that are named, and those whose options are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from graft.config import StepSettings, one_of, takers
from graft.data.steps import STEPS
from graft.errors import Problems, did_you_mean


def chosen_steps(settings: StepSettings, problems: Problems) -> list[str]:
    """Return the names of the steps to run, in their order; those of files come last.

    An option that one step takes asks for the step. One that several take does not say which.

    Args:
        settings: Those that are named, and the options of steps.
        problems: Takes every step that does not exist, is named twice, or would not run anyway, and every option of a
            step that does not run.
    """
    order = [*STEPS.builtin, *STEPS.installed()]
    named = _known(settings.steps, "--steps", order, problems)
    skipped = _known(settings.skip_steps, "--skip_steps", order, problems)
    asked = [*named, *_by_options(settings)]
    safe = [name for name in order if STEPS.get(name).safe]
    for name in skipped:
        if name in named:
            problems.add(f"the step {name!r} is in --steps, too", "--skip_steps", "omit it from one of the two")
        elif name not in safe:
            what = f"the step {name!r} runs only on request, so there is nothing to skip"
            problems.add(what, "--skip_steps", "omit it; the steps that run by themselves are: " + ", ".join(safe))
    wanted = {*safe, *asked} - set(settings.skip_steps)
    _check_options(settings, wanted, problems)
    return [name for name in dict.fromkeys([*order, *asked]) if name in wanted]


def _known(names: Sequence[str], option: str, order: Sequence[str], problems: Problems) -> list[str]:
    """The names for which there is a step."""
    known = []
    for name, count in Counter(names).items():
        if count > 1:
            problems.add(f"the step {name!r} is named {count} times", option, "name it once: each step runs once")
        if ":" not in name and name not in order:
            what = f"there is no step called {name!r}; there are: {', '.join(order)}"
            problems.add(what, option, did_you_mean(name, order))
            continue
        with problems.collecting():
            STEPS.get(name)
            known.append(name)
    return known


def _given(settings: StepSettings) -> Iterator[tuple[str, list[str]]]:
    """The options of steps that somebody gave, each with the steps that take it."""
    for field in type(settings).model_fields:
        steps = [component.name for component in takers(type(settings), field)]
        if steps and field in settings.model_fields_set and getattr(settings, field) not in (None, False):
            yield field, steps


def _by_options(settings: StepSettings) -> list[str]:
    return [steps[0] for _, steps in _given(settings) if len(steps) == 1 and steps[0] not in settings.skip_steps]


def _check_options(settings: StepSettings, wanted: set[str], problems: Problems) -> None:
    for field, steps in _given(settings):
        if wanted.isdisjoint(steps):
            skipped = [name for name in steps if name in settings.skip_steps]
            what = f"--{field} is an option of the step {one_of(steps)}, which does not run"
            remedy = "omit it, or omit --skip_steps" if skipped else f"add --steps {steps[0]}, or omit it"
            problems.add(what, remedy=remedy)
