"""A study on several workers makes the trials of one process, whatever happens to the workers."""

import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from graft.config import StudySettings
from graft.errors import GraftError, InputError
from graft.progress import Silent
from graft.registry import load_attribute
from graft.search.backends import make_backend
from graft.search.backends.workers import limited
from graft.search.board import FileBoard
from graft.search.journal import Journal
from graft.search.space import Dimension, SearchSpace
from graft.search.strategies import STRATEGIES
from graft.search.study import InProcess, Study

HERE = Path(__file__).parent
MAKE = f"{HERE / 'toy_runner.py'}:make_runner"
SPACE = SearchSpace((Dimension("learning_rate", "float", 1e-5, 1e-1, log=True),))


class Notes(Silent):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


def study(folder, trials=12, strategy="random"):
    cls = STRATEGIES.get(strategy)
    search = cls(cls.Config(n_startup_trials=4) if strategy == "tpe" else cls.Config())
    return Study(SPACE, search, trials, 1, False, {"learning_rate": 1e-3}, dict, Journal(folder))


def records(found):
    return [record.model_dump(exclude={"worker", "seconds"}) for record in found]


@pytest.fixture
def alone(tmp_path):
    """The records of a study in this process."""

    def run(trials=12, strategy="random"):
        folder = tmp_path / "alone"
        folder.mkdir(exist_ok=True)
        runner = load_attribute(MAKE)({"folder": str(folder)}, FileBoard(folder))
        return records(study(folder, trials, strategy).run(InProcess(runner)))

    return run


def on_workers(folder, count=2, trials=12, strategy="random", reporter=None, **given):
    settings = StudySettings(workers=count)
    make = (MAKE, {"folder": str(folder), **given})
    backend = make_backend(settings, make, FileBoard(folder), folder, threads=1, reporter=reporter or Notes())
    try:
        return study(folder, trials, strategy).run(backend)
    finally:
        backend.close()


def starts(folder):
    """By trial, the processes in which it was started."""
    lines = [line.split() for line in (folder / "starts.txt").read_text(encoding="utf-8").splitlines()]
    return {number: [pid for other, pid in lines if other == number] for number in {number for number, _ in lines}}


@pytest.mark.parametrize("strategy", ["random", "tpe"])
@pytest.mark.parametrize("count", [2, 3])
def test_several_workers_make_the_trials_of_one_process(count, strategy, tmp_path, alone):
    found = on_workers(tmp_path, count, strategy=strategy, seconds=0.02, workers=count)
    assert records(found) == alone(strategy=strategy)
    assert {record.worker for record in found} == {f"worker {number + 1}" for number in range(count)}
    assert {"pruned", "completed"} <= {record.status for record in found}
    loaded = (tmp_path / "workers.txt").read_text(encoding="utf-8").split()
    assert len(loaded) == count and {pids[0] for pids in starts(tmp_path).values()} == set(loaded)


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_trial_whose_worker_is_killed_starts_again_and_nothing_else_does(tmp_path, alone):
    notes = Notes()
    found = on_workers(tmp_path, reporter=notes, killed=0)
    gc.collect()  # no pipe to a worker is left open
    assert records(found) == alone()
    again = {number for number, pids in starts(tmp_path).items() if len(pids) > 1}
    assert again == {"0"} and len(set(starts(tmp_path)["0"])) == 2
    (said,) = notes.said
    assert "was killed (signal 9" in said and said.endswith("trial 0 starts again on another one")


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_a_trial_that_always_ends_its_worker_is_recorded_as_failed(tmp_path, alone):
    found = on_workers(tmp_path, killed=0, always=True)
    assert (
        found[0].status == "failed"
        and "its worker ended in each of 3 attempts; the last one was killed" in found[0].error
    )
    assert len(starts(tmp_path)["0"]) == 3
    assert [record.settings for record in found] == [record["settings"] for record in alone()]


def test_what_is_wrong_with_the_settings_is_an_error_of_the_study(tmp_path):
    with pytest.raises(InputError) as caught:
        on_workers(tmp_path, refused=True)
    (problem,) = caught.value.problems
    assert (problem.what, problem.where) == ("there is no such model", "search.yaml")


