"""Models tuned by each method with random weights, and how far each export of them is from the model itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers

from graft.config import ExportSettings, GgufConfig, OnnxGenaiConfig, Settings
from graft.errors import InputError
from graft.export.adapter_placement import SourceModels, placements
from graft.export.merge import check_mergeable, load_judged, merge_judged
from graft.export.onnx.export_builder import HOT_SWAPPABLE, MERGED, ExportBuilder, Variant
from graft.export.onnx.lora_adapter import adapter_path
from graft.export.onnx.session import OnnxSession
from graft.export.source import ExportSource, open_source
from graft.export.target import TARGETS
from graft.methods import METHODS
from graft.methods.peft_types import TYPES
from graft.models.new_tokens import NewToken, grow, write_record
from graft.progress import SILENT
from graft.tasks.load import load_for, new_heads
from tiny_models import tiny_model, tiny_model_tokenizer
from tiny_task_models import tiny_bert_folder

BOUND = 1e-4
LAYERS, HEAD, EMBEDDINGS = ("q_proj", "down_proj"), ("lm_head",), ("embed_tokens",)
ENCODER_LAYERS = ("query", "output.dense")
NEW = (NewToken("<tool>", 381, pieces=(9, 10)), NewToken("</tool>", 382, pieces=(11, 12)))


@dataclass(frozen=True)
class Case:
    """A way to tune: the method's name and title, what is tuned, the method's options, and tokens that are added."""

    method: str
    title: str
    where: str
    options: dict[str, Any] = field(default_factory=dict)
    new_tokens: tuple[NewToken, ...] = ()


def _targets(*names: Sequence[str]) -> dict[str, Any]:
    return {"target_modules": tuple(name for part in names for name in part)}


def _rank(method: str) -> dict[str, Any]:
    return {"lora_r": 4} if "lora_r" in METHODS.get(method).Config.model_fields else {}


LORA = {"lora_r": 4, "lora_alpha": 8}
BOTH = _targets(LAYERS, HEAD, EMBEDDINGS)
CAUSAL = (
    Case("full", "full fine-tuning", "all weights"),
    Case("lora", "LoRA", "layers", LORA | _targets(LAYERS)),
    Case("lora", "LoRA", "layers, head", LORA | _targets(LAYERS, HEAD)),
    Case("lora", "LoRA", "layers, embeddings", LORA | _targets(LAYERS, EMBEDDINGS)),
    Case("lora", "LoRA", "layers, head, embeddings", LORA | BOTH),
    Case("lora", "LoRA", "layers, new tokens", LORA | _targets(LAYERS), NEW),
    Case("lora", "LoRA", "layers, whole head", LORA | _targets(LAYERS) | {"modules_to_save": HEAD}),
    Case("lora", "LoRA", "layers, whole embeddings", LORA | _targets(LAYERS) | {"modules_to_save": EMBEDDINGS}),
    Case("lora", "rsLoRA", "layers, head", LORA | _targets(LAYERS, HEAD) | {"use_rslora": True}),
    Case("lora", "DoRA", "layers", LORA | _targets(LAYERS) | {"use_dora": True}),
    Case("lora", "DoRA", "layers, head, embeddings", LORA | BOTH | {"use_dora": True}),
    Case("qlora", "QLoRA, int4", "layers, head", LORA | _targets(LAYERS, HEAD)),
    Case("qlora", "QLoRA, int4", "layers, head, embeddings", LORA | BOTH),
    Case("adapters", "bottleneck", "layers", {"reduction_factor": 8}),
    *(
        Case(name, kind.title, "layers, head", _rank(name) | _targets(LAYERS, HEAD))
        for name, kind in TYPES.items()
        if name not in {"oft", "shira"}
    ),
    Case("oft", "OFT", "layers", _targets(LAYERS)),
    Case("shira", "SHiRA", "layers", _rank("shira") | _targets(LAYERS)),
)


def _encoder(layers: Sequence[str]) -> tuple[Case, ...]:
    return (
        Case("full", "full fine-tuning", "all weights"),
        Case("lora", "LoRA", "layers", LORA | _targets(layers)),
        Case("lora", "DoRA", "layers", LORA | _targets(layers) | {"use_dora": True}),
        Case("qlora", "QLoRA, int4", "layers", LORA | _targets(layers)),
        Case("adapters", "bottleneck", "layers", {"reduction_factor": 8}),
        *(
            Case(name, TYPES[name].title, "layers", _rank(name) | _targets(layers))
            for name in ("ia3", "loha", "lokr", "oft")
        ),
    )


def _family(layers: Sequence[str], embeddings: Sequence[str]) -> tuple[Case, ...]:
    everywhere = _targets(layers, HEAD, embeddings)
    return (
        Case("lora", "LoRA", "layers, head", LORA | _targets(layers, HEAD)),
        Case("lora", "LoRA", "layers, head, embeddings", LORA | everywhere),
        Case("lora", "DoRA", "layers, head, embeddings", LORA | everywhere | {"use_dora": True}),
        Case("qlora", "QLoRA, int4", "layers, head", LORA | _targets(layers, HEAD)),
    )


@dataclass(frozen=True)
class Base:
    """A tiny random model, what is tuned of it, and the tokens that it reads for the comparison."""

    title: str
    make: Callable[[Path], Path]
    cases: tuple[Case, ...]
    prompts: tuple[tuple[int, ...], ...] = (tuple(range(5, 25)), (7, 300, 41, 7, 120), tuple(range(200, 240)))


def causal(family: str, tied: bool) -> Callable[[Path], Path]:
    """A causal model whose head has the embeddings' weight, or its own."""

    def make(folder: Path) -> Path:
        tokenizer = tiny_model_tokenizer()
        model = tiny_model(family, tokenizer, width=64)
        assert model.config.tie_word_embeddings or not tied
        if not tied and model.config.tie_word_embeddings:
            model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().flip(0).clone())
            model.config.tie_word_embeddings = False
        return _saved(model, tokenizer, folder)

    return make


