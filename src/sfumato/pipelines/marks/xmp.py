"""XMP packets: how picture programs are told that a picture was made by a machine.

ISO 16684-1, and the IPTC's Photo Metadata Standard for the property DigitalSourceType.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from sfumato.pipelines.marks.sources import VOCABULARY

LARGEST_PACKET = 2**20  # bytes
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
BASIC = "http://ns.adobe.com/xap/1.0/"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
OURS = "urn:sfumato:1.0/"

# around a packet in a GIF (Adobe's XMP specification, part 3, section 1.1.2); the end is where readers of blocks arrive
GIF_BEGIN, GIF_END = b"!\xff\x0bXMP DataXMP", bytes([1, *range(255, -1, -1), 0])

PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{rdf}">
  <rdf:Description rdf:about="" xmlns:xmp="{basic}" xmlns:Iptc4xmpExt="{iptc}" xmlns:sfumato="{ours}"
   xmp:CreatorTool={tool}
   Iptc4xmpExt:DigitalSourceType={source}
   Iptc4xmpExt:AISystemUsed="sfumato"{recipe}/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


@dataclass(frozen=True)
class Xmp:
    """What a packet says, as far as it is of interest here.

    Attributes:
        sources: digital source types, as they stand there; more than one contradict each other.
        tool: the program that made the picture, or empty.
        recipe: the text of a recipe, or None.
    """

    sources: tuple[str, ...] = ()
    tool: str = ""
    recipe: str | None = None


def packet(source: str, tool: str, recipe: str | None = None) -> bytes:
    """A packet with a source type of the IPTC's vocabulary, the program's name and, in ASCII, the recipe."""
    kept = "" if recipe is None else f"\n   sfumato:Recipe={quoteattr(recipe)}"
    return PACKET.format(
        rdf=RDF,
        basic=BASIC,
        iptc=IPTC,
        ours=OURS,
        tool=quoteattr(tool),
        source=quoteattr(VOCABULARY + source),
        recipe=kept,
    ).encode()


def in_gif(content: bytes, told: bytes) -> bytes:
    """The file of a GIF with a packet before its end."""
    return content[:-1] + GIF_BEGIN + told + GIF_END + content[-1:]


def of_gif(content: bytes) -> bytes | None:
    """The packet in the file of a GIF, or None."""
    _, begin, rest = content.partition(GIF_BEGIN)
    told, end, _ = rest.partition(GIF_END)
    return told if begin and end else None


def read(content: bytes) -> Xmp:
    """What a packet from anywhere says; ValueError when it cannot be read.

    A document type is refused, since entities may be declared in it that grow without end; XMP has none.
    """
    if len(content) > LARGEST_PACKET:
        raise ValueError("it is larger than any should be")
    text = content.decode("utf-8").strip("\0 \r\n\t\ufeff")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("it declares a document type")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, RecursionError) as error:
        raise ValueError(f"it is not XML: {error}") from error
    recipes = _values(root, OURS, "Recipe")
    return Xmp(
        sources=tuple(dict.fromkeys(_values(root, IPTC, "DigitalSourceType"))),
        tool=next(iter(_values(root, BASIC, "CreatorTool")), ""),
        recipe=recipes[0] if recipes else None,
    )


def _values(root: ElementTree.Element, namespace: str, name: str) -> list[str]:
    """A property's values, whether written as attributes, elements or resources."""
    qualified, found = f"{{{namespace}}}{name}", []
    for element in root.iter():
        if qualified in element.attrib:
            found.append(element.attrib[qualified])
        if element.tag == qualified:
            found.append(element.attrib.get(f"{{{RDF}}}resource") or "".join(element.itertext()))
    return [value.strip() for value in found if value.strip()]