def test_a_worker_that_cannot_start_is_an_error_with_what_it_said(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "MAKE", "no_such_module_there:make_runner")
    with pytest.raises(InputError, match="the module 'no_such_module_there' cannot be imported"):
        on_workers(tmp_path)
    broken = tmp_path / "broken.py"
    broken.write_text("import os\ndef make_runner(given, board):\n    os._exit(7)\n", encoding="utf-8")
    monkeypatch.setitem(globals(), "MAKE", f"{broken}:make_runner")
    with pytest.raises(GraftError, match=r"ended with exit code 7.* before it could run a trial"):
        on_workers(tmp_path)


SCRIPT = """
import sys
sys.path[:0] = [{here!r}]
from pathlib import Path
from graft.interruption import ending_by_signal
import test_workers
if __name__ == "__main__":
    with ending_by_signal():
        try:
            test_workers.on_workers(Path(sys.argv[1]), seconds=30.0)
        except KeyboardInterrupt:
            sys.exit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has other signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_the_study_ends_its_workers_end(number, tmp_path):
    script = tmp_path / "study.py"
    script.write_text(SCRIPT.format(here=str(HERE)), encoding="utf-8")
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path)])
    deadline = time.monotonic() + 120
    while not (tmp_path / "starts.txt").exists() or len(starts(tmp_path)) < 2:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.1)
    workers = [psutil.Process(int(pids[0])) for pids in starts(tmp_path).values()]
    process.send_signal(number)
    assert process.wait(60) == (-9 if number == signal.SIGKILL else 130)
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive


def test_more_workers_than_the_memory_has_room_for_are_reduced_with_a_note():
    notes = Notes()
    assert limited(4, None, notes) == limited(4, 1.0, notes) == 4 and notes.said == []
    assert limited(4, 10.0**9, notes) == 1 and limited(1, 10.0**9, notes) == 1
    (said,) = notes.said
    assert said.startswith("1 of 4 workers: each takes about 1,000,000,000 MB, and ")


def test_a_worker_runs_only_code_that_the_user_consents_to(tmp_path):
    from graft.registry import only_consented

    own = tmp_path / "own.py"
    code = "from graft.training.losses import LOSSES\n\ndef make_runner(given, board):\n    LOSSES.get(given['loss'])\n"
    own.write_text(code + "\ndef own(*given):\n    return 0\n", encoding="utf-8")
    settings, loss = StudySettings(workers=2), f"{own}:own"
    with only_consented([]):
        backend = make_backend(
            settings, (f"{own}:make_runner", {"loss": loss}), FileBoard(tmp_path), tmp_path, threads=1
        )
    with pytest.raises(InputError, match="is code that was not named on the command line"):
        study(tmp_path).run(backend)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")
def test_actors_of_ray_make_the_same_trials_and_a_killed_one_is_replaced(tmp_path, alone):
    pytest.importorskip("ray")
    notes = Notes()
    settings = StudySettings(workers=2, ray="local")
    make = (MAKE, {"folder": str(tmp_path), "killed": 2, "seconds": 0.02})
    backend = make_backend(settings, make, FileBoard(tmp_path), tmp_path, threads=1, reporter=notes)
    try:
        found = study(tmp_path).run(backend)
    finally:
        backend.close()
    assert records(found) == alone()
    assert {"ray worker 1", "ray worker 2"} & {record.worker for record in found}
    assert {number for number, pids in starts(tmp_path).items() if len(pids) > 1} == {"2"}
    assert "trial 2 starts again on another one" in notes.said[0]
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_a_cluster_that_is_not_there_is_an_error(tmp_path):
    pytest.importorskip("ray")
    settings = StudySettings(ray="no-such-machine.invalid:6379")
    with pytest.raises(InputError, match=r"the Ray cluster no-such-machine\.invalid:6379 cannot be reached"):
        make_backend(settings, (MAKE, {}), FileBoard(tmp_path), tmp_path, threads=1)
