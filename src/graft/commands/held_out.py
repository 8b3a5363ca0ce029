"""The score of a model on the held-out rows that no trial is selected by."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from graft.commands.model_training import with_teacher
from graft.commands.monitor import make_monitor
from graft.planning.plan import RunPlan


def untouched_score(plan: RunPlan, model: Any) -> dict[str, Any]:
    """Return the score on ``plan.untouched``, the same as is monitored: for a record; nothing if there are no rows.

    Returns:
        ``untouched``, and of a held-out loss ``untouched_rows``: by row the loss in nats, and the number of its tokens.
    """
    if not plan.untouched:
        return {}
    if plan.training.metric == "loss":
        rows = _losses(with_teacher(plan), model)
        return {"untouched": sum(loss for loss, _ in rows) / sum(count for _, count in rows), "untouched_rows": rows}
    monitor = make_monitor(plan, model, untouched=True)
    assert monitor is not None
    return {"untouched": monitor()[plan.training.metric]}


def _losses(plan: RunPlan, model: Any) -> list[tuple[float, int]]:
    """Loss and tokens of each row, with the engine and the precision of the training."""
    import torch

    from graft.engine import fused
    from graft.training.collate import make_collate, make_loss
    from graft.training.engine_choice import engine_for

    device = next(model.parameters()).device
    precision = plan.training.precision
    engine = engine_for(plan.settings.engine, precision, model, plan.loss, plan.objective)
    collate = make_collate(engine.is_packed, plan.tokenizer.pad_token_id, plan.objective)
    loss = make_loss(engine.is_packed, plan.loss, device, plan.objective)
    found = []
    model.eval()
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        if engine.is_packed:
            stack.enter_context(fused(model, engine.name))
        if precision != "float32":
            stack.enter_context(torch.autocast(device.type, getattr(torch, precision)))
        for row in plan.untouched:
            batch = {
                name: value.to(device) if hasattr(value, "to") else value
                for name, value in collate([row]).items()
                if name not in {"rows", "tokens", "examples"}
            }
            tokens = int((batch["labels"] != -100).sum())
            if tokens:
                found.append((float(loss(model, batch, 1)), tokens))
    return found
