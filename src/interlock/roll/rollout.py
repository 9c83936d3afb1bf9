"""The rollout itself: a small machine of steps over a router, a judge and a plan.

    step ──> bake ──> step ... ──> promote ──> done
      │        │                      │
      └────────┴───────> abort <──────┘
                           └──> rolled back

It may be killed at any moment. Each change of phase is in the state file before it is carried out, and each of them may be
carried out twice. What the router does ends by itself if nobody renews it: nobody is on the canary when nobody watches.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from interlock.core.errors import WorldError
from interlock.core.verdict import Verdict, worst
from interlock.roll.buckets import BUCKETS, limit_for
from interlock.roll.decision import Action, decide
from interlock.roll.judge import Arm, Judge
from interlock.roll.listening import Listening, Totals
from interlock.roll.plan import Kind
from interlock.roll.rollback import Done, Rollback, run, serves
from interlock.roll.routers import FOREVER_S, Router, Setting
from interlock.roll.shares import UNCERTAIN, Shares
from interlock.roll.state import Phase, State, StateFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from interlock.roll.judge import Judgement
    from interlock.roll.listening import Ear
    from interlock.roll.plan import Plan

_SAVED_EVERY_S: Final = 1.0
_RECOVERED_REQUESTS: Final = 20
_SPOTLESS_USERS: Final = 300
_BACKGROUND: Final = 0.01  # Failures that are no news: as many again as before, and one in a hundred.


class Watcher(Protocol):
    """Somebody who is told how it goes."""

    def entered(self, state: State) -> None:
        """Another phase or step has begun."""
        ...

    def looked(self, state: State, judgement: Judgement, note: str) -> None:
        """One look at the canary."""
        ...

    def did(self, done: Done) -> None:
        """One thing of the rollback or the promotion is done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often, and how long."""

    tick_s: float = 0.25
    lease_s: float = 15.0  # After so long without us, the router sends nobody to the canary.
    learn_s: float = 10.0  # Before the first step, with nobody on the canary.
    hold_s: float = 0.0  # How long a step may go on beyond its bake time; 0: once more its bake time, but at least a minute.


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How it ended."""

    state: State
    verdict: Verdict
    judgement: Judgement
    done: list[Done]


