import os

from graft.cli.main import let_threads_sleep

let_threads_sleep()  # as the command does: test processes share the machine
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and what commands print would be as narrow
