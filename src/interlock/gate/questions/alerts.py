"""Would somebody be woken by the failure that this very change can cause?"""

from interlock.gate.question import Question, no_evidence

QUESTION = Question(
    place=8,
    text="Would an alert fire on the failure it can cause, and reach a pager?",
    prove_with="interlock drill",
    ask=no_evidence("no drill of the alerts is on record"),
)
