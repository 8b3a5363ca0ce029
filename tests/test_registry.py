from importlib.metadata import EntryPoint
from typing import Protocol

import pytest

from graft import registry
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


def test_a_class_without_arguments_is_constructed_and_gets_the_defaults(tmp_path):
    made = GREETERS.get(own(tmp_path, "class OWN:\n    name = 'own'\n    def greet(self, whom): return 'hi'\n"))
    assert made.loud is False and made.greet("you") == "hi"
    text = "class OWN:\n    def __init__(self, name): pass\n"
    with pytest.raises(InputError, match="cannot be constructed"):
        GREETERS.get(own(tmp_path, text).replace("own.py", "./own.py"))


def test_a_method_that_cannot_be_called_as_the_protocol_says(tmp_path):
    with pytest.raises(InputError, match=r"greet\(\) cannot be called as greet\(whom\)"):
        GREETERS.get(own(tmp_path, "class OWN:\n    name = 'own'\n    def greet(self): return 'hi'\n"))


def test_classes_stay_classes(tmp_path):
    classes: Registry[type[Greeter]] = Registry("greeter", Greeter, {"polite": f"{__name__}:Polite"}, classes=True)
    assert classes.get("polite") is Polite
    with pytest.raises(InputError, match="expected a class, not a Polite"):
        classes.get(f"{__name__}:POLITE")


def test_two_packages_with_one_name(monkeypatch):
    entries = [EntryPoint("rude", f"{place}:RUDE", "graft.greeter") for place in ("one", "two")]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    with pytest.raises(InputError, match="more than one greeter is called 'rude'"):
        GREETERS.get("rude")


def test_without_a_protocol_anything_callable_fits(tmp_path):
    losses = Registry("loss", None, {})
    assert losses.get(own(tmp_path, "def OWN(a, b): return a\n"))
    with pytest.raises(InputError, match="a int cannot be called"):
        losses.get(own(tmp_path, "OWN = 3\n").replace("own.py", "./own.py"))


def test_an_exception_of_an_installed_extension_names_its_package(tmp_path, monkeypatch):
    info = tmp_path / "failing_greeters-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: failing-greeters\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[graft.greeter]\nfailing = failing_greeters:OWN\n", encoding="utf-8")
    text = "import json\nclass OWN:\n    name = 'x'\n    def greet(self, whom):\n        return json.loads(whom)\n"
    module = tmp_path / "failing_greeters.py"
    module.write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="Expecting") as caught:
        GREETERS.get("failing").greet("{")
    assert registry.place_in_extension(caught.value) == f"the package failing-greeters ({module}:5)"


def test_a_command_loads_the_code_of_graft_itself_and_no_file_called_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "graft.py").write_text("raise AssertionError('run')\n", encoding="utf-8")
    losses = Registry("loss", None, {})
    with registry.only_consented([]):
        assert losses.get("graft.tasks.losses:Cosine")
        for reference in ("graft.py:X", "graft.x.py:X", "graftless.losses:X"):
            with pytest.raises(InputError, match="code that was not named on the command line"):
                losses.get(reference)
