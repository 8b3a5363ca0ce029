"""Everything that is decided of a search before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.commands.search_compared import COMPARE_ANSWERS, check_values
from graft.commands.search_folder import resumed
from graft.commands.search_settings import Searched, effective, free_folder, trial_settings
from graft.config import FinetuneSettings, config_of, takers
from graft.errors import Problems
from graft.methods import METHODS
from graft.planning.plan import RunPlan
from graft.progress import Reporter
from graft.runs.trust import consent_words
from graft.shell import command

if TYPE_CHECKING:
    from graft.commands.search_trials import PlannedTrials
    from graft.config.search import StudySettings

TRIALS = 20
"""The number of trials where none is given, and the strategy has no end of them."""
_LOSSES = frozenset({"loss", "loss_arguments", "teacher", "loss_on", "label_smoothing_factor"})
_PINNED = ("per_device_train_batch_size", "gradient_accumulation_steps", "max_length")
"""What depends on the free memory of the moment, and has to be the same in all trials."""


@dataclass(frozen=True)
class SearchPlan:
    """All that is decided of a search.

    Attributes:
        searched: What is searched, and how.
        output: The search folder.
        shared: The settings of all trials: what was given, and what was inferred and has to stay.
        first: The plan of the first trial, which has the defaults.
        defaults: The values of the searched settings in the first trial.
        num_trials: The number of trials, the first included.
        trials: Plans trials, and keeps the rows.
    """

    searched: Searched
    output: Path
    shared: dict[str, Any]
    first: RunPlan
    defaults: dict[str, Any]
    num_trials: int
    trials: PlannedTrials

    @property
    def greater_is_better(self) -> bool:
        """Whether a greater score is better."""
        return self.first.training.greater_is_better

    def effective(self, proposal: dict[str, Any]) -> dict[str, Any]:
        """Return those settings of a proposal that its trial has."""
        return effective(self.searched.cls, self.shared, proposal)

    def settings_of(self, proposal: Mapping[str, Any]) -> FinetuneSettings:
        """Return the settings of ``graft finetune`` that make a trial.

        Raises:
            InputError: If they contradict each other.
        """
        return trial_settings(self.searched.cls, self.shared, proposal)

    def resume_line(self, error: BaseException | None = None) -> str:
        """Return the command that goes on with the search."""
        consent = consent_words(self.first.settings.model_dump(mode="json"))
        return command("graft", "search", "--resume", "-o", self.output, *consent)


def plan_search(settings: StudySettings, reporter: Reporter) -> SearchPlan:
    """Decide everything, and write nothing.

    Raises:
        InputError: With everything that is wrong.
    """
    from graft.commands.search_trials import PlannedTrials

    settings = resumed(settings)
    searched = Searched(settings)
    output = free_folder(settings)
    trials = PlannedTrials()
    first = trials.plan(trial_settings(searched.cls, searched.shared, {}), reporter)
    _check(searched, first)
    names = {dimension.name for dimension in searched.space.dimensions}
    rows = searched.shared.get("monitored_rows") or _selection_rows(first)
    shared = {**searched.shared, "monitored_rows": rows, **_pins(first, names)}
    first = replace(first, settings=first.settings.model_copy(update={"monitored_rows": rows}))
    check_values(searched, shared, first, trials)
    defaults = {name: value for name in names if (value := resolved(first, name)) is not None}
    ordered = {each.name: defaults[each.name] for each in searched.space.dimensions if each.name in defaults}
    size = searched.strategy.size(searched.space)
    number = settings.num_trials or (TRIALS if size is None else size + 1)
    return SearchPlan(searched, output, shared, first, ordered, min(number, (size or number) + 1), trials)


def _check(searched: Searched, first: RunPlan) -> None:
    """Check that the trials have a score, and that it can be compared.

    Raises:
        InputError: With everything that is wrong.
    """
    problems = Problems()
    if not len(first.held_out):
        problems.add("a search compares trials on held-out rows, and there are none", remedy="--eval_share 0.1")
    elif first.settings.training_arguments.get("eval_strategy") == "no":
        problems.add("--eval_strategy no: a search compares trials by their held-out score", remedy="omit it")
    for dimension in searched.space.dimensions:
        of_loss = any(each.option == "loss" for each in takers(searched.cls, dimension.name))
        if first.training.metric == "loss" and (of_loss or dimension.name in _LOSSES):
            what = f"held-out losses with another {dimension.name} are not comparable"
            problems.add(what, "search_space", COMPARE_ANSWERS)
    problems.raise_if_any()


def _selection_rows(first: RunPlan) -> int:
    """How many held-out rows trials are compared on: as many as a run monitors, but at most half of all there are."""
    return max(1, min(len(first.monitored), (len(first.held_out) + len(first.data.eval_rest or ())) // 2))


def _pins(first: RunPlan, searched: set[str]) -> dict[str, Any]:
    inferred = {setting.name: setting.value for setting in first.inferred}
    names = [name for name in _PINNED if name in inferred and name not in searched]
    if "per_device_train_batch_size" in searched:
        names = [name for name in names if name != "gradient_accumulation_steps"]
    if searched & {"model_name_or_path", "text_template", "prompt_template", "completion_template", "on_long"}:
        names = [name for name in names if name != "max_length"]
    pins: dict[str, Any] = {name: inferred[name] for name in names}
    if first.settings.precision == "auto" and "precision" not in searched:
        pins["precision"] = first.training.precision
    return pins


def resolved(plan: RunPlan, name: str) -> Any:
    """Return the value of a setting in a run, as decided; None where it has none."""
    training = plan.training
    decided = {
        "learning_rate": training.learning_rate,
        "per_device_train_batch_size": training.batch_size,
        "per_device_eval_batch_size": training.eval_batch_size,
        "gradient_accumulation_steps": training.accumulation,
        "max_steps": training.steps,
        "precision": training.precision,
        "max_length": plan.encoding.max_length,
    }
    if name in decided:
        return decided[name]
    settings = plan.settings
    chosen = {"method": settings.method, "loss": plan.loss.name}
    taking = [each for each in takers(type(settings), name) if each.option in chosen]
    if taking:
        of_chosen = next((each for each in taking if chosen[each.option] == each.name), None)
        config = METHODS.get(settings.method).Config if of_chosen and of_chosen.option == "method" else None
        found = config_of(settings, config) if config else settings
        return found.model_dump(mode="json").get(name) if of_chosen else None
    plain = settings.model_dump(mode="json")
    inferred = {setting.name: setting.value for setting in plan.inferred}
    value = plain.get(name)
    if value is None:
        value = inferred.get(name, _field(settings, name))
    return value


def _field(settings: FinetuneSettings, name: str) -> Any:
    """The value of a field of ``TrainingArguments``."""
    from graft.training.arguments import default_of, passed

    return passed(settings).get(name, default_of(name))
