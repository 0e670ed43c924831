"""What `outhaul` can be told to do: one sibling per command.

Each sibling has `run`, a function that typer can read, or `app`, a typer app of several commands. What it prints for
people goes to standard error, what it prints for programs to standard output; it raises errors of `outhaul.errors`,
which the command line turns into one sentence and an exit status.
"""
