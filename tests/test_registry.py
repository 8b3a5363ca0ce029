from typing import Protocol

import pytest

from graft.errors import InputError
from graft.registry import Registry


class Greeter(Protocol):
    name: str
    loud: bool = False

    def greet(self, whom: str) -> str: ...


class Polite:
    name = "polite"

    def greet(self, whom: str) -> str:
        return f"Good day, {whom}"


POLITE = Polite()
GREETERS: Registry[Greeter] = Registry("greeter", Greeter, {"polite": f"{__name__}:POLITE"})


def own(tmp_path, text):
    path = tmp_path / "own.py"
    path.write_text(text, encoding="utf-8")
    return f"{path}:OWN"


def test_an_extension_by_path_is_checked_and_kept(tmp_path):
    name = own(tmp_path, "class Own:\n    name = 'own'\n    def greet(self, whom):\n        return 'hi'\nOWN = Own()\n")
    assert GREETERS.get(name).greet("you") == "hi"
    assert GREETERS.get(name) is GREETERS.get(name)


def test_what_an_extension_lacks_is_named_all_at_once(tmp_path):
    with pytest.raises(InputError, match=r"is not a greeter: it lacks name, greet"):
        GREETERS.get(own(tmp_path, "class OWN: pass\n"))
    with pytest.raises(InputError, match=r"it lacks greet\b"):  # an attribute in the place of a method
        GREETERS.get(own(tmp_path, "class OWN:\n    name = 'x'\n    greet = 'hello'\n").replace("own.py", "./own.py"))


def test_the_builtin_names_are_frozen():
    with pytest.raises(TypeError):
        GREETERS.builtin["rude"] = "graft.errors:nearest"


def test_a_broken_entry_point_names_its_package(tmp_path, monkeypatch):
    info = tmp_path / "rude_greeters-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rude-greeters\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[graft.greeter]\nrude = no_such_module:RUDE\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert GREETERS.names() == ["polite", "rude"]
    with pytest.raises(InputError, match="rude of rude-greeters cannot be imported: ModuleNotFoundError"):
        GREETERS.get("rude")
