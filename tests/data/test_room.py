"""The room's door costs nothing: what is heavy is imported with the part that needs it."""

import subprocess
import sys


def test_importing_the_room_imports_nothing_heavy() -> None:
    script = "import sys, sfumato.data; print(sorted({'torch', 'PIL', 'numpy', 'tokenizers'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "[]\n"
