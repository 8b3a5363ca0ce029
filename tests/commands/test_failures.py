"""What libraries raise becomes an error with a remedy, and nothing else is changed."""

import errno

import pytest

from graft.commands.failures import as_graft_error, resource_errors
from graft.errors import GraftError, InputError


@pytest.mark.parametrize(
    ("error", "said", "remedy"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full", "free some space"),
        (
            RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"),
            "the disk is full",
            "free",
        ),
        (MemoryError(), "not enough memory", "use less"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "not enough memory", "use less"),
    ],
)
def test_resources_that_run_out_are_said_with_a_remedy(error, said, remedy):
    assert said in str(as_graft_error(error)) and as_graft_error(error).problems[0].remedy
    with pytest.raises(GraftError, match=f"(?s){said}.*{remedy}"), resource_errors("use less"):
        raise error


def test_other_errors_are_named_in_a_run_and_pass_an_evaluation():
    assert "KeyError: 'x'" in str(as_graft_error(KeyError("x")))
    ours = InputError("wrong")
    assert as_graft_error(ours) is ours
    for error in (KeyError("x"), ours):
        with pytest.raises(type(error)), resource_errors(""):
            raise error
