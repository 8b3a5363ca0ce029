"""People's judgments: the lines of judgments.jsonl, and the section of evaluation.json."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from graft.documents import read_object
from graft.runs.record import Count, Record, read_lines, validate

JUDGMENTS = "judgments.jsonl"
RATING = "rating.json"
JUDGE = "judge.jsonl"
JUDGE_ANSWERS = "judge_answers.jsonl"
Choice = Literal["left", "right", "tie", "both_bad"]
CHOICES: tuple[Choice, ...] = ("left", "right", "tie", "both_bad")


class JudgmentRecord(Record):
    """A line of judgments.jsonl or judge.jsonl: what a rater said of two answers. The last line of a rater counts.

    Attributes:
        item: What was judged: a hash of the prompt, the models and their answers.
        row: The origin of the row.
        rater: Who judged; of a model as judge its name.
        left: The model whose answer stood on the left, or first.
        right: The other model.
        choice: Which answer is better, or that neither is.
        criteria: By criterion: the grades of the left and of the right answer; one that was omitted is None.
        comment: What the rater wrote.
        time: When, in UTC.
        seconds: How long the row was on the page.
        source: ``page``, ``sheet``, or ``judge``.
    """

    item: str
    row: str = ""
    rater: str
    left: str
    right: str
    choice: Choice
    criteria: dict[str, list[int | None]] = Field(default_factory=dict)
    comment: str = ""
    time: str = ""
    seconds: float | None = None
    source: str = "page"


class ItemRecord(Record):
    """What is judged: a prompt and the answers of two models.

    Attributes:
        item: A hash of the prompt, the models and their answers.
        row: The origin of the row.
        prompt: The prompt.
        reference: The reference answer.
        first: The name of a model.
        second: The name of the other model.
        answers: The answers of the first and of the second.
    """

    item: str
    row: str = ""
    prompt: str = ""
    reference: str = ""
    first: str
    second: str
    answers: Annotated[list[str], Field(min_length=2, max_length=2)]


class QuestionRecord(Record):
    """A criterion as raters are asked; see ``evaluation.human.Criterion``."""

    name: str
    question: str
    low: int = 1
    high: int = 5
    labels: list[str] = Field(default_factory=list)


class RatingRecord(Record):
    """rating.json: what raters are asked. A sheet belongs to the run whose ``id`` it has.

    Attributes:
        id: A random name.
        seed: Seed of which answer stands on the left.
        models: The models that are compared.
        items: What is judged.
        criteria: Further questions.
        same: The rows that are not judged because the answers are the same.
    """

    id: str
    seed: Count = 42
    models: list[str]
    items: list[ItemRecord] = Field(default_factory=list)
    criteria: list[QuestionRecord] = Field(default_factory=list)
    same: Count = 0


class PairRecord(Record):
    """The judgments of two models; see ``evaluation.human.Preference``.

    Attributes:
        p_adjusted: p, adjusted by Holm's method where several pairs of models were compared.
        needed: The number of decided judgments that would prove a preference as strong as the one seen; None for none.
        more: How many more judgments that is, ties among them; 0 where it is proven.
    """

    first: str
    second: str
    judgments: Count
    rows: Count
    raters: Count
    wins: Count
    losses: Count
    ties: Count
    both_bad: Count
    share: float | None = None
    low: float | None = None
    high: float | None = None
    rater_low: float | None = None
    rater_high: float | None = None
    rows_for: Count = 0
    rows_against: Count = 0
    p: float = 1.0
    p_adjusted: float = 1.0
    needed: Count | None = None
    more: Count | None = None


class StrengthRecord(Record):
    """The Bradley–Terry strength of a model in logits, with its 95 % interval; the mean of all models is 0."""

    model: str
    strength: float
    low: float
    high: float


class GradeRecord(Record):
    """The mean grade of a model by a criterion, with its 95 % interval over rows."""

    model: str
    mean: float
    low: float
    high: float
    n: Count


class CriterionRecord(Record):
    """A criterion: what was asked, the scale, the grades, and Krippendorff's alpha for ordinal values."""

    name: str
    question: str = ""
    low: int = 1
    high: int = 5
    grades: list[GradeRecord] = Field(default_factory=list)
    alpha: float | None = None


class JudgeRecord(Record):
    """A model as judge, which is never counted among the people.

    Attributes:
        model: Its name on the server.
        url: The server's address, without a query.
        rows: The pairs of answers that it was asked for, each in both orders.
        consistent: The pairs for which it said the same in both orders.
        no_answer: The requests whose answer named none of the choices.
        pairs: Its preferences; a pair with different verdicts in the two orders is a tie.
        left: How often the first answer won, of the decided requests.
        decided: The decided requests.
        compared: The pairs of answers that people judged, too.
        agreed: Those for which the judge said what most people said.
        alpha: Krippendorff's alpha of the judge and the majority of the people.
    """

    model: str
    url: str = ""
    rows: Count
    consistent: Count
    no_answer: Count = 0
    pairs: list[PairRecord] = Field(default_factory=list)
    left: Count = 0
    decided: Count = 0
    compared: Count = 0
    agreed: Count = 0
    alpha: float | None = None


class JudgmentsRecord(Record):
    """``judgments`` of evaluation.json.

    Attributes:
        models: The models that were compared.
        rows: The rows that were judged.
        raters: The number of raters. Their names are in judgments.jsonl alone.
        judgments: The judgments that count: the last of each rater for each pair of answers.
        pairs: By pair of models.
        strengths: Of more than two models; the strongest first.
        tie_added: Whether each pair was given one tie more, so that all strengths are finite.
        alpha: Krippendorff's alpha of the choices (nominal); None where no two raters judged the same.
        alpha_rows: The pairs of answers that two or more raters judged.
        left: How often the answer on the left won.
        decided: The judgments that called one answer better.
        left_p: The two-sided p-value of left against right.
        criteria: The grades.
        same: The rows whose answers are the same, which nobody has to judge.
        of_other_answers: Judgments in the file that are of answers that the models no longer give; they do not count.
        judge: A model as judge, if one was asked.
    """

    models: list[str] = Field(default_factory=list)
    rows: Count = 0
    raters: Count = 0
    judgments: Count = 0
    pairs: list[PairRecord] = Field(default_factory=list)
    strengths: list[StrengthRecord] = Field(default_factory=list)
    tie_added: bool = False
    alpha: float | None = None
    alpha_rows: Count = 0
    left: Count = 0
    decided: Count = 0
    left_p: float = 1.0
    criteria: list[CriterionRecord] = Field(default_factory=list)
    same: Count = 0
    of_other_answers: Count = 0
    judge: JudgeRecord | None = None


def read_judgments(folder: Path, name: str = JUDGMENTS) -> list[JudgmentRecord]:
    """Read the judgments of a folder; none if there are none. A last line that was cut off is omitted.

    Raises:
        InputError: If another line is damaged.
    """
    return read_lines(folder / name, JudgmentRecord)


def read_rating(folder: Path) -> RatingRecord | None:
    """Read what raters are asked; None if nothing was ever judged.

    Raises:
        InputError: If it is damaged.
    """
    path = folder / RATING
    return validate(RatingRecord, read_object(path), str(path)) if path.is_file() else None
