import subprocess
import sys

from graft.config import in_words
from graft.training import argument_fields
from graft.training.arguments import _names


def test_the_source_says_what_the_class_is():
    read, imported = argument_fields._read_source(), argument_fields._imported()
    assert set(read) == set(imported) and len(read) > 100
    for name, field in imported.items():
        assert read[name].default == field.default, name
        assert in_words(read[name].annotation) == in_words(field.annotation), name
        assert _names(read[name].annotation) == _names(field.annotation), name


def test_a_source_of_another_form_is_imported(tmp_path, monkeypatch):
    (tmp_path / "trainer_utils.py").write_text("", encoding="utf-8")
    (tmp_path / "training_args.py").write_text("class TrainingArguments:\n    a: int = 1\n")
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    argument_fields.argument_fields.cache_clear()
    monkeypatch.setattr(argument_fields.importlib.util, "find_spec", lambda name: spec)
    try:
        assert "max_grad_norm" in argument_fields.argument_fields()
    finally:
        argument_fields.argument_fields.cache_clear()


def test_fields_are_checked_without_importing_torch():
    code = (
        "import sys; from graft.planning.settings import finetune_settings as f; from graft.errors import InputError\n"
        "f({'max_grad_norm': 1, 'optim': 'sgd', 'fp16': 'true'})\n"
        "try: f({'max_grad_nrm': 1, 'optim': 'sgdd'})\n"
        "except InputError as error: print(error)\n"
        "print('torch' in sys.modules, 'transformers' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "did you mean max_grad_norm?" in done.stdout and "did you mean sgd?" in done.stdout
    assert done.stdout.endswith("False False\n")
