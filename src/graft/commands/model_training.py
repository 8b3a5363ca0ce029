"""From a plan to a model that is ready to be trained, and to the request that trains it: of a run and of a trial."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from graft.commands.monitor import make_monitor
from graft.config import config_of
from graft.methods import METHODS
from graft.planning.continuing import load_parent
from graft.planning.plan import RunPlan
from graft.runs.folder import RunFolder
from graft.tasks.load import load_for, new_heads

if TYPE_CHECKING:
    from graft.training.loop import TrainRequest


def prepared_model(plan: RunPlan, loaded: Any = None) -> Any:
    """Return the base model or the earlier run, made ready by the method: what is tuned requires gradients.

    Args:
        plan: The run.
        loaded: Its base, as ``load_for`` loads it; None to load what the plan names.

    Raises:
        InputError: If it does not load, or the method does not fit the model.
    """
    import transformers

    transformers.set_seed(plan.settings.seed)
    method = METHODS.get(plan.settings.method)
    model = loaded
    if plan.parent is not None:
        model = load_parent(plan.parent, plan.task, plan.encoding, plan.settings.seed, trainable=True)
        if plan.parent.opened.adapter is not None:
            return model
    elif model is None:
        seed = plan.settings.seed
        model = load_for(plan.task, plan.encoding, plan.base, seed, to_quantize=method.quantizes)
    return method.prepare(model, config_of(plan.settings, method.Config), plan.settings.seed, new_heads(model))


def with_teacher(plan: RunPlan, model: Any = None) -> RunPlan:
    """Return ``plan`` with the teacher of its distillation, where it has one that is not there yet.

    Args:
        plan: The run.
        model: The teacher's model; None to load it.

    Raises:
        InputError: If it does not load.
    """
    from graft.training.losses.distillation import load_teacher

    if plan.loss.teacher is None or plan.loss.teacher_model is not None:
        return plan
    return replace(plan, loss=plan.loss.with_teacher(model or load_teacher(plan.loss.teacher)))


def training_request(run: RunFolder, model: Any, plan: RunPlan, **more: Any) -> TrainRequest:
    """Return what trains ``model`` as ``plan`` says; ``more`` are further fields of it.

    Raises:
        InputError: If the teacher of a distillation does not load.
    """
    from graft.training.loop import TrainRequest

    return TrainRequest(
        model=model,
        pad_token_id=plan.tokenizer.pad_token_id,
        rows=plan.rows,
        held_out=plan.monitored,
        settings=plan.settings,
        schedule=plan.training,
        run=run,
        loss=with_teacher(plan).loss,
        objective=plan.objective,
        monitor=make_monitor(plan, model),
        extended_from=plan.extensions[-1].from_step if plan.extensions else None,
        **more,
    )
