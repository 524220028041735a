"""Which files a person means: an embedded model, a folder, a single file, or an id on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from sfumato.checkpoints.files import read_json
from sfumato.checkpoints.folder import class_of
from sfumato.checkpoints.hub import INDEX, is_hub_id, locate
from sfumato.checkpoints.lora import IN_FOLDER
from sfumato.checkpoints.pickled import SUFFIXES
from sfumato.errors import CheckpointError

EMBEDDED = Path(__file__).parent.parent / "models"
DEFAULT = "scenes"
SINGLE = (".safetensors", *SUFFIXES)
WEIGHTS = (".safetensors", ".bin")  # of the parts of a folder

# what the class of a part alone means for someone who gave it as a model
ALONE = {
    "ControlNetModel": "it is a ControlNet; give it beside the model that it steers",
    "T2IAdapter": "it is a T2I-adapter; give it beside the model that it steers",
    "AutoencoderKL": "it is an autoencoder; give it as --vae beside a model",
    "AutoencoderTiny": "it is an autoencoder; give it as --vae beside a model",
}


def find(name: str | Path | None, variant: str | None = None, *, fetch: bool = True) -> Path:
    """Where a model lies, a folder or a single file; `name` is an embedded model's, a path, or an id on the hub.

    What is not on this machine is fetched from the hub, if `fetch` says so, with the `variant` of its weights.
    Raises CheckpointError saying what there is.
    """
    if is_embedded(name):
        return EMBEDDED / str(name or DEFAULT)
    path = found(str(name), variant, fetch=fetch)
    if path.is_dir() and not (path / INDEX).is_file():
        raise CheckpointError(f"{path} is no model folder: it has no {INDEX}{_instead(path)}.")
    if path.is_dir() and any(path.glob("*/*.onnx")) and not any(file.suffix in WEIGHTS for file in path.glob("*/*")):
        raise CheckpointError(f"{path} holds ONNX graphs, for other programs; name the model that they are of.")
    if path.is_file() and path.suffix not in SINGLE:
        here = f"name its folder, {path.parent}" if path.name == INDEX else f"known: {', '.join(SINGLE)}"
        raise CheckpointError(f"{path} is no file of a model: {here}.")
    return path


def is_embedded(name: str | Path | None) -> bool:
    """Whether a name is that of a model that comes with the package; None is."""
    return name is None or str(name) in embedded()


def embedded() -> list[str]:
    """The names of the models that come with the package."""
    return sorted(path.parent.name for path in EMBEDDED.glob(f"*/{INDEX}"))


def called(name: str | Path | None, path: Path) -> str:
    """What a model that `find` found is called: its file or folder, or the id on the hub, whose folder is a number."""
    if is_embedded(name) or _is_there(Path(str(name))):
        return path.stem if path.is_file() else path.name
    return str(name)


def found(name: str, variant: str | None = None, *, fetch: bool = True) -> Path:
    """A path that is there, or what is on the hub under an id; CheckpointError when there is neither."""
    path = Path(name)
    if _is_there(path):
        return path
    if not is_hub_id(name):
        raise _unknown(name)
    try:
        return locate(name, variant, fetch=fetch)
    except CheckpointError as error:
        raise CheckpointError(f"There is no file or folder {name}; as an id on the hub: {error}") from error


def require_known(name: str) -> None:
    """Raises CheckpointError for what is no model's name: nothing that is here, nor what could be an id on the hub."""
    if not (is_embedded(name) or _is_there(Path(name)) or is_hub_id(name)):
        raise _unknown(name)


def _unknown(name: str) -> CheckpointError:
    return CheckpointError(
        f"There is no model {name!r:.300}. Name a model folder, a single file, an id on the hub such as "
        f"owner/name, or one of: {', '.join(embedded())}."
    )


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _instead(folder: Path) -> str:
    """What a folder seems to be that is no model."""
    if (folder / "run").is_dir():
        return ". Its training is not finished"
    if (folder / "adapter_config.json").is_file() or (folder / IN_FOLDER).is_file():
        return "; it is a LoRA; give it as --lora beside the model that it changes"
    if (folder / "config.json").is_file():
        name = class_of(read_json(folder / "config.json"), "unet")
        within = f"it holds one part, {name!r:.100}; name the folder of the whole model"
        return f"; {ALONE.get(name, within)}"
    single = sorted(path for path in folder.iterdir() if path.suffix in SINGLE)
    return f"; if a file in it is a whole model, name that: {single[0]}" if single else ""
