"""When the tea room is open: `GET /opening-hours`."""

from enum import StrEnum

from fastapi import APIRouter
from pydantic import BaseModel

router = APIRouter()


class Day(StrEnum):
    """The days of the week."""

    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"


class Hours(BaseModel):
    """From when to when, in local time."""

    opens: str
    closes: str


WEEKDAY = Hours(opens="09:00", closes="18:00")
SATURDAY = Hours(opens="10:00", closes="17:00")


@router.get("/opening-hours")
def opening_hours() -> dict[Day, Hours | None]:
    """The hours of each day; None when the tea room is closed."""
    return {day: WEEKDAY for day in Day} | {Day.SATURDAY: SATURDAY, Day.SUNDAY: None}
