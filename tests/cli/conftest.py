"""The command line in this process: one of its own takes seconds to read its libraries, and tells little more."""

import subprocess

import pytest

from sfumato.cli.main import main


@pytest.fixture
def sfumato(monkeypatch, capsys, tmp_path):
    """Runs a command as it is typed in the folder of the test; gives what a process would."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        typed = ["sfumato", *map(str, arguments)]
        monkeypatch.setattr("sys.argv", typed)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        told = capsys.readouterr()
        return subprocess.CompletedProcess(typed, left.value.code or 0, told.out, told.err)

    return run
