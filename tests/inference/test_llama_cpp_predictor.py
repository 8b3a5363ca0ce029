import pytest

pytest.importorskip("xllamacpp")

from graft.data.chat_template import Renderer
from graft.data.example import AnswerExample, Origin
from graft.errors import InputError
from graft.export.gguf.writer import write_gguf
from graft.inference.llama_cpp_predictor import LlamaCppPredictor
from graft.inference.torch import TorchPredictor
from graft.models.base import load_model, load_tokenizer, open_run_or_model
from tiny_models import CHATML, tiny_model_folder

MARKED = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<|im_start|>assistant\n"
    "{% generation %}{{ m.content }}<|im_end|>"
    "{% endgeneration %}\n{% else %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ROWS = [
    AnswerExample(({"role": "user", "content": "What is the tone?"},), "positive", Origin("rows", 1)),
    AnswerExample(
        ({"role": "system", "content": "Be short."}, {"role": "user", "content": "12 + 30, 東京"}),
        "42",
        Origin("rows", 2),
    ),
    AnswerExample("the quick brown", " fox", Origin("rows", 3)),
]


@pytest.fixture(scope="module", params=["chatml", "marked", "none"])
def pair(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gguf")
    base = open_run_or_model(tiny_model_folder(folder, "qwen2", width=64)).base
    model, tokenizer = load_model(base).eval(), load_tokenizer(base)
    tokenizer.chat_template = {"chatml": CHATML, "marked": MARKED, "none": None}[request.param]
    write_gguf(model, tokenizer, folder / "m.gguf", "float32", {}, name="m", license=None)
    found = LlamaCppPredictor.open(folder / "m.gguf", "gguf")
    yield TorchPredictor("torch", model, tokenizer, Renderer(tokenizer)), found
    found.runtime.close()


def test_answers_are_pytorchs(pair):
    torch, own = pair
    assert own.generate(ROWS, 12) == torch.generate(ROWS, 12)


def test_likelihoods_are_pytorchs(pair):
    torch, own = pair
    texts = [["positive", "negative"], ["42"], [" fox", " dog", ""]]
    for mine, theirs in zip(own.score(ROWS, texts), torch.score(ROWS, texts), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-3)
            assert (a.tokens, a.is_greedy) == (b.tokens, b.is_greedy)


def test_the_tokenizer_of_the_file_is_the_models(pair):
    torch, own = pair
    theirs, mine = torch.tokenizer, own.tokenizer
    assert (len(mine), mine.eos_token, mine.bos_token) == (len(theirs), theirs.eos_token, theirs.bos_token)
    ids = theirs("I <|im_end|> love 東京", add_special_tokens=False)["input_ids"]
    assert mine("I <|im_end|> love 東京", add_special_tokens=False).input_ids == ids
    assert mine.decode(ids, skip_special_tokens=True) == theirs.decode(ids, skip_special_tokens=True)
    assert Renderer(mine).turn_end == Renderer(theirs).turn_end


def test_rows_that_are_too_long_are_named(pair):
    long = AnswerExample("zebra " * 200, "x", Origin("rows.jsonl", 7))
    with pytest.raises(InputError, match=r"rows.jsonl.*7.*1 of 1 rows are longer than the 512 tokens"):
        pair[1].generate([long], 4)
