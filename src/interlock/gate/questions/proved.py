"""Was the critical module run under every interleaving and fault that matters?"""

from interlock.gate.question import Question, no_evidence

QUESTION = Question(
    place=4,
    text="Does the critical module keep its contracts under load and faults?",
    prove_with="interlock prove",
    ask=no_evidence("no proof of a contract is on record"),
    is_planned=True,
)
