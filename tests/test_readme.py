"""The README does what it says."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("code", blocks("python"), ids=range(len(blocks("python"))))
def test_the_python_of_the_readme_runs(code, tmp_path):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_commands_of_the_readme_run(tmp_path):
    commands = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("sfumato ")]
    here = [line for line in commands if "photos/" not in line and "my-" not in line]
    assert len(here) == 4
    assert shutil.which("sfumato")
    told = ""
    for line in here:
        done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        told += done.stdout
    assert "the same pixels" in told.splitlines()


def test_the_tests_that_ci_runs_are_those_of_the_readme():
    (line,) = re.findall(r"^.* && pytest$", README, re.MULTILINE)
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in re.findall(r"pip install (.*?) &&", line):
        assert command in ci


def test_every_page_of_the_docs_is_named_by_another_and_no_link_is_dead():
    pages = {page: page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))}
    for page, text in pages.items():
        for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
        assert page.name == "README.md" or any(page.name in pages[other] for other in pages if other != page), page.name
