"""The job table against a model of twenty lines: whatever is called in whatever order, the two agree."""

import asyncio
import tempfile
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from databases import Clock, PostgresCluster
from vivavoce.errors import Conflict, LeaseLost
from vivavoce.nouns import JobState
from vivavoce.store.database import Database
from vivavoce.store.jobs import JobTable

LEASE = 15.0
KINDS = ("video", "prepare")


@dataclass
class Row:
    """What the model knows of a job."""

    kind: str
    priority: int
    order: int
    state: JobState = "queued"
    attached: bool = False
    attempt: int = 0
    lease: str = ""
    until: float = 0.0
    asked: bool = False
    seq: int = 1

    def to(self, state: JobState) -> None:
        self.state, self.lease = state, ""
        self.seq += 1


class JobTableMachine(RuleBasedStateMachine):
    """Rules are what callers may do; leases that were ever given stay in use, old ones too."""

    url = ""

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.clock = Clock()
        self.rows: dict[str, Row] = {}
        self.made = 0
        self.given: list[tuple[str, str]] = []
        self.folder = tempfile.TemporaryDirectory()
        self.database = Database(self.fresh_url())
        self.runner.run(self.database.start())
        self.table = JobTable(self.database, lease_seconds=LEASE, clock=self.clock)

    def fresh_url(self) -> str:
        return f"sqlite:///{self.folder.name}/jobs.db"

    def teardown(self) -> None:
        self.check_events()
        self.runner.run(self.database.close())
        self.runner.close()
        self.folder.cleanup()

    @precondition(lambda self: self.few())
    @rule(kind=st.sampled_from(KINDS), priority=st.integers(-1, 1))
    def add(self, kind: str, priority: int) -> None:
        job, new = self.runner.run(self.table.add(kind, {}, priority=priority))
        assert new
        self.rows[job.id] = Row(kind, priority, self.another())

    @precondition(lambda self: self.few())
    @rule()
    def begin(self) -> None:
        job = self.runner.run(self.table.begin("chunks", {}, worker="w"))
        until = self.clock.now + LEASE
        self.rows[job.id] = Row("chunks", 0, self.another(), "running", True, 1, job.lease, until)
        self.given.append((job.id, job.lease))

    @rule(kinds=st.sampled_from([{"video"}, {"video", "prepare"}]))
    def claim(self, kinds: set[str]) -> None:
        job = self.runner.run(self.table.claim("w", kinds))
        waiting = [
            (-r.priority, r.order, name) for name, r in self.rows.items() if r.state == "queued" and r.kind in kinds
        ]
        if job is None:
            assert not waiting
            return
        assert job.id == min(waiting)[2]
        row = self.rows[job.id]
        row.to("running")
        row.attempt += 1
        row.lease, row.until = job.lease, self.clock.now + LEASE
        assert job.attempt == row.attempt
        self.given.append((job.id, job.lease))

    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        if not self.given:
            return
        held = self.lease(data)
        beat = self.runner.run(self.table.beat("w", dict([held])))
        row = self.running(held)
        assert beat.lost == (frozenset() if row else {held[0]})
        assert beat.cancelled == ({held[0]} if row and row.asked else frozenset())
        if row:
            row.until = self.clock.now + LEASE

    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        if not self.given:
            return
        held = self.lease(data)
        row = self.running(held)
        try:
            event = self.runner.run(self.table.report(*held, "progress", {}))
        except LeaseLost:
            assert row is None
        else:
            assert row
            row.seq += 1
            assert event.seq == row.seq

    @rule(data=st.data(), state=st.sampled_from(["succeeded", "failed", "cancelled"]))
    def finish(self, data: st.DataObject, state: JobState) -> None:
        if not self.given:
            return
        held = self.lease(data)
        row = self.running(held)
        try:
            job = self.runner.run(self.table.finish(*held, state))
        except LeaseLost:
            assert row is None
        else:
            assert row
            row.to("cancelled" if row.asked else state)
            assert job.state == row.state

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if not self.given:
            return
        held = self.lease(data)
        row = self.running(held)
        try:
            self.runner.run(self.table.release(*held))
        except LeaseLost:
            assert row is None
        else:
            assert row
            self.let_go(row, counted=False)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if not self.rows:
            return
        running = [name for name, row in self.rows.items() if row.state == "running"]
        name = data.draw(st.sampled_from(running + list(self.rows)))
        row = self.rows[name]
        try:
            self.runner.run(self.table.cancel(name))
        except Conflict:
            assert row.state not in ("queued", "running")
            return
        if row.state == "queued":
            row.to("cancelled")
        else:
            assert row.state == "running"
            row.seq += not row.asked
            row.asked = True

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        if not self.rows:
            return
        name = data.draw(st.sampled_from(list(self.rows)))
        try:
            _, happened = self.runner.run(self.table.remove(name))
        except Conflict:
            assert self.rows[name].state in ("queued", "running")
        else:
            row = self.rows.pop(name)
            assert row.state not in ("queued", "running")
            assert [event.seq for event in happened] == list(range(1, row.seq + 1))
            assert self.runner.run(self.table.events(name)) == []

    @rule(seconds=st.sampled_from([0, 10, 16, 16]))
    def recover(self, seconds: int) -> None:
        self.clock.now += seconds
        freed = {job.id for job in self.runner.run(self.table.recover())}
        late = {name for name, r in self.rows.items() if r.state == "running" and r.until < self.clock.now}
        assert freed == late
        for name in late:
            self.let_go(self.rows[name], counted=True)

    @invariant()
    def agrees(self) -> None:
        jobs, total = self.runner.run(self.table.list(limit=1000))
        assert total == len(self.rows)
        for job in jobs:
            row = self.rows[job.id]
            seen = (job.state, job.attempt, job.lease, job.cancel_requested)
            assert seen == (row.state, row.attempt, row.lease, row.asked)

    def check_events(self) -> None:
        for name, row in self.rows.items():
            events = self.runner.run(self.table.events(name))
            assert [event.seq for event in events] == list(range(1, row.seq + 1))
            assert [e.data["state"] for e in events if e.type == "state"][-1] == row.state

    def another(self) -> int:
        """The number of one more job, counting those that were removed."""
        self.made += 1
        return self.made

    def few(self) -> bool:
        """Few jobs at a time live through more."""
        return sum(row.state in ("queued", "running") for row in self.rows.values()) < 3

    def lease(self, data: st.DataObject) -> tuple[str, str]:
        """One that was ever given; often one that still holds."""
        held = [one for one in self.given if self.running(one)]
        return data.draw(st.sampled_from(held or self.given) | st.sampled_from(self.given))

    def running(self, held: tuple[str, str]) -> Row | None:
        row = self.rows.get(held[0])
        return row if row and row.state == "running" and row.lease == held[1] else None

    def let_go(self, row: Row, *, counted: bool) -> None:
        if row.asked:
            row.to("cancelled")
        elif row.attached or (counted and row.attempt == 3):
            row.to("failed")
        else:
            row.to("queued")
            row.attempt -= not counted


SHORT = settings(
    max_examples=10,
    stateful_step_count=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def test_sqlite_agrees_with_the_model() -> None:
    run_state_machine_as_test(JobTableMachine, settings=SHORT)


def test_postgresql_agrees_with_the_model(postgres: PostgresCluster) -> None:
    class OnPostgres(JobTableMachine):
        def fresh_url(self) -> str:
            return postgres.new_url()

    run_state_machine_as_test(OnPostgres, settings=SHORT)
