"""The store loses nothing that it accepted, keeps nothing twice or by halves, and forgets what it is to forget."""

import errno
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from PIL import Image

from doomed import picture
from sfumato.errors import JobNotFound, PromptError, StorageError, StoreDamaged, StoreError, StoreFull
from sfumato.pipelines.hints import Control, Like
from sfumato.pipelines.keepsake import read_recipe
from sfumato.pipelines.request import LARGEST_SEED, Request
from sfumato.server import store as store_module
from sfumato.server.job import TRANSITIONS, is_id
from sfumato.server.ledger import MIGRATIONS
from sfumato.server.store import Store
from small_disk import own_disk

TESTS = Path(__file__).parent.parent
CAT = Request("a red cat", seed=3)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store") as store:
        yield store


def finished(store, request=CAT, count=1, **how):
    job = store.add("local", "digits", request, count, **how)
    store.mark(job.id, "running")
    for number in range(count):
        store.keep(job.id, number, picture(number), {"request": job.asked(number).to_dict()})
    return store.mark(job.id, "done")


def bytes_of(folder):
    return b"".join(file.read_bytes() for file in Path(folder).rglob("*") if file.is_file())


# --- what was accepted stays ----------------------------------------------------------------------------------------


def test_a_job_is_the_same_after_the_store_was_opened_again(tmp_path):
    request = Request("a *cat*, 'red' \"naïve\" 猫", seed=5, mix=(("a dog", 0.25),), guidance_interval=(0.1, None))
    with Store(tmp_path) as store:
        job = store.add("anna", "scenes", request, count=3)
        assert is_id(job.id)
        assert job.state == "queued"
        assert store.job(job.id) == job
    with Store(tmp_path) as store:
        assert store.job(job.id) == job
        assert store.unfinished() == [job]
        assert job.asked() == request
        assert job.asked(2) == replace(request, seed=7)


def test_all_that_was_told_is_true_after_twenty_kills(tmp_path):
    command = [sys.executable, TESTS / "doomed.py", tmp_path / "store", "20"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    assert int(told) > 20


def test_a_picture_is_on_the_disk_before_it_has_its_name(store, monkeypatch):
    job = store.add("local", "digits", CAT)
    seen, fsync, rename = [], os.fsync, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda file: (seen.append(str(Path(f"/proc/self/fd/{file}").readlink())), fsync(file))
    )
    monkeypatch.setattr(Path, "replace", lambda old, new: (seen.append(f"{old} is {new}"), rename(old, new)))
    file = store.keep(job.id, 0, picture(0), {})
    named = next(number for number, what in enumerate(seen) if what.endswith(f" is {file}"))
    temporary = seen[named].split(" is ")[0]
    assert temporary in seen[:named], "the content was flushed before"
    assert str(file.parent) in seen[named:], "and the name after"
    assert [what for what in seen if " is " in what] == [seen[named]], "it is written once"


def test_a_full_disk_takes_nothing_by_halves_and_it_goes_on_when_there_is_room(tmp_path):
    disk = own_disk(tmp_path, "4m")
    if disk is None:
        pytest.skip("a process may not mount here")
    subprocess.run([*disk, sys.executable, TESTS / "small_disk.py", tmp_path], check=True, timeout=600)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_picture_that_finds_no_room_is_not_kept(store, monkeypatch, failing):
    job = store.add("local", "digits", CAT)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), full)
        with pytest.raises(StoreFull, match="make room"):
            store.keep(job.id, 0, picture(0), {})
    assert store.kept(job.id) == []
    assert not list((store.folder / "partial").iterdir())
    store.keep(job.id, 0, picture(0), {})
    assert store.kept(job.id) == [0]


def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="Could not write"):
        Store(tmp_path / "file" / "store")


# --- states -----------------------------------------------------------------------------------------------------------


def test_states_follow_each_other_as_the_table_says(store):
    roads = {"queued": [], "running": ["running"], "done": ["running", "done"], "failed": ["failed"]}
    roads["cancelled"] = ["running", "cancelled"]
    for state, road in roads.items():
        for following in TRANSITIONS:
            job = store.add("local", "digits", CAT)
            store.keep(job.id, 0, picture(0), {})
            for step in road:
                store.mark(job.id, step)
            if following == state or following in TRANSITIONS[state]:
                assert store.mark(job.id, following).state == following
                assert store.job(job.id).state == following
            else:
                with pytest.raises(StoreError, match=f"is {state}; it cannot become '{following}'"):
                    store.mark(job.id, following)
                assert store.job(job.id).state == state


