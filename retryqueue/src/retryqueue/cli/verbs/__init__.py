"""The verbs of the command. Being here is all the registration that there is.

A verb is a module with `HELP` (one line), `add_arguments(parser)` and `execute(arguments, console)`, which answers with an
exit code. Its docstring is its description. It opens the queue with `connection.existing(arguments)`, or
`connection.opened(arguments)` if it may be made.
"""
