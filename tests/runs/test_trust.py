"""Code that a folder names is run only where the user says so."""

import pytest

from graft.errors import InputError
from graft.runs.trust import refuse_code


@pytest.mark.parametrize("reference", ["evil.py:read", "package.module:read"])
def test_code_of_a_folder_is_refused_unless_it_is_trusted_or_given(reference):
    with pytest.raises(InputError, match=r"runs/mails: .*a metric.*:read\n.*--trust_remote_code.*or give --metrics"):
        refuse_code(reference, "runs/mails", False, what="a metric", instead="--metrics")
    refuse_code(reference, "runs/mails", True)
    refuse_code(reference, "runs/mails", False, given=True)


@pytest.mark.parametrize("reference", [None, "", "text-generation"])
def test_a_name_without_a_file_is_not_code(reference):
    refuse_code(reference, "runs/mails", False)
