"""``graft rate --judge``: a model as judge, asked for each pair of answers in both orders."""

from __future__ import annotations

from collections.abc import Sequence

from graft.commands.rate import OpenRating
from graft.commands.served import check_body, endpoint_of, say_what_is_sent
from graft.config import RateSettings
from graft.evaluation.human.judge import MAX_NEW_TOKENS, judge_examples, judge_section, verdict_records
from graft.evaluation.human.summary import judgments_section
from graft.evaluation.store import add_section
from graft.inference.endpoint import EndpointPredictor
from graft.inference.kept_answers import KeptAnswers
from graft.inference.server_url import ServerUrl
from graft.progress import Reporter
from graft.runs.evaluation_document import read_evaluation
from graft.runs.judgment_record import JUDGE, JUDGE_ANSWERS, JudgmentRecord
from graft.runs.record import dump_lines


def ask_judge(opened: OpenRating, settings: RateSettings, reporter: Reporter) -> None:
    """Let a model judge what people judge; its answers are kept as they come, apart from those of people.

    The caller holds the folder, and ``finish_rating`` adds up the results.

    Raises:
        InputError: If the server cannot be reached or lacks the model.
        GraftError: If a request fails after all tries; the answers so far are kept.
    """
    assert settings.judge is not None
    check_body(settings.endpoint_body)
    rating, path = opened.rating, opened.folder.path
    endpoint = endpoint_of(ServerUrl.parse(settings.judge), settings, {})
    model = endpoint.model_name(settings.judge_model)
    examples = judge_examples(rating.items, settings.show_reference)
    say_what_is_sent(model, endpoint.server, f"{len(rating.items):,} rows with two answers each, twice", reporter)
    judge = EndpointPredictor(model, model, endpoint, KeptAnswers(path / JUDGE_ANSWERS), refusals=len(examples))
    limit = settings.max_new_tokens or MAX_NEW_TOKENS
    answers = judge.generate(examples, limit, lambda done, total: reporter.advance("judging", done, total))
    verdicts = verdict_records(rating.items, answers, model)
    opened.folder.write_text(JUDGE, dump_lines(verdicts))
    _record(opened, verdicts, model, endpoint.server.base)


def _record(opened: OpenRating, verdicts: Sequence[JudgmentRecord], model: str, url: str) -> None:
    """Record which model was asked where, and for how many rows."""
    known = read_evaluation(opened.folder.path)
    before = known.judgments.document() if known is not None and known.judgments is not None else None
    models = opened.rating.record.models
    section = before or judgments_section([], models)
    asked = len(opened.rating.items)
    judge = judge_section(verdicts, opened.rating.store.records, models, model, url, asked)
    add_section(opened.folder, "judgments", {**section, "judge": judge})
