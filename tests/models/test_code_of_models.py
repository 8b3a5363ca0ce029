"""Code that comes with a model runs in no command without ``--trust_remote_code``."""

import io
import json
import os
from pathlib import Path

import pytest
import yaml

from graft.cli.main import main
from tiny_models import tiny_model_folder

CODE = """
import os
open(os.environ["GRAFT_TEST_MARK"], "w").close()
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
class MineConfig(LlamaConfig):
    model_type = "mine"
class MineModel(LlamaForCausalLM):
    config_class = MineConfig
class MineTokenizer(PreTrainedTokenizerFast):
    pass
"""
AUTO_MAP = {"AutoConfig": "mine.MineConfig", "AutoModelForCausalLM": "mine.MineModel"}
COMMANDS = {
    "finetune": ["finetune", "MODEL", "DATA", "--output_path", "OUT", "--max_steps", "1"],
    "a dry run": ["finetune", "MODEL", "DATA", "--output_path", "OUT", "--dry_run"],
    "evaluate": ["evaluate", "MODEL", "--data_files", "DATA", "--max_new_tokens", "2"],
    "chat": ["chat", "MODEL", "--max_new_tokens", "2"],
    "show": ["show", "MODEL"],
    "doctor": ["doctor", "MODEL"],
    "auto-opt": ["auto-opt", "MODEL", "--output_path", "OUT", "--format", "hf"],
    "generate-adapter": ["generate-adapter", "ADAPTER", "--base", "MODEL", "--output_path", "OUT"],
    "run": ["run", "--config", "WORKFLOW"],
}


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The paths of the command lines; the model's code leaves a mark when it runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRAFT_TEST_MARK", str(tmp_path / "ran"))
    monkeypatch.setattr("sys.stdin", io.StringIO("hi\n"))
    model = tiny_model_folder(tmp_path)
    (model / "mine.py").write_text(CODE, encoding="utf-8")
    rows = [json.dumps({"prompt": f"question {n}", "completion": f"answer {n}"}) for n in range(12)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    record = {"peft_type": "LORA", "base_model_name_or_path": str(model), "r": 2, "target_modules": ["q_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(record), encoding="utf-8")
    (adapter / "adapter_model.safetensors").write_bytes((model / "model.safetensors").read_bytes())
    tuned = {"model_name_or_path": str(model), "data_files": ["rows.jsonl"], "max_steps": 1, "output_path": "out"}
    workflow = {"passes": {"tuned": {"type": "finetune", **tuned}}}
    (tmp_path / "flow.yaml").write_text(yaml.safe_dump(workflow), encoding="utf-8")
    places = {"MODEL": model, "DATA": "rows.jsonl", "OUT": "out", "ADAPTER": adapter, "WORKFLOW": "flow.yaml"}
    return {name: str(place) for name, place in places.items()}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_model_defined_by_code_is_refused(command: str, words: dict[str, str], tmp_path: Path) -> None:
    change(Path(words["MODEL"]) / "config.json", model_type="mine", auto_map=AUTO_MAP)
    code = main([words.get(word, word) for word in COMMANDS[command]])
    assert not (tmp_path / "ran").exists()
    assert code == 2 or command in ("show", "doctor")


@pytest.mark.parametrize("command", COMMANDS)
def test_code_beside_a_known_model_does_not_run(command: str, words: dict[str, str], tmp_path: Path) -> None:
    model = Path(words["MODEL"])
    change(model / "config.json", auto_map=AUTO_MAP)
    change(model / "tokenizer_config.json", auto_map={"AutoTokenizer": ["mine.MineTokenizer", "mine.MineTokenizer"]})
    change(model / "tokenizer_config.json", tokenizer_class="MineTokenizer")
    main([words.get(word, word) for word in COMMANDS[command]])
    assert not (tmp_path / "ran").exists()


def test_the_code_would_leave_a_mark(words: dict[str, str], tmp_path: Path) -> None:
    change(Path(words["MODEL"]) / "config.json", model_type="mine", auto_map=AUTO_MAP)
    line = [words.get(word, word) for word in COMMANDS["evaluate"]]
    assert main([*line, "--trust_remote_code"]) == 0 and (tmp_path / "ran").exists()
    assert os.environ["GRAFT_TEST_MARK"] == str(tmp_path / "ran")
