"""Would the tests notice if the hazard were there?"""

from interlock.gate.question import Question, no_evidence

QUESTION = Question(
    place=5,
    text="Do the tests fail when the hazard is planted?",
    prove_with="interlock audit --tests",
    ask=no_evidence("the tests were not tried against planted hazards"),
    is_planned=True,
)
