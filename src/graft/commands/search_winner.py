"""The winner of a search as an ordinary run: trained by ``graft finetune``, and compared with its trial."""

from __future__ import annotations

from typing import Any

from graft.commands.content import clear
from graft.commands.finetune import carry_out
from graft.commands.finetune import plan as plan_of_run
from graft.commands.held_out import untouched_score
from graft.commands.search_folder import SearchFolder
from graft.commands.search_plan import SearchPlan
from graft.planning.plan import RunPlan
from graft.progress import Reporter
from graft.runs.folder import RunFolder
from graft.runs.kind import is_run
from graft.runs.manifest import read_run, read_search
from graft.runs.search_manifest import TrialRecord
from graft.search.journal import Journal
from graft.training.weights import tuned_weights, weights_sha256


def train_winner(plan: SearchPlan, folder: SearchFolder, winner: TrialRecord, reporter: Reporter) -> None:
    """Train the run of the winner into ``best``, check that it is bit-equal to its trial, and score it.

    A run of the same winner that was interrupted goes on; one that is finished stays.

    Raises:
        Interrupted: When the user stops it.
        GraftError: When the training failed.
    """
    same = read_search(folder.path).winner == winner.number and is_run(folder.winner)
    if same and read_run(folder.winner).status == "finished":
        return
    folder.update(winner=winner.number)
    value = f"{winner.value:.4f}" if winner.value is not None else "no score"
    reporter.note(f"the best is trial {winner.number} ({value}); training it as a run: {folder.winner}")
    if not is_run(folder.winner):  # killed before it was one
        clear(folder.winner)
    run = plan_of_run(_settings(plan, folder, winner, resume=same), reporter)

    def trained(_: RunFolder, model: Any) -> None:
        """Compare with the trial, and score on rows that no trial saw."""
        _check_equal(winner, weights_sha256(tuned_weights(model)), reporter)
        _record_untouched(folder, winner, run, model)

    carry_out(run, reporter, trained)


def _settings(plan: SearchPlan, folder: SearchFolder, winner: TrialRecord, resume: bool) -> Any:
    settings = plan.settings_of(winner.settings if winner.number else {})
    return settings.model_copy(
        update={"output_path": folder.winner, "resume": resume, "overwrite": not resume},
    )


def _check_equal(winner: TrialRecord, weights: str, reporter: Reporter) -> None:
    if weights != winner.weights:
        reporter.note(
            f"warning: the weights of the run differ from those of trial {winner.number} (SHA-256 {weights[:12]}, "
            f"{str(winner.weights)[:12]}), so its scores may differ, too; other threads, another processor, or a batch "
            "that did not fit in memory change the last bits"
        )


def _record_untouched(folder: SearchFolder, winner: TrialRecord, run: RunPlan, model: Any) -> None:
    journal = Journal(folder.path)
    found = next((record for record in journal.read() if record.number == winner.number), None)
    if found is not None and found.untouched is None:
        scored = untouched_score(run, model)
        if scored:
            journal.replace(found.model_copy(update=scored))
