"""Models of the Hugging Face hub, by its own client: HF_HOME and HF_HUB_OFFLINE mean what they mean there."""

from __future__ import annotations

from pathlib import Path

from graft.errors import InputError, did_you_mean
from graft.models.embedded import EMBEDDED
from graft.progress import Reporter

_SMALL = ["*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken", "README.md", "LICENSE*"]


def snapshot(name: str, revision: str | None, token: str | None, trust_remote_code: bool, reporter: Reporter) -> Path:
    """The local snapshot of the hub model ``name``: safetensors, or pickles where it has nothing else.

    Raises:
        InputError: when there is no such model, revision or right to it, or the hub cannot be reached and the model
            is not in its local cache.
    """
    small = [*_SMALL, "*.py"] if trust_remote_code else _SMALL
    reporter.note(f"loading {name} from the Hub or from the local cache")
    folder = _snapshot(name, revision, token, [*small, "*.safetensors"])
    if not any(folder.glob("*.safetensors")):
        folder = _snapshot(name, revision, token, [*small, "*.bin"])
    return folder


def _snapshot(name: str, revision: str | None, token: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import errors, snapshot_download

    unwanted = ["*/*", "consolidated*"]
    try:
        return Path(
            snapshot_download(name, revision=revision, token=token, allow_patterns=patterns, ignore_patterns=unwanted)
        )
    except errors.GatedRepoError as error:
        raise InputError(
            f"{name} is a gated model, and you do not have access to it",
            remedy=f"accept its terms at https://huggingface.co/{name}, then set HF_TOKEN or give --token",
        ) from error
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{name} has no branch, tag or commit {revision!r}", where="model_revision") from error
    except errors.RepositoryNotFoundError as error:
        raise _not_found(name, "the Hub has no such model, or you do not have access to it") from error
    except errors.HFValidationError as error:
        raise _not_found(name, "the name is not a valid Hub ID") from error
    except (OSError, errors.EntryNotFoundError, getattr(errors, "HTTPError", OSError)) as error:
        raise _unreachable(name, error) from error


def _not_found(name: str, reason: str) -> InputError:
    return InputError(f"there is no folder {name!r} here, and {reason}", remedy=_remedy(name))


def _unreachable(name: str, error: Exception) -> InputError:
    from huggingface_hub import constants

    offline = bool(getattr(constants, "HF_HUB_OFFLINE", False))
    reason = (
        "HF_HUB_OFFLINE is set" if offline else f"no connection: {str(error).splitlines()[0].removeprefix('Got: ')}"
    )
    return InputError(
        f"there is no folder {name!r} here, and the Hub model is neither in the local cache nor reachable ({reason})",
        where="model_name_or_path",
        remedy=_remedy(name),
    )


def _remedy(name: str) -> str:
    last = name.rsplit("/", 1)[-1].lower()
    path = Path(name).expanduser()
    folders = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
    family = [known for known in EMBEDDED if known[:4] == last[:4]]
    near = did_you_mean(path.name, folders) or did_you_mean(last, family)
    embedded = " or ".join(EMBEDDED)
    return f"{near + ' ' if near else ''}Give a model folder, a .gguf file, a Hub ID, or {embedded}"
