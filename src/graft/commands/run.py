"""Running a workflow: each pass takes what the one before left, and runs if something that goes into it changed."""

from __future__ import annotations

import hashlib
import importlib
import re
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from graft.commands.kept_results import Results
from graft.commands.passes import SAME, Context, check_order, missing
from graft.commands.result_keys import Inputs, inputs_of
from graft.commands.workflow_file import Step, Workflow
from graft.errors import GraftError, Interrupted, Problem, Problems, did_you_mean
from graft.interruption import postponed
from graft.processes import module_command
from graft.progress import Reporter
from graft.shell import command

DISTRIBUTION = "graft-slm"


EVERY = "true"
"""The value of ``--force`` that means every pass."""


def run_workflow(
    workflow: Workflow,
    reporter: Reporter,
    name: str = "workflow",
    file: str | None = None,
    force: Collection[str] = (),
) -> list[Path]:
    """Run the passes whose inputs changed, and keep the results of the others.

    Args:
        workflow: The passes. With several, each has a folder of its own in the output folder.
        reporter: Shows the work, which results are kept, and why others are not.
        name: The name of the output folder below ``runs``, where the workflow names none.
        file: The workflow file, for the command that goes on.
        force: Passes that run again whatever was kept; ``EVERY`` for all of them.

    Returns:
        What each pass left.

    Raises:
        InputError: When a pass needs what is not installed, cannot take what the pass before leaves, or is not there;
            nothing has been done then.
        GateError: When a pass does not meet its gate.
        Interrupted: After Ctrl-C, SIGTERM or SIGHUP; running the workflow again goes on.
    """
    names = [step.name for step in workflow.steps]
    _check(workflow, force)
    results = Results(workflow.output or Path("runs") / name, names, file)
    left: list[Path] = []
    artifact: Path | None = None
    maker: str | None = None
    with results.locked():
        for number, step in enumerate(workflow.steps, 1):
            inputs = inputs_of(step.cls, step.settings, _before(step, names[: number - 1], maker, results))
            why = results.why(step, inputs, EVERY in force or step.name in force)
            if why is None:
                reporter.note(f"pass {step.name}: kept (nothing changed)")
            else:
                _tell(number, step, workflow, why, reporter)
                _run(step, inputs, results, artifact, reporter)
            left.append(results.artifact(step.name))
            if step.cls.leaves != SAME:
                artifact, maker = left[-1], step.name
        results.close()
    return left


def _before(step: Step, names: Sequence[str], maker: str | None, results: Results) -> str | None:
    """The state of the pass that left the artifact; of a pass that reads all others' files, that of all of them."""
    if step.cls.reads_all:
        return hashlib.sha256(" ".join(map(results.state, names)).encode()).hexdigest() if names else None
    return results.state(maker) if maker is not None else None


def _check(workflow: Workflow, force: Collection[str]) -> None:
    """Check what can be known before a pass runs.

    Raises:
        InputError: With everything that is wrong.
    """
    lacking = missing({step.name: step.cls for step in workflow.steps})
    problems = Problems([_lacking(extra, module) for extra, module in lacking.items()])
    names = [step.name for step in workflow.steps]
    for wanted in sorted({*force} - {EVERY, *names}):
        remedy = did_you_mean(wanted, names) or f"the passes are: {', '.join(names)}"
        problems.add(f"there is no pass called {wanted!r}", "--force", remedy)
    with problems.collecting():
        check_order([(step.name, step.cls, step.settings) for step in workflow.steps])
    problems.raise_if_any()


def _tell(number: int, step: Step, workflow: Workflow, why: Sequence[str], reporter: Reporter) -> None:
    if len(workflow.steps) > 1:
        reporter.note(f"pass {number} of {len(workflow.steps)}: {step.name}")
    if why:
        reporter.note(f"pass {step.name} runs again: {', '.join(why)}")


def _run(step: Step, inputs: Inputs, results: Results, artifact: Path | None, reporter: Reporter) -> None:
    """Run a pass, and record what it leaves or how it ends."""
    resume = results.may_resume(step, inputs)
    results.begin(step, inputs, resume)
    context = Context(results.output(step.name), reporter, resume, results.folder)
    began = time.monotonic()
    with _ending(step.name, results):
        left = Path(step.cls(step.settings).run(artifact, context))
        results.finish(step, inputs, left, time.monotonic() - began)


@contextmanager
def _ending(name: str, results: Results) -> Iterator[None]:
    """Record how a pass ends if it leaves nothing, and say in its error which one it was."""
    try:
        yield
    except (KeyboardInterrupt, Interrupted) as error:
        with postponed(), suppress(GraftError):
            results.end(name, "interrupted")
        raise _interrupted(name, results, error) from error
    except Exception as error:
        with suppress(GraftError):  # the failure matters more than what is written about it
            results.end(name, "failed", str(error))
        if not results.several or not isinstance(error, GraftError):
            raise
        error.problems = tuple(replace(one, what=f"pass {name}: {one.what}") for one in error.problems)
        error.args = ("\n".join(map(str, error.problems)),)
        raise


def _interrupted(name: str, results: Results, error: BaseException) -> Interrupted:
    if not results.several and isinstance(error, Interrupted):
        return error
    again = command("graft", "run", "--config", Path(results.file)) if results.file else "run the workflow again"
    return Interrupted(f"interrupted in the pass {name}", remedy=f"{again} goes on with this pass")


def _lacking(extra: str, module: str) -> Problem:
    return Problem(
        f"a pass requires the package {module}, which is not installed",
        remedy=f'use --setup to install it, or run: pip install "{DISTRIBUTION}[{extra}]"',
    )


def set_up(workflow: Workflow, reporter: Reporter) -> None:
    """Install what the passes need and is not there, with pip, in the versions this project declares.

    Raises:
        GraftError: when pip fails.
    """
    lacking = missing({step.name: step.cls for step in workflow.steps})
    if not lacking:
        reporter.note("setup: all required packages are installed")
        return
    wanted = requirements(lacking)
    reporter.note(f"setup: installing {', '.join(wanted)}")
    command = module_command("pip", "install", "--quiet", *wanted)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
        raise GraftError(f"pip could not install {', '.join(wanted)}: {last[0]}", remedy="install them manually")
    importlib.invalidate_caches()


def requirements(extras: Mapping[str, str]) -> list[str]:
    """The requirements of these extras as this distribution declares them."""
    try:
        declared = requires(DISTRIBUTION) or []
    except PackageNotFoundError:  # run from its source
        return sorted(extras.values())
    wanted = set()
    for line in declared:
        requirement, _, marker = line.partition(";")
        named = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
        if named and named[1] in extras:
            wanted.add(requirement.strip())
    return sorted(wanted) or sorted(extras.values())
