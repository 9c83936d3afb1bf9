"""The command line: the only place that prints or exits. One file a verb; being there is the registration.

A verb's module has `HELP` (one line), `add_arguments(parser)` and `execute(arguments, console)`, which returns an exit code.
"""
