"""Code that a run folder or a bundle names is run only where the user says so."""

from __future__ import annotations

from graft.errors import InputError


def refuse_code(
    reference: str | None,
    where: str,
    trusted: bool,
    given: bool = False,
    what: str = "a column mapping",
    instead: str | None = None,
) -> None:
    """Refuse an extension that a run folder or a bundle names by its file or module: the folder can be from anywhere.

    Args:
        reference: The recorded name; one with a colon, ``FILE.py:NAME`` or ``module:NAME``, is code.
        where: The folder that names it.
        trusted: Whether ``--trust_remote_code`` was given.
        given: Whether the user named an extension of this kind, which is used instead.
        what: What the extension is, with its article.
        instead: An option that names another one, such as ``--metrics``.

    Raises:
        InputError: If it is code, and the user neither gave one nor trusts the folder.
    """
    if reference is None or ":" not in reference or trusted or given:
        return
    other = f", or give {instead}" if instead else ""
    raise InputError(
        f"this folder names {what} from a file, {reference}",
        where=where,
        remedy=f"add --trust_remote_code to run that file{other}",
    )
