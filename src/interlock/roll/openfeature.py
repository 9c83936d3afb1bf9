"""A provider for OpenFeature clients: the boolean flag of a rollout is on for the users on the new side.

    api.set_provider(RolloutProvider("new-queue", Path("/run/shop/rollout.json"), events=Path("/run/shop/events.jsonl")))
    client = api.get_client()
    user = EvaluationContext(targeting_key="4711")
    if client.get_boolean_value("new-queue", False, user): ...
    client.track("orders", user)

What is tracked goes into a file of business events, which a `[[roll.source]]` of kind `business` reads. It needs
`openfeature-sdk`.

Source: the OpenFeature specification, sections 2 (providers) and 6 (tracking).
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, TypeVar

from openfeature.exception import FlagNotFoundError, TargetingKeyMissingError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata  # pyright: ignore[reportMissingTypeStubs]

from interlock.roll.routers.flag import Flag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from openfeature.evaluation_context import EvaluationContext  # pyright: ignore[reportMissingTypeStubs]
    from openfeature.flag_evaluation import FlagValueType
    from openfeature.track import TrackingEventDetails  # pyright: ignore[reportMissingTypeStubs]

_T = TypeVar("_T")


class RolloutProvider(AbstractProvider):
    """Resolves one boolean flag.

    Args:
        name: The flag's.
        path: The file of the router.
        events: Where to note what is tracked; nothing is noted without it.
    """

    def __init__(self, name: str, path: Path, *, events: Path | None = None) -> None:
        super().__init__()
        self._name = name
        self._flag = Flag(path)
        self._events = events

    def get_metadata(self) -> Metadata:
        """Its name."""
        return Metadata(name="interlock")

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,  # noqa: ARG002, FBT001 - as the interface has it.
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        """Whether the user is on the new side.

        Raises:
            FlagNotFoundError: If it is another flag.
            TargetingKeyMissingError: If no user is named; the client falls back to its default.
        """
        if flag_key != self._name:
            message = f"no flag {flag_key!r}; expected {self._name!r}"
            raise FlagNotFoundError(message)
        is_on = self._flag.is_on(_user(evaluation_context))
        return FlagResolutionDetails(value=is_on, variant="canary" if is_on else "baseline", reason=Reason.SPLIT)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """There is none of this type."""
        return self._mismatched(flag_key, default_value, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """There is none of this type."""
        return self._mismatched(flag_key, default_value, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """There is none of this type."""
        return self._mismatched(flag_key, default_value, evaluation_context)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """There is none of this type."""
        return self._mismatched(flag_key, default_value, evaluation_context)

    def track(
        self,
        tracking_event_name: str,
        evaluation_context: EvaluationContext | None = None,
        tracking_event_details: TrackingEventDetails | None = None,
    ) -> None:
        """Notes a business event of the user; `failed` among its details says that it failed. It was exposed just now."""
        if self._events is None:
            return
        details = tracking_event_details.attributes if tracking_event_details else {}
        event = {"name": tracking_event_name, "user": _user(evaluation_context), "exposed_at": time.time()}
        line = json.dumps({**event, **({"failed": True} if details.get("failed") is True else {})})
        with self._events.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def _mismatched(self, flag_key: str, default_value: _T, _: EvaluationContext | None) -> FlagResolutionDetails[_T]:
        message = f"{flag_key!r} is asked for as {type(default_value).__name__}; a rollout's flag is a boolean"
        raise TypeMismatchError(message)


def _user(context: EvaluationContext | None) -> str:
    if context is None or not context.targeting_key:
        message = "no targeting key: whose side is asked for?"
        raise TargetingKeyMissingError(message)
    return context.targeting_key
