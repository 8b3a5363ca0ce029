"""The embedded model, from the command line to the report."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def hub():
    """A server where the hub would be; gives what was asked of it."""
    heard: list[str] = []

    class Listener(BaseHTTPRequestHandler):
        def do_HEAD(self):
            heard.append(self.path)
            self.send_error(404)

        do_GET = do_POST = do_HEAD

        def log_message(self, format, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", heard
    server.shutdown()


def test_a_run_of_the_embedded_model_asks_the_hub_nothing(tone, tmp_path, hub):
    endpoint, heard = hub
    run = tmp_path / "run"
    command = [sys.executable, "-m", "graft.cli.main", "finetune", "smollm2-135m-instruct", str(tone), "-o", str(run)]
    command += ["--max_steps", "2", "--eval_steps", "1", "--per_device_train_batch_size", "4", "--json"]
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_OFFLINE": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert heard == []
    assert "Warning" not in done.stderr
    document = json.loads(done.stdout)
    assert document["manifest"]["base"]["name"] == "smollm2-135m-instruct"
    assert document["manifest"]["base"]["license"] == "apache-2.0"
    assert set(document["evaluation"]["predictors"]) == {"base", "tuned"}
