"""Settings of ``graft rate``."""

from __future__ import annotations

from pathlib import Path

from graft.config.base import Settings, setting
from graft.config.served import ServerSettings
from graft.config.types import Listed


class RatingSettings(Settings):
    """What is judged, and by whom."""

    compare: Listed | None = setting(
        None,
        "whose answers to compare, two or more: names of predictors such as base and tuned, reference, a bundle, a "
        "run, a model, or the address of a server (default: base,tuned)",
    )
    rows: int = setting(50, "number of rows to judge", gt=0, le=100_000)
    raters: Listed = setting(("rater",), "names of the raters")
    per_row: int | None = setting(None, "number of raters for each row (default: all raters)", gt=0)
    criteria: Path | None = setting(None, "YAML file of further questions with their scales")
    show_reference: bool = setting(False, "show the reference answer to raters")
    max_new_tokens: int | None = setting(
        None, "maximum number of tokens in an answer that is generated (default: as the run was evaluated)", gt=0
    )
    seed: int = setting(42, "random seed of the rows and of the order of answers", ge=0, lt=2**32)


class RatingPlaceSettings(Settings):
    """Where it is judged."""

    port: int = setting(0, "port of the local page (default: a free one)", ge=0, lt=65536)
    open: bool = setting(False, "open the page of the first rater in the browser")
    export_path: Path | None = setting(
        None, "write a sheet for each rater, .csv or .html, instead of serving the page", "export"
    )
    import_path: Listed | None = setting(None, "read judgments from sheets that came back", "import")
    results: bool = setting(False, "print the results of the judgments so far and judge nothing")


class JudgeSettings(ServerSettings):
    """A model as judge, and servers whose answers are compared."""

    judge: str | None = setting(None, "address of an OpenAI-compatible server whose model judges the same answers")
    judge_model: str | None = setting(None, "name of the judge's model on its server (default: the only one)")
    model_name_or_path: str | None = setting(
        None, "name of the model of a server in --compare (default: the only one)", "model"
    )


class RateSettings(RatingSettings, RatingPlaceSettings, JudgeSettings):
    """All settings of ``graft rate``."""
