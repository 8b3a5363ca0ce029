"""``graft finetune`` as a user runs it, without the comparison afterwards. See ``turns.py``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import turns


def main() -> None:
    from graft.cli.main import let_threads_sleep

    let_threads_sleep()
    config = turns.given()
    import torch

    from graft.commands.finetune import carry_out
    from graft.planning.plan import plan_run
    from graft.planning.settings import finetune_settings
    from graft.progress import Silent

    torch.set_num_threads(config["threads"])
    last = config["stops"][-1]
    given = {"output_path": Path(config["output"]) / "run", "max_steps": last, "save_steps": last, "evaluate": False}
    settings = finetune_settings({**config["settings"], **config["options"], **given})
    plan = plan_run(settings)
    turns.watch(config)
    carry_out(replace(plan, rows=plan.rows[: config["rows_used"]], held_out=[]), Silent())


if __name__ == "__main__":
    main()
