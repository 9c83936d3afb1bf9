"""Can it be undone? Written down is not enough: it was done, in staging, and timed."""

from interlock.gate.question import Question, no_evidence

QUESTION = Question(
    place=6,
    text="Was the rollback rehearsed?",
    prove_with="interlock rehearse rollback --env staging -- COMMANDS",
    ask=no_evidence("no rehearsal is on record"),
    is_planned=True,
)
