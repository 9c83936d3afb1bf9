"""Repeats a violation where it would happen: in real processes, with real sockets and, where one crashes, with SIGKILL.

The search runs all workers in one process, because a process for each costs ten times as much. What it finds is only told as a
failure once it has happened among processes, too.

processes      a schedule whose workers are processes
inside         what happens inside such a process
link           what passes between them
confirmation   how often a finding is the same among processes
"""