def test_a_job_that_lacks_a_picture_is_not_done(store):
    job = store.add("local", "digits", CAT, count=2)
    store.mark(job.id, "running")
    store.keep(job.id, 1, picture(1), {})
    with pytest.raises(StoreError, match="1 of its 2 pictures are not kept"):
        store.mark(job.id, "done")
    assert store.job(job.id).state == "running"


def test_a_job_tells_when_it_began_and_ended_and_what_went_wrong(store, monkeypatch):
    job = store.add("local", "digits", CAT)
    monkeypatch.setattr(store_module.time, "time", lambda: job.created + 1)
    assert store.mark(job.id, "running").started == job.created + 1
    monkeypatch.setattr(store_module.time, "time", lambda: job.created + 2)
    assert store.mark(job.id, "queued").finished is None
    store.mark(job.id, "running")
    failed = store.mark(job.id, "failed", "There is no more memory.")
    assert (failed.started, failed.finished) == (job.created + 1, job.created + 2)
    assert store.job(job.id) == failed
    assert failed.error == "There is no more memory."
    assert store.unfinished() == []


def test_bad_jobs_are_refused_before_anything_is_written(store):
    with pytest.raises(PromptError, match="count"):
        store.add("local", "digits", CAT, count=0)
    with pytest.raises(PromptError, match="seed"):
        store.add("local", "digits", replace(CAT, seed=LARGEST_SEED), count=2)
    assert store.jobs() == []


# --- pictures made ----------------------------------------------------------------------------------------------------


def test_the_first_picture_kept_stays(store):
    job = store.add("local", "digits", CAT, count=2)
    file = store.keep(job.id, 1, picture(1), {"request": {"seed": 4}})
    assert store.keep(job.id, 1, picture(2), {}) == file == store.path(job.id, 1)
    assert Image.open(file).tobytes() == picture(1).tobytes()
    assert read_recipe(file) == {"request": {"seed": 4}}
    assert store.kept(job.id) == [1]


def test_pictures_that_were_not_asked_for_are_refused(store):
    job = store.add("local", "digits", CAT, count=2)
    for id, number in ((job.id, 2), (job.id, -1), ("A" * 22, 0), ("../../etc", 0)):
        with pytest.raises(JobNotFound, match="no job"):
            store.keep(id, number, picture(0), {})


@pytest.mark.parametrize("id", ["", "..", "../lock", "A" * 22, "A" * 21 + "/", "A" * 22 + "\n", "\0", None, 7, b"x"])
def test_ids_from_outside_lead_nowhere(store, id):
    assert store.job(id) is None
    assert store.kept(id) == []
    assert store.path(id, 0) is None
    store.forget(id)
    with pytest.raises(JobNotFound):
        store.mark(id, "running")


@pytest.mark.parametrize("number", [-1, 1, "0", "../0", True, None, 10**30])
def test_numbers_from_outside_lead_nowhere(store, number):
    job = finished(store)
    assert store.path(job.id, number) is None


def test_many_threads_do_not_get_into_each_others_way(store):
    def one(number):
        job = store.add(f"owner {number % 3}", "digits", replace(CAT, seed=number), count=2)
        store.mark(job.id, "running")
        for picture_number in (0, 0, 1):
            store.keep(job.id, picture_number, picture(number), {})
            store.jobs(limit=3)
        return store.mark(job.id, "done").id

    with ThreadPoolExecutor(8) as threads:
        ids = set(threads.map(one, range(40)))
    jobs = store.jobs(limit=100)
    assert {job.id for job in jobs} == ids
    assert len({job.created for job in jobs}) == 40
    assert all(store.kept(id) == [0, 1] for id in ids)


def test_threads_that_keep_the_same_picture_leave_one(store):
    job = store.add("local", "digits", CAT)
    with ThreadPoolExecutor(8) as threads:
        files = set(threads.map(lambda _: store.keep(job.id, 0, picture(0), {}), range(16)))
    assert [file.name for file in files.pop().parent.iterdir()] == ["0.png"]
    assert not files
    assert not list((store.folder / "partial").iterdir())


