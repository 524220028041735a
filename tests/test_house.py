"""The house: no import runs upwards, the front door is small and quick, the README's map is true."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sfumato

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "sfumato"

# what each room may import besides itself; the cellar is open to all
FLOORS = {
    "pages": set(),
    "data": set(),
    "networks": set(),
    "diffusion": set(),
    "checkpoints": {"networks", "diffusion"},
    "pipelines": {"data", "networks", "diffusion", "checkpoints"},
    "training": {"data", "networks", "diffusion", "checkpoints", "pipelines"},
    "evaluation": {"pages", "data", "networks", "diffusion", "checkpoints", "pipelines"},
    "server": {"pages", "data", "networks", "diffusion", "checkpoints", "pipelines", "training", "evaluation"},
    "cli": {"data", "networks", "diffusion", "checkpoints", "pipelines", "training", "evaluation", "server"},
}
CELLAR = {"errors", "seeds", "devices", "progress", "__version__"}


def imports(path):
    """The rooms of sfumato that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "sfumato":
            names = [f"sfumato.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        yield from (name.split(".")[1] for name in names if name.startswith("sfumato."))


@pytest.mark.parametrize("room", FLOORS)
def test_no_import_runs_upwards(room):
    for path in (SOURCE / room).rglob("*.py"):
        strangers = set(imports(path)) - FLOORS[room] - {room} - CELLAR
        assert not strangers, f"{path.relative_to(SOURCE)} imports {strangers}"


def test_every_room_is_on_a_floor():
    rooms = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert rooms == set(FLOORS)


def test_no_import_runs_in_a_circle():
    modules = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in SOURCE.rglob("*.py")}

    def needs(path):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sfumato."):
                module = node.module.removeprefix("sfumato.")
                for alias in node.names:
                    yield f"{module}.{alias.name}" if f"{module}.{alias.name}" in modules else module

    done, open_ = set(), []

    def visit(name):
        assert name not in open_, f"circle: {' -> '.join([*open_, name])}"
        if name in done or name not in modules:
            return
        open_.append(name)
        for other in needs(modules[name]):
            visit(other)
        open_.pop()
        done.add(name)

    for name in modules:
        visit(name)


def test_the_public_face_is_what_it_says():
    assert sfumato.__all__ == ["Pipeline", "SfumatoError", "__version__", "load", "train"]
    for name in sfumato.__all__:
        assert getattr(sfumato, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        sfumato.nonsense  # noqa: B018


@pytest.mark.parametrize(
    "code", ["import sfumato", "import sys; sys.argv = ['sfumato', '--help']; import sfumato.cli.main"]
)
def test_importing_and_helping_do_not_load_torch(code):
    check = f"{code}; import sys; assert not {{'torch', 'numpy', 'pydantic'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.parametrize("command", [["-c", "import sfumato"], ["-m", "sfumato", "--help"]])
def test_the_front_door_opens_quickly(command):
    import resource

    def used():
        told = resource.getrusage(resource.RUSAGE_CHILDREN)
        return told.ru_utime + told.ru_stime

    def seconds():  # of the processor, which others may have meanwhile
        began = used()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        return used() - began

    assert min(seconds() for _ in range(5)) < 0.3


def test_the_map_of_the_house_in_the_readme_is_true():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.split("\nsrc/sfumato/\n", 1)[1].split("```", 1)[0]
    told = set(re.findall(r"^\s+(\w+)/ ", block, re.MULTILINE))
    there = {path.name for path in SOURCE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert told == there


def test_no_file_grows_past_400_lines():
    long = [str(path) for path in SOURCE.rglob("*.py") if len(path.read_text(encoding="utf-8").splitlines()) > 400]
    assert not long
