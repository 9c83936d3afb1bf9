"""Guard 2, run: a team's real module, unmodified, under every interleaving and fault that matters.

contract     what a user writes: workers, a provider, what must hold
world        what a contract is shown, once for each schedule
scheduler    runs workers one effect at a time
worker       whoever takes part
wire/        where effects are caught: Redis commands and HTTP requests, really carried out
clock        virtual time
fault        what a schedule asks of something that goes wrong
faults/      what can go wrong at an effect, one file each
search       which schedules to run
"""