# --- pictures given ---------------------------------------------------------------------------------------------------


def test_pictures_given_are_copied_in_wherever_they_stand(store, tmp_path):
    picture(1).save(tmp_path / "cat.png")
    request = Request(
        "a red cat",
        picture=tmp_path / "cat.png",
        mask=picture(2),
        control=(Control("/networks/edges", picture(3)),),
        like=(Like("/adapters/like.safetensors", (picture(1), picture(4))),),
    )
    job = store.add("local", "digits", request)
    (tmp_path / "cat.png").unlink()
    asked = store.job(job.id).asked()
    given = [asked.picture, asked.mask, asked.control[0].picture, *asked.like[0].pictures]
    for number, one in zip((1, 2, 3, 1, 4), given, strict=True):
        assert one.open().tobytes() == picture(number).tobytes()
        assert Path(one.path).parent == store.folder / "given"
    assert asked.control[0].network == "/networks/edges"


def test_a_picture_given_stays_while_a_job_needs_it(store):
    jobs = [finished(store, Request("a red cat", picture=picture(1))) for _ in range(2)]
    (file,) = (store.folder / "given").iterdir()
    store.forget(jobs[0].id)
    assert file.exists()
    store.forget(jobs[1].id)
    assert not file.exists()


def test_a_picture_that_has_changed_is_refused_and_nothing_stays(store, tmp_path):
    picture(1).save(tmp_path / "cat.png")
    told = Request("a red cat", picture=tmp_path / "cat.png", mask=picture(2)).to_dict()
    picture(3).save(tmp_path / "cat.png")
    told["mask"] = None
    with pytest.raises(PromptError, match="has changed"):
        store.add("local", "digits", Request.from_dict(told))
    assert store.jobs() == []
    assert not list((store.folder / "given").iterdir())


def test_a_database_that_points_elsewhere_is_not_followed(tmp_path):
    with Store(tmp_path) as store:
        job = store.add("local", "digits", Request("a red cat", picture=picture(1)))
        sha256 = job.request["picture"]["sha256"]
    for planted, path in ((sha256, str(tmp_path / "given" / sha256)), ("../../etc/passwd", "")):
        with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
            given = f'{{"path": "/etc/passwd", "sha256": "{planted}"}}'
            database.execute("UPDATE jobs SET request = ?", (f'{{"prompt": "x", "picture": {given}}}',))
        database.close()
        with Store(tmp_path) as store:
            assert store.job(job.id).request["picture"]["path"] == path


# --- history ----------------------------------------------------------------------------------------------------------


def test_the_history_is_read_page_by_page_without_a_gap(store, monkeypatch):
    monkeypatch.setattr(store_module.time, "time", lambda: 1e9)  # a clock that stands still
    jobs = [store.add("local", "digits", CAT) for _ in range(7)]
    pages, before = [], None
    while page := store.jobs(before=before, limit=3):
        pages += page
        before = page[-1].created
    assert pages == jobs[::-1]
    assert store.unfinished() == jobs


def test_a_job_ends_after_it_began_when_the_clock_goes_back_and_is_not_forgotten_for_that(store, monkeypatch):
    now = store_module.time.time()
    job = store.add("local", "digits", CAT)
    monkeypatch.setattr(store_module.time, "time", lambda: now - 1e8)
    store.mark(job.id, "running")
    store.keep(job.id, 0, picture(0), {})
    monkeypatch.setattr(store_module.time, "time", lambda: now - 2e8)
    job = store.mark(job.id, "done")
    assert job.created <= job.started <= job.finished
    monkeypatch.setattr(store_module.time, "time", lambda: now + 60)
    assert store.prune(older_than=86_400) == 0


def test_the_history_keeps_its_order_when_the_clock_goes_back(store, monkeypatch):
    first = store.add("local", "digits", CAT)
    monkeypatch.setattr(store_module.time, "time", lambda: 1e9)
    assert store.add("local", "digits", CAT).created > first.created