@dataclass(slots=True, kw_only=True)
class Rollout:
    """One rollout, begun or found half done."""

    plan: Plan
    router: Router
    ears: Sequence[Ear]
    file: StateFile
    state: State
    shares: Shares
    watcher: Watcher
    folder: Path
    rollback: Rollback = field(default_factory=Rollback)
    promote: tuple[str, ...] = ()
    pace: Pace = field(default_factory=Pace)
    done: list[Done] = field(default_factory=list[Done], init=False)
    judge: Judge = field(init=False)
    listening: Listening = field(init=False)
    _judgement: Judgement | None = field(default=None, init=False)  # the last look at the canary
    _renewed_s: float = field(default=0.0, init=False)
    _saved_s: float = field(default=0.0, init=False)
    _last_s: float = field(default=0.0, init=False)
    _ticked_s: float = field(default_factory=time.monotonic, init=False)

    def __post_init__(self) -> None:
        """Goes on with the evidence of a predecessor, if there was one."""
        self.judge = Judge.from_json(self.plan, self.state.judge) if self.state.judge else Judge(self.plan)
        self.state.shares = self.shares.since
        self.listening = Listening(self.plan, self.judge, self.shares, self.ears)

    def _now_s(self) -> float:
        """The time, which neither goes back here nor stands still, though the machine's clock may be set back."""
        before_s, self._ticked_s = self._ticked_s, time.monotonic()
        self._last_s = max(max(self._last_s, self.state.at_s) + self._ticked_s - before_s, time.time())
        return self._last_s

    def run(self) -> Outcome:
        """To the end. Raises WorldError if nothing can be heard before anybody is on the canary."""
        now_s = self._now_s()
        self.listening.begin(now_s)
        if self.state.at_s:
            self._resumed(now_s)
        else:
            self._learn()
        while not self.state.phase.over:
            self._go_on()
        return Outcome(
            state=self.state,
            verdict=Verdict(self.state.judged),
            judgement=self._judgement or self.judge.judgement(self._now_s()),
            done=self.done,
        )

    def _go_on(self) -> None:
        """The phase it is in. Whatever goes wrong while users are on the canary, they do not stay there."""
        phase = self.state.phase
        act = {Phase.STEP: self._step, Phase.BAKE: self._bake, Phase.PROMOTE: self._promote, Phase.ABORT: self._abort}[phase]
        try:
            act()
        except WorldError as error:
            if phase not in {Phase.STEP, Phase.BAKE}:
                raise
            self._aborting(str(error), Verdict.UNKNOWN)
        except Exception:
            self._close_canary()
            raise

    def stop(self, reason: str) -> Outcome:
        """Aborts, because a person says so, or because we cannot go on."""
        if not self.state.phase.over:
            self._aborting(reason, Verdict.UNKNOWN)
        return self.run()

    def _enter(self, phase: Phase) -> None:
        self.state.phase = phase
        try:
            self._save()
        except WorldError as error:
            if phase not in {Phase.ABORT, Phase.ROLLED_BACK}:
                raise
            # The old version comes back all the same; a successor would only do it once more.
            self._did(Done(what="the rollout is kept", verdict=Verdict.UNKNOWN, found=str(error)))
        self.watcher.entered(self.state)

    def _save(self, *, durably: bool = True) -> None:
        self._saved_s = self._now_s()
        self.state.judge = self.judge.to_json()
        self.file.save(self.state, self._saved_s, durably=durably)

    # -- before the first step, or after a kill

    def _learn(self) -> None:
        """What is normal, with nobody on the canary; and whether anything can be heard at all."""
        self.router.write(self._setting(0))
        self.shares.note(self._now_s(), 0)
        begun_s, heard = self._now_s(), False
        while self._now_s() - begun_s < self.pace.learn_s or not heard:
            heard |= self.listening.hear(self._now_s())
            if not heard and self._now_s() - begun_s > self.plan.stale_abort_s:
                trouble = "; ".join(ear.trouble for ear in self.ears if ear.trouble)
                message = f"no request was heard of for {self.plan.stale_abort_s:.0f} s, nothing was begun. {trouble}".strip()
                raise WorldError(message)
            time.sleep(self.pace.tick_s)
        self._enter(Phase.STEP)

    def _resumed(self, now_s: float) -> None:
        """What happened since the predecessor's last word is not known."""
        self.shares.note(self.state.at_s, UNCERTAIN)
        self.judge.tick(now_s)
        if self.state.phase is not Phase.BAKE:
            return
        found = self._found()
        if found is None or (found.limit, found.salt) != (self._limit, self.state.salt):
            self._aborting(f"the router was changed while nobody watched: {_told(found)}", Verdict.UNKNOWN)
        else:
            self._renew(now_s)
            self.shares.note(now_s, self._limit)
            self.watcher.entered(self.state)

    def _found(self) -> Setting | None:
        try:
            return self.router.read()
        except WorldError:
            return None

    # -- the phases

    @property
    def _limit(self) -> int:
        return limit_for(self.plan.steps[self.state.step].share)

    def _setting(self, limit: int) -> Setting:
        return Setting(limit=limit, salt=self.state.salt, until_s=int(time.time() + self.pace.lease_s) + 1 if limit else 0)

    def _step(self) -> None:
        """Sets the share of the step."""
        try:
            self.router.write(self._setting(self._limit))
        except WorldError as error:
            self._aborting(str(error), Verdict.UNKNOWN)
            return
        now_s = self._renewed_s = self._now_s()
        self.shares.note(now_s, self._limit)
        self.judge.begin_step(self.state.step, now_s)
        self.state.baked_s = self.state.held_s = 0.0
        self._enter(Phase.BAKE)

    def _bake(self) -> None:
        """Looks at the canary until the step is passed, or the rollout is over."""
        step = self.plan.steps[self.state.step]
        hold_s = self.pace.hold_s or max(step.bake_s, 60.0)
        before_s = self._now_s()
        while self.state.phase is Phase.BAKE:
            now_s = self._now_s()
            seen_s = min(now_s - before_s, 4 * self.pace.tick_s)  # A machine that slept saw nothing meanwhile.
            self.state.decided_s += now_s - before_s
            before_s = now_s
            judgement, note = self._look(now_s, seen_s)
            self._judgement = judgement
            self.watcher.looked(self.state, judgement, note)
            if self.state.phase is Phase.BAKE and self.state.held_s > hold_s:
                self._aborting(f"held for {hold_s:.0f} s, and still: {note}", Verdict.UNKNOWN)
            if self.state.phase is Phase.BAKE:
                if now_s - self._saved_s > _SAVED_EVERY_S:
                    self._save(durably=False)
                time.sleep(max(0.0, self.pace.tick_s - (self._now_s() - now_s)))

    def _look(self, now_s: float, seen_s: float) -> tuple[Judgement, str]:
        """One look; moves on to another phase if it shows that it is time."""
        served = self.listening.totals.requests[Arm.CANARY]
        heard = self.listening.hear(now_s)
        self.state.requests += self.listening.totals.requests[Arm.CANARY] - served
        judgement = self.judge.judgement(now_s)
        silence_s, silent = self.listening.silent(now_s)
        held = silent or judgement.hold or self.listening.nobody(now_s, self.plan.stale_hold_s)
        if not held:
            self.state.baked_s += seen_s
        decision = decide(self.plan, self.state.step, self.state.baked_s, judgement)
        router = self._router_trouble(now_s)
        if decision.action is Action.ABORT:
            verdict = Verdict.FAIL if heard or not judgement.hold else Verdict.UNKNOWN
            self._aborting(decision.reason, verdict)
        elif self.listening.exceeded:
            self._aborting(self.listening.exceeded, Verdict.FAIL)
        elif router:
            self._aborting(router, Verdict.UNKNOWN)
        elif silence_s > self.plan.stale_abort_s:
            self._aborting(silent, Verdict.UNKNOWN)
        elif held or decision.action is Action.HOLD:
            self.state.held_s += seen_s
        elif decision.action is Action.PROMOTE:
            self._passed(decision.reason)
        return judgement, held or decision.reason

    def _router_trouble(self, now_s: float) -> str:
        """Whether somebody else has changed the router; renews what we told it. A router that does not answer is silent."""
        found = self._found()
        if found is None:
            return ""
        if (found.limit, found.salt) != (self._limit, self.state.salt):
            return f"the router was changed by somebody else: {_told(found)}, asked were {self._limit / BUCKETS:.2%}"
        lapsed_s = time.time() - found.until_s  # By the router's clock, which may have been set back meanwhile.
        if lapsed_s >= 0:
            self.shares.note(now_s - lapsed_s, UNCERTAIN)
            self.shares.note(now_s, self._limit)
        if now_s - self._renewed_s > self.pace.lease_s / 3:
            self._renew(now_s)
        return ""

    def _renew(self, now_s: float) -> None:
        try:
            self.router.write(self._setting(self._limit))
        except WorldError:
            return
        self._renewed_s = now_s

    def _passed(self, reason: str) -> None:
        self.state.reason = reason
        if self.state.step + 1 < len(self.plan.steps):
            self.state.step += 1
            self._enter(Phase.STEP)
        else:
            self._enter(Phase.PROMOTE)

    def _promote(self) -> None:
        """The new version becomes the only one: by the team's commands, or by staying where it is."""
        for command in self.promote:
            if not self._did(run(command, self.folder, self.rollback.command_timeout_s)):
                self._aborting(f"the promotion failed: {command}", Verdict.UNKNOWN)
                return
            self._renew(self._now_s())
        final = self._setting(0) if self.promote else replace(self._setting(BUCKETS), until_s=FOREVER_S)
        self.router.write(final)
        unseen = self._unseen()
        self.state.judged = Verdict.UNKNOWN if unseen else Verdict.PASS
        if unseen:
            self.state.reason = f"nothing was seen to be wrong, but too little was seen of {', '.join(unseen)}"
        self._enter(Phase.DONE)

    def _unseen(self) -> list[str]:
        """The metrics that nobody can call good. No failure among 300 users is good: below 1 % at 95 % (the rule of three)."""
        judgement = self.judge.judgement(self._now_s())
        enough = judgement.exposed_users >= _SPOTLESS_USERS
        kinds = {Kind.FAILURES, Kind.LATENCY} if enough else set[Kind]()
        spotless = {metric.name for metric in self.plan.metrics if metric.kind in kinds}
        return [
            metric.name
            for metric in judgement.metrics
            if metric.verdict is not Verdict.PASS and (metric.canary or metric.name not in spotless)
        ]

    # -- the way back

    def _aborting(self, reason: str, verdict: Verdict) -> None:
        self.state.reason, self.state.judged = reason, verdict
        self._close_canary()  # Before anything is written: this is what stops the harm.
        self._enter(Phase.ABORT)

    def _close_canary(self) -> bool:
        try:
            self.router.write(self._setting(0))
        except WorldError:
            return False
        return True

    def _abort(self) -> None:
        """Nobody on the canary, then the team's own rollback, then a look whether all is well again."""
        ended_s = (self._renewed_s or self._now_s()) + self.pace.lease_s + 1  # By then the router does it without us.
        while not (closed := self._close_canary()) and self._now_s() < ended_s:
            time.sleep(self.pace.tick_s)
        self._did(
            Done(
                what="nobody is on the canary",
                verdict=Verdict.PASS if closed else Verdict.UNKNOWN,
                found="the router says so" if closed else "the router does not answer; what it was told has ended by itself",
            )
        )
        self.shares.note(self._now_s(), 0)
        for command in self.rollback.commands:
            self._did(run(command, self.folder, self.rollback.command_timeout_s))
        self._did(serves(self.rollback))
        self._did(self._recovered())
        self.state.judged = worst([Verdict(self.state.judged), Verdict.UNKNOWN])
        self._enter(Phase.ROLLED_BACK)

    def _did(self, done: Done) -> bool:
        self.done.append(done)
        self.watcher.did(done)
        return done.verdict is Verdict.PASS

    def _recovered(self) -> Done:
        """Whether failures are as rare as the baseline's were, and nobody is served by the canary."""
        baseline = self.listening.totals
        served = baseline.requests[Arm.BASELINE]
        usual = baseline.failed[Arm.BASELINE] / served if served else 0.0
        self.listening.hear(self._now_s())  # What was under way when the canary was closed.
        deadline_s = self._now_s() + self.rollback.recover_s
        found = "no requests were heard of"
        while (now_s := self._now_s()) < deadline_s:
            totals = self.listening.totals = Totals()
            until_s = min(deadline_s, now_s + max(1.0, 4 * self.pace.tick_s))
            while (now_s := self._now_s()) < until_s or (
                sum(totals.requests.values()) < _RECOVERED_REQUESTS and now_s < deadline_s
            ):
                time.sleep(self.pace.tick_s)
                self.listening.hear(self._now_s())
            rate = totals.failure_rate()
            if rate is None:
                continue
            found = f"{rate:.2%} of {sum(totals.requests.values())} requests failed, {usual:.2%} is usual"
            if rate <= 2 * usual + _BACKGROUND and not totals.requests[Arm.CANARY]:
                return Done(what="the metric has recovered", verdict=Verdict.PASS, found=found)
        verdict = Verdict.UNKNOWN if found.startswith("no") else Verdict.FAIL
        return Done(what="the metric has recovered", verdict=verdict, found=found)


def _told(found: Setting | None) -> str:
    return "it does not answer" if found is None else f"it sends {found.share:.2%} to the canary"
