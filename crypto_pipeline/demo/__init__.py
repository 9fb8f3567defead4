"""
What the command line starts: runs through Dagster, and the stack of servers they are shown with.

`stack` starts the sandbox exchanges and an OpenBao with their keys, `worker` is one run in a
process of its own, `runs` starts and watches workers, `report` shows them on the terminal.
"""
