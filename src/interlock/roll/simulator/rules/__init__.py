"""The rules by which a canary is stopped, one file each: ours, and those of the engines in use."""

from interlock.roll.simulator.rules.argo import Argo
from interlock.roll.simulator.rules.flagger import Flagger
from interlock.roll.simulator.rules.interlock_ import Interlock
from interlock.roll.simulator.rules.kayenta import Kayenta

__all__ = ["Argo", "Flagger", "Interlock", "Kayenta"]
