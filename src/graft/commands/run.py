"""Running a workflow: each pass takes what the one before left."""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

from graft.commands.passes import Context, missing
from graft.commands.workflow_file import Workflow
from graft.errors import GraftError, InputError, Problem
from graft.processes import module_command
from graft.progress import Reporter

DISTRIBUTION = "graft-slm"


def run_workflow(workflow: Workflow, reporter: Reporter, name: str = "workflow") -> list[Path]:
    """What each pass left. With several passes each has a folder of its own in the output folder.

    Raises:
        InputError: when a pass needs what is not installed; nothing has been done then.
    """
    lacking = missing({step.name: step.cls for step in workflow.steps})
    if lacking:
        raise InputError(*[_lacking(extra, module) for extra, module in lacking.items()])
    several = len(workflow.steps) > 1
    output = workflow.output or Path("runs") / name
    left: list[Path] = []
    for number, step in enumerate(workflow.steps, 1):
        if several:
            reporter.note(f"pass {number} of {len(workflow.steps)}: {step.name}")
        context = Context(output / step.name if several else output, reporter)
        left.append(Path(step.cls(step.settings).run(left[-1] if left else None, context)))
    return left


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