def test_a_search_finds_prompts_that_hold_every_word(store):
    prompts = ["a Red CAT", "a red dog 100%", "STRASSE, straße", "a_b"]
    ids = [store.add("local", "digits", Request(prompt)).id for prompt in prompts]
    typed = store.add("local", "digits", Request("a red fox in snow", typed="a fox", mix=(("an owl", 0.5),))).id
    for search, found in {
        "cat": ids[:1],
        "RED": [ids[0], ids[1], typed],
        "red dog": ids[1:2],
        "dog re": ids[1:2],
        "strasse": ids[2:3],
        "%": ids[1:2],
        "_": ids[3:],
        "owl": [typed],
        "' OR 1 --": [],
        '"': [],
        "": [*ids, typed],
        "x" * 10_000: [],
    }.items():
        assert {job.id for job in store.jobs(search=search)} == set(found), search


def test_the_history_of_an_owner(store):
    mine = store.add("anna", "digits", CAT)
    other = store.add("ben", "digits", CAT)
    assert [job.id for job in store.jobs(owner="anna")] == [mine.id]
    assert store.jobs(owner="' OR 1") == []
    assert [job.id for job in store.jobs(owner="ben", search="cat")] == [other.id]


# --- forgetting -------------------------------------------------------------------------------------------------------


def test_a_job_that_is_forgotten_leaves_no_byte_of_its_prompt(store):
    job = finished(store, Request("a very secret unicorn", picture=picture(5)))
    assert b"unicorn" in bytes_of(store.folder)
    store.forget(job.id)
    store.forget(job.id)
    assert b"unicorn" not in bytes_of(store.folder)
    assert store.job(job.id) is None
    assert store.path(job.id, 0) is None
    assert not list((store.folder / "pictures").iterdir())


def test_a_job_is_not_forgotten_before_it_is_finished(store):
    job = store.add("local", "digits", CAT)
    with pytest.raises(StoreError, match="cancel it"):
        store.forget(job.id)


def test_a_picture_that_comes_after_its_job_was_forgotten_is_not_kept(store, monkeypatch):
    job = store.add("local", "digits", CAT)
    store.mark(job.id, "cancelled")
    put = store._pictures.put

    def late(*arguments):
        store.forget(job.id)
        return put(*arguments)

    monkeypatch.setattr(store._pictures, "put", late)
    with pytest.raises(JobNotFound, match="no job"):
        store.keep(job.id, 0, picture(0), {})
    assert not list((store.folder / "pictures").iterdir())
    assert not list((store.folder / "partial").iterdir())


def test_a_kill_leaves_no_picture_of_a_job_that_was_forgotten_while_it_was_kept(store, monkeypatch):
    job = store.add("local", "digits", CAT)
    store.mark(job.id, "cancelled")
    placed, let_go, replace = Event(), Event(), Path.replace

    def slow(old, new):
        replace(old, new)
        placed.set()
        assert let_go.wait(60)

    monkeypatch.setattr(Path, "replace", slow)
    with ThreadPoolExecutor(2) as threads:
        keeping = threads.submit(store.keep, job.id, 0, picture(0), {})
        assert placed.wait(60)
        forgetting = threads.submit(store.forget, job.id)
        with pytest.raises(TimeoutError):
            forgetting.result(0.2)
        assert store.job(job.id), "while there is a picture there is its job"
        let_go.set()
        keeping.result(60), forgetting.result(60)
    assert store.job(job.id) is None
    assert not list((store.folder / "pictures").iterdir())


def test_what_a_kill_left_of_a_picture_given_is_removed_at_the_start(tmp_path):
    with Store(tmp_path) as store:
        store.add("local", "digits", Request("a red cat", picture=picture(1)))
        (needed,) = (tmp_path / "given").iterdir()
    (tmp_path / "given" / ("0" * 64)).write_bytes(b"of a job that was not accepted any more")
    with Store(tmp_path):
        assert [*(tmp_path / "given").iterdir()] == [needed]


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_a_private_job_is_made_after_a_restart_and_leaves_no_byte_of_its_words(tmp_path, end):
    request = Request(
        "a secret unicorn", negative_prompt="no secret", mix=(("secret too", 0.5),), typed="secret", picture=picture(5)
    )
    with Store(tmp_path) as store:
        id = store.add("local", "digits", request, private=True).id
    with Store(tmp_path) as store:
        (job,) = store.unfinished()
        assert job.asked().prompt == "a secret unicorn"
        assert store.jobs(search="unicorn") == []
        store.mark(id, "running")
        store.keep(id, 0, picture(0), {"model": "digits", "request": job.asked().to_dict()})
        job = store.mark(id, end)
        assert b"secret" not in bytes_of(tmp_path)
        assert not list((tmp_path / "given").iterdir())
        assert store.job(id) == job
        assert job.private
        recipe = read_recipe(store.path(id, 0))
        assert ("model" not in recipe, recipe["private"], recipe["request"]["seed"]) == (True, True, 0)


