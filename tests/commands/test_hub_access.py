"""Every command that takes a hub id asks for it with the revision and the token that were given."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from graft.cli.main import main

TOKEN = "hf_given"


class Hub(BaseHTTPRequestHandler):
    """Knows no model, and remembers what it was asked for, and with which right."""

    asked: list[tuple[str, str | None]]

    def do_GET(self):
        self.asked.append((self.path, self.headers.get("Authorization")))
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *words):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    from huggingface_hub import constants

    handler = type("AskedHub", (Hub,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield handler.asked
    server.shutdown()
    server.server_close()


ACCESS = ("--model_revision", "v2", "--token", TOKEN)


@pytest.mark.parametrize(
    "words",
    [
        ("finetune", "someone/private", "{tone}", "-o", "{out}"),
        ("run", "--config", "{workflow}", "-o", "{out}"),
        ("evaluate", "someone/private", "--data_files", "{tone}", "-o", "{out}"),
        ("chat", "someone/private", "--prompt", "hello"),
        ("auto-opt", "someone/private", "-o", "{out}"),
        ("generate-adapter", "--base_model_path", "someone/private", "--adapter_paths", "a", "-o", "{out}"),
    ],
)
def test_revision_and_token_reach_the_hub(hub, tone, tmp_path, capsys, words):
    workflow = tmp_path / "workflow.yaml"
    document = {"model": {"config": {"model_path": "someone/private"}}, "passes": {"lora": {"type": "LoRA"}}}
    document["data_configs"] = [{"name": "a", "load_dataset_config": {"data_files": str(tone)}}]
    workflow.write_text(yaml.safe_dump(document), encoding="utf-8")
    places = {"tone": tone, "out": tmp_path / "out", "workflow": workflow}
    code = main([*(word.format(**places) for word in words), *ACCESS])
    err = capsys.readouterr().err
    assert (
        code == 2
        and "the Hub has no such model, or you do not have access to it" in err
        and not (tmp_path / "out").exists()
    )
    assert TOKEN not in err
    path, right = next(asked for asked in hub if "someone" in asked[0])
    assert "/someone/private/" in path and "/v2" in path and right == f"Bearer {TOKEN}"


def test_a_teacher_is_asked_for_with_the_token_and_without_the_models_revision(hub, given, capsys):
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    assert main(["finetune", *words, "--teacher", "someone/large", "--token", TOKEN]) == 2
    path, right = next(asked for asked in hub if "someone" in asked[0])
    assert "/someone/large/" in path and "/main" in path and right == f"Bearer {TOKEN}"


@pytest.mark.parametrize("command", ["evaluate", "chat", "finetune"])
def test_a_folder_has_no_revision(tiny_llama, tone, tmp_path, capsys, command):
    words = {
        "evaluate": ("--data_files", tone),
        "chat": ("--prompt", "hello"),
        "finetune": (tone, "-o", tmp_path / "o"),
    }
    code = main([command, str(tiny_llama), *map(str, words[command]), "--model_revision", "v2"])
    assert code == 2
    assert "tiny-llama is not a Hub model, so it has no revision 'v2'" in capsys.readouterr().err
