"""Has a person read it? Two, if it touches what must never fail."""

from interlock.gate.question import Question, no_evidence

QUESTION = Question(
    place=3,
    text="Who wrote it, and who has read it?",
    prove_with="interlock gate --approvals FILE",
    ask=no_evidence("no approvals were given to count"),
)