def with_head(auto_class: str | None, labels: int) -> Callable[[Path], Path]:
    """An encoder with a head, or without one."""

    def make(folder: Path) -> Path:
        plain = tiny_bert_folder(folder)
        if auto_class is None:
            return plain
        names = {index: f"class-{index}" for index in range(labels)}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = getattr(transformers, auto_class).from_pretrained(
                plain, id2label=names, label2id={name: index for index, name in names.items()}
            )
        return _saved(model, transformers.AutoTokenizer.from_pretrained(plain), folder / "with-head")

    return make


def decoder_with_head(folder: Path) -> Path:
    """A causal body with a classifier; its configuration says that it ties what it does not have."""
    tokenizer = tiny_model_tokenizer()
    config = tiny_model("llama", tokenizer, width=64).config
    config.id2label = {index: f"class-{index}" for index in range(3)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.LlamaForSequenceClassification(config)
    return _saved(model, tokenizer, folder)


def _saved(model: Any, tokenizer: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


SHORT = (tuple(range(2, 20)), (2, 9, 14, 7, 3))
BASES = {
    "causal": (
        Base("tied", causal("llama", tied=True), CAUSAL),
        Base("untied", causal("llama", tied=False), CAUSAL),
    ),
    "family": (
        Base("gpt2", causal("gpt2", tied=True), _family(("c_attn", "c_proj", "c_fc"), ("wte",))),
        Base("phi3", causal("phi3", tied=False), _family(("qkv_proj", "gate_up_proj", "down_proj"), EMBEDDINGS)),
        Base("qwen2", causal("qwen2", tied=True), _family(LAYERS, EMBEDDINGS)),
        Base("gemma2", causal("gemma2", tied=True), _family(LAYERS, EMBEDDINGS)),
    ),
    "head": (
        Base(
            "text classification", with_head("AutoModelForSequenceClassification", 3), _encoder(ENCODER_LAYERS), SHORT
        ),
        Base("token classification", with_head("AutoModelForTokenClassification", 5), _encoder(ENCODER_LAYERS), SHORT),
        Base("text classification, decoder", decoder_with_head, _encoder(LAYERS), SHORT),
        Base("pairs", with_head(None, 0), _encoder(ENCODER_LAYERS), SHORT),
    ),
}


@dataclass
class Tuned:
    """A base tuned as ``case`` says, in a folder of its own.

    Attributes:
        base: The base's folder.
        case: How it is tuned.
        folder: Where the tuned weights, the merged model and exports go.
        read: Tokens to read.
    """

    base: Path
    case: Case
    folder: Path
    read: tuple[tuple[int, ...], ...]

    @cached_property
    def source(self) -> ExportSource:
        """What an export starts from: an adapter over the base, or a model; its weights are random."""
        method = METHODS.get(self.case.method)
        plain = open_source(ExportSettings(model_name_or_path=str(self.base)), SILENT)
        model = load_for(plain.task, plain.encoding, plain.base, seed=0)
        if self.case.new_tokens:
            grow(model, self.case.new_tokens)
        heads = new_heads(model) if plain.encoding.label_space.names else []
        tuned = method.prepare(model, method.Config(**self.case.options), 0, heads)
        scatter(tuned, 0.02 if self.case.method == "full" else 0.1)
        method.save(tuned, self.folder)
        written = self.folder / method.writes
        if self.case.new_tokens:
            write_record(written, self.case.new_tokens)
        if method.writes == "model":
            plain.tokenizer.save_pretrained(written)
            return open_source(ExportSettings(model_name_or_path=str(written)), SILENT)
        return open_source(ExportSettings(adapter_path=str(written)), SILENT)

    @cached_property
    def prompts(self) -> list[list[int]]:
        """Token ids to read, at the end the new tokens."""
        new = [token.id for token in self.case.new_tokens]
        return [list(ids) for ids in (*self.read, *([(5, 6, *new, 8)] if new else []))]

    @cached_property
    def judged(self) -> list[torch.Tensor]:
        """The logits (tokens, …) of the model that is judged, unmerged, for each prompt."""
        return self.logits(load_judged(self.source))

    @cached_property
    def merged(self) -> Any:
        """The merged model, also in ``folder``/merged."""
        check_mergeable(self.source.opened)
        return merge_judged(load_judged(self.source), self.source, self.folder / "merged")

    @cached_property
    def effect(self) -> float:
        """How far tuning moved the logits of the base."""
        plain = open_source(ExportSettings(model_name_or_path=str(self.base)), SILENT)
        before = self.logits(load_judged(plain))
        width = before[0].shape[-1]  # new tokens make it larger
        pairs = zip(before, self.judged, strict=False)
        return max(float((a - b[..., :width]).abs().max()) for a, b in pairs)

    def logits(self, model: Any) -> list[torch.Tensor]:
        """What ``model`` gives for each prompt but those with tokens that it does not have."""
        rows = model.get_input_embeddings().weight.shape[0]
        with torch.no_grad():
            return [
                (answer.logits if hasattr(answer, "logits") else answer[0])[0]
                for ids in self.prompts
                if max(ids) < rows
                for answer in [model(input_ids=torch.tensor([ids]))]
            ]

    def difference(self, found: Sequence[torch.Tensor]) -> float:
        """The greatest difference of logits from the model that is judged."""
        return max(float((a - b).abs().max()) for a, b in zip(self.judged, found, strict=True))


def scatter(model: Any, size: float) -> None:
    """Move everything that is trained: weights that do nothing would prove nothing."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * size)


def merged(tuned: Tuned) -> float:
    """The merged model in PyTorch."""
    return tuned.difference(tuned.logits(tuned.merged))


def model_folder(tuned: Tuned) -> float:
    """A model folder of ``--format hf``, loaded as any model is."""
    return tuned.difference(tuned.logits(load_judged(_opened(_built(tuned, "hf", Settings())))))


def onnx_merged(tuned: Tuned) -> float:
    """ONNX for onnxruntime-genai in float32."""
    return _onnx(tuned, MERGED)


def onnx_hot_swappable(tuned: Tuned) -> float:
    """ONNX with LoRA slots in float32, and the adapter in its file."""
    return _onnx(tuned, HOT_SWAPPABLE)


def _onnx(tuned: Tuned, placement: str) -> float:
    asked = OnnxGenaiConfig(adapter=placement if placement == HOT_SWAPPABLE else None)
    placements(asked, "float32", tuned.source.opened)
    model = tuned.merged if placement == MERGED else None
    models = SourceModels(tuned.source.opened, tuned.source.tokenizer, tuned.folder, model)
    made = tuned.folder / f"onnx-{placement}"
    ExportBuilder(models, "cpu", {"": []}, SILENT).make(Variant("float32", placement=placement), made)
    file = adapter_path(made, models.adapter.name) if placement == HOT_SWAPPABLE else None
    session = OnnxSession(made, file)
    return tuned.difference([torch.from_numpy(session.read(ids)[0]) for ids in tuned.prompts])


def gguf(tuned: Tuned) -> float:
    """GGUF in F32, read back."""
    from graft.models.gguf_reader import convert, read_header

    file = next(_built(tuned, "gguf", GgufConfig()).glob("*.gguf"))
    (tuned.folder / "read").mkdir()
    convert(file, tuned.folder / "read", read_header(file), "")
    return tuned.difference(tuned.logits(load_judged(_opened(tuned.folder / "read"))))


def onnx_encoder(tuned: Tuned) -> float:
    """Plain ONNX in float32."""
    from graft.export.onnx.encoder_graph import OnnxEncoder

    graph = OnnxEncoder(_built(tuned, "onnx-encoder", Settings()))
    asked = [torch.tensor([ids]) for ids in tuned.prompts]
    return tuned.difference([next(iter(vars(graph(ids, torch.ones_like(ids))).values()))[0] for ids in asked])


def _built(tuned: Tuned, name: str, config: Settings) -> Path:
    target, folder = TARGETS.get(name), tuned.folder / name
    options = ExportSettings(precision="float32", skip_parity=True)
    reason = target.can(tuned.source, options, config)
    if reason is not None:
        raise reason
    folder.mkdir()
    target.build(tuned.source, options, config, folder, SILENT)
    return folder


def _opened(folder: Path) -> ExportSource:
    return open_source(ExportSettings(model_name_or_path=str(folder)), SILENT)


Format = Callable[[Tuned], float]
PLAIN: dict[str, Format] = {"merged": merged, "model folder": model_folder}
ONNX: dict[str, Format] = {"ONNX": onnx_merged, "ONNX, hot-swappable": onnx_hot_swappable}
FORMATS: dict[str, dict[str, Format]] = {
    "causal": {**PLAIN, **ONNX, "GGUF": gguf},
    "family": {**PLAIN, **ONNX},
    "head": {**PLAIN, "ONNX": onnx_encoder},
}


def measure(tuned: Tuned, format: Format) -> float | str:
    """The greatest difference of logits, or why the export is refused."""
    try:
        return format(tuned)
    except InputError as error:
        return error.problems[0].what
