"""The parts of ``graft.data.personal``: one file for each kind of number or key that it finds."""
