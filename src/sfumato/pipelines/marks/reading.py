"""What the metadata of any picture say of how it was made."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import ExifTags, Image

from sfumato.pipelines.marks.recipes import KEY
from sfumato.pipelines.marks.xmp import Xmp, read


@dataclass(frozen=True)
class Metadata:
    """What stands in a file beside the pixels.

    Attributes:
        recipe: the text of our recipe, not yet looked at, or None.
        software: the program that wrote the file, or empty.
        xmp: what its XMP says.
        broken: why its XMP cannot be read, or empty.
    """

    recipe: str | None = None
    software: str = ""
    xmp: Xmp = field(default_factory=Xmp)
    broken: str = ""


def metadata_of(picture: Image.Image) -> Metadata:
    """The metadata of a picture that is open and loaded: those of a PNG may stand behind its pixels."""
    xmp, broken = Xmp(), ""
    content = picture.info.get("xmp")
    if isinstance(content, str | bytes):
        try:
            xmp = read(content.encode() if isinstance(content, str) else content)
        except ValueError as error:
            broken = str(error)
    recipe, software = picture.info.get(KEY), picture.info.get("Software")
    if software is None and picture.format != "PNG":
        software = picture.getexif().get(ExifTags.Base.Software)
    return Metadata(
        recipe=str(recipe) if isinstance(recipe, str) else xmp.recipe,
        software=software.strip("\0 ") if isinstance(software, str) else "",
        xmp=xmp,
        broken=broken,
    )
