from graft.cli.main import let_threads_sleep

let_threads_sleep()  # as the command does: test processes share the machine
