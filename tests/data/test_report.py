"""The report keeps every problem and says in short what they were."""

from concurrent.futures import ThreadPoolExecutor

from sfumato.data.report import Problem, Report


def test_summary_counts_kinds_and_names_the_first_few() -> None:
    report = Report()
    for number in range(5):
        report.set_aside(f"{number}.jpg", f"too large: {number}")
    report.set_aside("x.jpg", "empty file")
    report.note("y.txt", "long caption: 10,000 characters")
    assert report.summary() == (
        "6 set aside: 5 x too large (0.jpg, 1.jpg, 2.jpg, ...); empty file (x.jpg). "
        "1 used with a note: long caption (y.txt)."
    )


def test_an_empty_report_says_nothing() -> None:
    assert Report().summary() == ""
    assert len(Report()) == 0


def test_everything_is_saved_and_read_back(tmp_path) -> None:
    report = Report()
    report.set_aside("ä\ud800\n.jpg", "reason: ½")
    report.note("b", "odd")
    report.save(tmp_path / "problems.jsonl")
    assert len((tmp_path / "problems.jsonl").read_text().splitlines()) == 2
    assert list(Report.load(tmp_path / "problems.jsonl")) == list(report)
    assert next(iter(report)) == Problem("ä\ud800\n.jpg", "reason: ½", kept=False)


def test_threads_lose_no_problem() -> None:
    report = Report()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: report.note(str(n), "odd"), range(2000)))
    assert len(report) == 2000
