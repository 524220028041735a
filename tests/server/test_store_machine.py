"""Whatever is done to a store in whatever order, it is what a plain table of jobs would be."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from doomed import picture
from sfumato.errors import JobNotFound, StoreError
from sfumato.pipelines.request import Request
from sfumato.server.discretion import discreet
from sfumato.server.job import TRANSITIONS
from sfumato.server.store import Store

PICTURES = [picture(number, side=4) for number in range(3)]


class PlainTable(RuleBasedStateMachine):
    ids = Bundle("ids")

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = Store(self.folder)
        self.jobs, self.kept = {}, {}

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder)

    @rule(
        target=ids,
        owner=st.sampled_from(["anna", "ben"]),
        prompt=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="()[]{}:|\\<>*"), max_size=20),
        given=st.sampled_from([None, *PICTURES]),
        count=st.integers(1, 3),
        private=st.booleans(),
    )
    def accept(self, owner, prompt, given, count, private):
        job = self.store.add(owner, "digits", Request(prompt, picture=given), count, private)
        self.jobs[job.id], self.kept[job.id] = job, set()
        return job.id

    @rule(id=ids, state=st.sampled_from(sorted(TRANSITIONS)), error=st.sampled_from(["", "No memory."]))
    def mark(self, id, state, error):
        job = self.jobs.get(id)
        may = job is not None and (state == job.state or state in TRANSITIONS[job.state])
        if not may or (state == "done" != job.state and len(self.kept[id]) < job.count):
            with pytest.raises(StoreError if job else JobNotFound):
                self.store.mark(id, state, error)
            return
        marked = self.store.mark(id, state, error)
        if state != job.state:
            expected = replace(job, state=state, error=error, started=marked.started, finished=marked.finished)
            if job.private and expected.is_finished:
                expected = replace(expected, request=discreet(job.request))
            self.jobs[id] = expected
        assert marked == self.jobs[id]

    @rule(id=ids, number=st.integers(0, 3))
    def keep(self, id, number):
        if id not in self.jobs or number >= self.jobs[id].count:
            with pytest.raises(JobNotFound):
                self.store.keep(id, number, PICTURES[0], {})
        else:
            self.store.keep(id, number, PICTURES[0], {})
            self.kept[id].add(number)

    @rule(id=ids)
    def forget(self, id):
        if id in self.jobs and not self.jobs[id].is_finished:
            with pytest.raises(StoreError):
                self.store.forget(id)
        else:
            self.store.forget(id)
            self.jobs.pop(id, None)
            self.kept.pop(id, None)

    @rule()
    def open_again(self):
        self.store.close()
        self.store = Store(self.folder)

    @invariant()
    def it_is_the_plain_table(self):
        jobs = list(self.jobs.values())
        assert self.store.jobs(limit=500) == jobs[::-1]
        assert self.store.jobs(owner="anna", limit=500) == [job for job in jobs[::-1] if job.owner == "anna"]
        assert self.store.unfinished() == [job for job in jobs if not job.is_finished]
        for id, kept in self.kept.items():
            assert self.store.kept(id) == sorted(kept)

    @invariant()
    def it_holds_the_pictures_that_are_needed_and_no_others(self):
        needed = {job.request["picture"]["sha256"] for job in self.jobs.values() if job.request.get("picture")}
        assert {file.name for file in (self.folder / "given").iterdir()} == needed
        assert {file.name for file in (self.folder / "pictures").iterdir()} == {id for id in self.kept if self.kept[id]}
        assert not list((self.folder / "partial").iterdir())


TestPlainTable = PlainTable.TestCase
TestPlainTable.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
