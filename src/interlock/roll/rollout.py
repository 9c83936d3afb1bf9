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
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from interlock.core.errors import UsageError, WorldError
from interlock.core.verdict import Verdict, worst
from interlock.roll.buckets import BUCKETS, limit_for
from interlock.roll.decision import Action, decide, unseen
from interlock.roll.judge import Arm, Judge
from interlock.roll.lease import Lease
from interlock.roll.listening import Listening
from interlock.roll.rollback import Done, Rollback, recovered, run, serves
from interlock.roll.shares import UNCERTAIN, Shares
from interlock.roll.state import Phase, State, StateFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from interlock.roll.judge import Judgement
    from interlock.roll.listening import Ear
    from interlock.roll.plan import Plan
    from interlock.roll.routers import Router

BY_HAND: Final = "stopped by hand"
_SAVED_EVERY_S: Final = 1.0


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
    _lease: Lease = field(init=False)
    _judgement: Judgement | None = field(default=None, init=False)  # the last look at the canary
    _saved_s: float = field(default=0.0, init=False)
    _last_s: float = field(default=0.0, init=False)
    _ticked_s: float = field(default_factory=time.monotonic, init=False)

    def __post_init__(self) -> None:
        """Goes on with the evidence of a predecessor, if there was one."""
        self.judge = self._judge_of_before()
        self.state.shares = self.shares.since
        self.listening = Listening(self.plan, self.judge, self.shares, self.ears)
        self._lease = Lease(
            router=self.router, shares=self.shares, clock=self._now_s, salt=self.state.salt, lease_s=self.pace.lease_s
        )

    def _judge_of_before(self) -> Judge:
        try:
            return Judge.from_json(self.plan, self.state.judge) if self.state.judge else Judge(self.plan)
        except UsageError:  # It judged by other settings.
            if self.state.phase is not Phase.ABORT and not self.file.is_abort_wished:
                raise
            return Judge(self.plan)  # The way back needs none.

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
            self._lease.close()
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
        self._lease.take(0)
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
        self.judge.resume(now_s)
        if self.state.phase is Phase.ABORT:
            return
        if trouble := BY_HAND if self.file.is_abort_wished else self._lease.resume(self._limit, self._limits_before):
            self._aborting(trouble, Verdict.UNKNOWN)
        elif self.state.phase is Phase.BAKE:
            self.watcher.entered(self.state)

    @property
    def _limits_before(self) -> set[int]:
        """What else a predecessor that was killed may have left: it may not have told the router yet, or for the last time."""
        match self.state.phase:
            case Phase.STEP:
                return {limit_for(self.plan.steps[self.state.step - 1].share) if self.state.step else 0}
            case Phase.PROMOTE if self.promote:
                return {0}
            case _:
                return set()

    # -- the phases

    @property
    def _limit(self) -> int:
        return limit_for(self.plan.steps[self.state.step].share)

    def _step(self) -> None:
        """Sets the share of the step."""
        limit = self._limit
        self.judge.begin_step(self.state.step, self._lease.take(limit), share=limit / BUCKETS)  # As the router can have it.
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
        router = self._lease.keep(self._limit)
        if self.file.is_abort_wished:
            self._aborting(BY_HAND, Verdict.UNKNOWN)
        elif decision.action is Action.ABORT:
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

    def _passed(self, reason: str) -> None:
        self.state.reason = reason
        if self.state.step + 1 < len(self.plan.steps):
            self.state.step += 1
            self._enter(Phase.STEP)
        else:
            self._enter(Phase.PROMOTE)

    def _promote(self) -> None:
        """The new version becomes the only one: by the team's commands, or by staying where it is."""
        if self.file.is_abort_wished:
            self._aborting(BY_HAND, Verdict.UNKNOWN)
            return
        for command in self.promote:
            if not self._did(run(command, self.folder, self.rollback.command_timeout_s)):
                self._aborting(f"the promotion failed: {command}", Verdict.UNKNOWN)
                return
            self._lease.renew(self._limit)
        self._lease.settle(0 if self.promote else BUCKETS)
        unknown = unseen(self.plan, self.judge.judgement(self._now_s()), told=self.listening.told)
        self.state.judged = Verdict.UNKNOWN if unknown else Verdict.PASS
        if unknown:
            self.state.reason = f"nothing was seen to be wrong, but too little was seen of {', '.join(unknown)}"
        self._enter(Phase.DONE)

    # -- the way back

    def _aborting(self, reason: str, verdict: Verdict) -> None:
        self.state.reason, self.state.judged = reason, verdict
        self._lease.close()  # Before anything is written: this is what stops the harm.
        self._enter(Phase.ABORT)

    def _abort(self) -> None:
        """Nobody on the canary, then the team's own rollback, then a look whether all is well again."""
        ended_by_s = self._lease.ended_by_s
        while not (closed := self._lease.close()) and self._now_s() < ended_by_s:
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
        self._did(recovered(self.listening, self.rollback.recover_s, self.pace.tick_s, self._now_s))
        self.state.judged = worst([Verdict(self.state.judged), Verdict.UNKNOWN])
        self._enter(Phase.ROLLED_BACK)

    def _did(self, done: Done) -> bool:
        self.done.append(done)
        self.watcher.did(done)
        return done.verdict is Verdict.PASS
