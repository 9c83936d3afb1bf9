"""Empties another queue's sorted set into this one: nothing is lost, nothing is charged twice, people hear of every doubt.

moving           reads, stores, removes, page by page
ledger           what is remembered on the server, so that it may be killed and run again
foreign_queue    the old queue's keys
foreign_payment  the old queue's JSON
names            what others call a payment's fields
again            what lies in quarantine, for a second look
report           counts that add up, and what a person has to look at
"""

from retryqueue.migration.foreign_payment import Reading
from retryqueue.migration.moving import Migration, Plan
from retryqueue.migration.report import Finding, Kind, Look, Report, Suspect

__all__ = ["Finding", "Kind", "Look", "Migration", "Plan", "Reading", "Report", "Suspect"]
