"""What a hazard is made of: its story, its detector, its injector and its examples.

A hazard's file reads from top to bottom: the module docstring tells the story, `HAZARD` holds the figures, `detect` finds the
hazard in code, `inject` plants it in good code, `BAD` and `GOOD` are examples. The manual, `interlock explain` and the tests
all read them.
"""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from interlock.core.finding import Confidence, Finding, Location, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from interlock.source.module import Module

    Detector = Callable[[Any, Module], Iterator[Finding]]
    Injector = Callable[[Module], Iterator["Mutant"]]

Needles = tuple[tuple[bytes, ...], ...]
_Detector = TypeVar("_Detector", bound="Detector")
_Injector = TypeVar("_Injector", bound="Injector")

HEADINGS: Final = ("What happens", "Why tests miss it", "What to write instead", "Where it comes from")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A file's text after an injector has planted its hazard in one place."""

    line: int  # of the file as it was
    what: str  # what was changed, in words
    text: str  # the whole file as it is now


@dataclass(frozen=True, slots=True)
class Story:
    """A hazard's docstring, by its headings."""

    failure: str  # the first line: the failure as one sentence
    sections: dict[str, str]


def holds(content: bytes, needles: Needles) -> bool:
    """Whether a file's content has one text of each group."""
    return all(any(needle in content for needle in group) for group in needles)


class Hazard:
    """One known way in which code breaks production."""

    def __init__(  # noqa: PLR0913 - keyword-only figures, each of which every hazard has.
        self,
        module_name: str,
        *,
        severity: Severity,
        advice: str,
        needles: Needles,
        signal: str,
        scenario: str,
        sources: tuple[str, ...],
    ) -> None:
        self.module_name: Final = module_name
        self.severity: Final = severity
        self.advice: Final = advice  # what to write instead, one line
        self.needles: Final = needles  # a file without one text of each group cannot hold the hazard
        self.signal: Final = signal  # what would show it in production
        self.scenario: Final = scenario  # what would show it at run time, for `interlock prove`
        self.sources: Final = sources  # incidents, papers, documentation
        self.detectors: list[tuple[tuple[type[ast.AST], ...], Detector]] = []
        self.injectors: list[Injector] = []

    @property
    def name(self) -> str:
        """`family/name`, read off the place of the hazard's file."""
        family, name = self.module_name.split(".")[-2:]
        return f"{family}/{name}".replace("_", "-")

    @property
    def story(self) -> Story:
        """The hazard's docstring, by its headings."""
        failure, _, rest = (sys.modules[self.module_name].__doc__ or "").partition("\n")
        parts = re.split(r"^## (.+)$", rest, flags=re.MULTILINE)
        return Story(failure.strip(), dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True)))

    @property
    def bad(self) -> tuple[str, ...]:
        """Examples that hold the hazard, on the lines that say `# expect: family/name`."""
        return tuple(sys.modules[self.module_name].BAD)

    @property
    def good(self) -> tuple[str, ...]:
        """Examples that look as if they held the hazard, and do not."""
        return tuple(sys.modules[self.module_name].GOOD)

    def has_examples(self, kind: str) -> bool:
        """Whether its module holds examples of a kind, `BAD` or `GOOD`, in the right form."""
        examples: object = getattr(sys.modules[self.module_name], kind, None)
        return isinstance(examples, (tuple, list)) and all(isinstance(one, str) for one in cast("list[object]", examples))

    def detects(self, *types: type[ast.AST]) -> Callable[[_Detector], _Detector]:
        """Registers a detector: a pure function that is shown every node of these types and yields findings."""

        def register(detector: _Detector) -> _Detector:
            self.detectors.append((types, detector))
            return detector

        return register

    def injects(self, injector: _Injector) -> _Injector:
        """Registers an injector: a pure function that yields the ways to plant the hazard in a module."""
        self.injectors.append(injector)
        return injector

    def concerns(self, content: bytes) -> bool:
        """Whether a file with this content can hold the hazard at all."""
        return holds(content, self.needles)

    def load(self) -> Hazard:
        """The hazard itself, as of a listing in the catalogue that is not imported yet."""
        return self

    def finding(self, module: Module, node: ast.AST, message: str, confidence: Confidence = Confidence.HIGH) -> Finding:
        """This hazard, seen at a node."""
        line: int = getattr(node, "lineno", 1)
        column: int = module.offset(line, getattr(node, "col_offset", 0)) - module.offset(line, 0) + 1
        return Finding(
            hazard=self.name,
            location=Location(path=module.path, line=line, column=column, end_line=getattr(node, "end_lineno", None) or line),
            severity=self.severity,
            confidence=confidence,
            message=message,
            advice=self.advice,
            symbol=module.symbol(node),
            code=_code(module, node, line),
        )


def _code(module: Module, node: ast.AST, line: int) -> str:
    """The code of a finding without white space and comments: what makes it the same finding after an edit beside it."""
    if isinstance(node, ast.expr):
        return " ".join(module.segment(node).split())
    return " ".join(re.sub(r"\s#.*", "", module.lines[line - 1]).split())