def test_pruning_forgets_what_is_old_and_what_is_too_much(store, monkeypatch):
    now = store_module.time.time()
    jobs = []
    for age in (300, 200, 100):
        monkeypatch.setattr(store_module.time, "time", lambda age=age: now - age)
        jobs.append(finished(store))
    waiting = store.add("local", "digits", CAT)
    monkeypatch.setattr(store_module.time, "time", lambda: now)
    size = store.path(jobs[0].id, 0).stat().st_size
    assert store.prune(older_than=250) == 1
    assert store.prune(keep_at_most=2 * size) == 0
    assert store.prune(keep_at_most=2 * size - 1) == 1
    assert [job.id for job in store.jobs()] == [waiting.id, jobs[2].id]
    assert store.prune(older_than=0, keep_at_most=0) == 1
    assert [job.id for job in store.jobs()] == [waiting.id]


def test_pruning_does_not_mind_pictures_that_are_removed_meanwhile(store, monkeypatch):
    job, files = finished(store), store._pictures._files

    def removed_then(id):
        found = files(id)
        store._pictures.clear([id])
        return found

    monkeypatch.setattr(store._pictures, "_files", removed_then)
    assert store.prune(keep_at_most=1) == 0
    assert store.job(job.id) == job


# --- one owner, one version -------------------------------------------------------------------------------------------


def test_a_second_process_is_told_who_has_the_folder(store):
    with pytest.raises(StoreError, match=rf"process {os.getpid()}\b.*another folder"):
        Store(store.folder)


def test_a_lock_file_that_nobody_holds_is_no_obstacle(tmp_path):
    (tmp_path / "lock").write_text("12345\n")
    with Store(tmp_path) as store:
        store.add("local", "digits", CAT)
    store.close()
    with Store(tmp_path) as store:
        assert len(store.jobs()) == 1


def test_a_closed_store_says_so(store):
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.jobs()
    with pytest.raises(StoreError, match="closed"):
        store.add("local", "digits", CAT)


@pytest.mark.parametrize("where", ["head", "middle"])
def test_a_damaged_database_is_refused_and_left_as_it_is(tmp_path, where):
    with Store(tmp_path) as store:
        for number in range(40):
            store.add("local", "digits", Request(f"a red cat {number} " * 50))
    file = tmp_path / "jobs.sqlite"
    content = bytearray(file.read_bytes())
    begin = 0 if where == "head" else 2 * 4096
    content[begin : begin + 4096] = os.urandom(4096)
    file.write_bytes(content)
    with pytest.raises(StoreDamaged, match=r"is damaged .*\.recover"):
        Store(tmp_path)
    assert file.read_bytes() == content
    tmp_path.rename(tmp_path.with_name(f"{tmp_path.name} before"))
    with Store(tmp_path) as store:  # as the message advises
        assert store.jobs() == []


def test_a_database_of_a_later_version_is_refused(tmp_path):
    Store(tmp_path).close()
    database = sqlite3.connect(tmp_path / "jobs.sqlite")
    database.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    database.close()
    with pytest.raises(StoreDamaged, match="later version"):
        Store(tmp_path)


def test_a_job_with_settings_of_a_later_version_fails_alone(tmp_path):
    with Store(tmp_path) as store:
        jobs = [store.add("local", "digits", CAT) for _ in range(2)]
    with sqlite3.connect(tmp_path / "jobs.sqlite") as database:
        strange = '{"prompt": "a red cat", "odour": "lemon"}'
        database.execute("UPDATE jobs SET request = ? WHERE id = ?", (strange, jobs[0].id))
    database.close()
    with Store(tmp_path) as store:
        strange, usual = store.unfinished()
        with pytest.raises(PromptError, match="odour"):
            strange.asked()
        assert usual.asked() == CAT


def test_the_folder_is_for_its_owner_alone(store):
    assert store.folder.stat().st_mode & 0o077 == 0


def test_the_contracts_are_imported_without_torch():
    check = "import sfumato.server.job, sfumato.server.store, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)
