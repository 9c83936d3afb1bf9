"""Does it reach one user in a hundred first, or everybody at once?"""

from interlock.gate.question import Question, no_evidence

QUESTION = Question(
    place=7,
    text="Does it start on a canary of 1 to 5 %?",
    prove_with="interlock roll --plan",
    ask=no_evidence("no release plan is on record"),
    is_planned=True,
)
