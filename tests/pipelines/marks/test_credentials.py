"""Signed credentials: whole ones are told from altered ones, known signers from unknown, and nothing is fetched."""

import io
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from certificates import certificates
from sfumato.errors import PromptError
from sfumato.pipelines.keepsake import read_recipe
from sfumato.pipelines.marks.credentials import Signer, credentials_in
from sfumato.pipelines.marks.sources import COMPOSITE, TRAINED, VOCABULARY
from sfumato.pipelines.marks.verifying import verify
from sfumato.pipelines.marks.watermark import Watermark
from sfumato.pipelines.marks.writing import FORMATS, Marks, written

pytest.importorskip("c2pa")
PICTURE = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
RECIPE = {"model": "digits", "request": {"prompt": "7", "seed": 3}}


@pytest.fixture(scope="module")
def issued():
    return certificates()


@pytest.fixture(scope="module")
def signer(issued):
    return Signer(*issued[:2])


@pytest.fixture(scope="module")
def signed_picture(signer):
    return written(PICTURE, RECIPE, marks=Marks(signer=signer))


@pytest.mark.parametrize("format", FORMATS)
def test_a_signed_picture_is_whole_and_says_who_made_it_of_what(signer, issued, format):
    content = written(PICTURE, RECIPE, format, Marks(signer=signer, watermark=Watermark(5)))
    found = credentials_in(content, format)
    assert found.state == "untrusted"
    assert found.sources == (VOCABULARY + TRAINED,)
    assert "Signer of the tests" in found.signer
    assert credentials_in(content, format, issued[2]).state == "trusted"
    told = verify(content, trusted=issued[2])
    assert told.exit_code == 0
    assert len(told.marks) == 4
    assert Image.open(io.BytesIO(content)).size == PICTURE.size


def test_an_edited_picture_is_a_composite_in_its_credentials_too(signer):
    content = written(PICTURE, {"restored": {}}, "png", Marks(signer=signer))
    assert credentials_in(content, "png").sources == (VOCABULARY + COMPOSITE,)


def test_a_signed_file_still_gives_its_recipe(signed_picture, tmp_path):
    (tmp_path / "p.png").write_bytes(signed_picture)
    assert read_recipe(tmp_path / "p.png") == RECIPE


def test_an_altered_file_is_invalid(signer):
    content = written(PICTURE, RECIPE, "webp", Marks(signer=signer))
    place = content.index(b"digits")
    altered = content[:place] + b"Digits" + content[place + 6 :]
    assert credentials_in(altered, "webp").state == "invalid"
    told = verify(altered)
    assert told.exit_code == 2
    assert "invalid" in told.faults[0]


def test_pixels_under_the_credentials_of_another_picture_are_invalid(signed_picture):
    start = signed_picture.index(b"caBX") - 4
    end = start + int.from_bytes(signed_picture[start : start + 4], "big") + 12
    other = written(PICTURE.rotate(90), RECIPE)
    place = other.index(b"IDAT") - 4
    assert verify(other[:place] + signed_picture[start:end] + other[place:]).exit_code == 2


def test_a_picture_without_credentials_has_none():
    assert credentials_in(written(PICTURE, RECIPE), "png") is None


def test_credentials_from_elsewhere_are_not_fetched(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/manifest.c2pa"
        xmp = (
            '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            '<rdf:Description rdf:about="" xmlns:dcterms="http://purl.org/dc/terms/" '
            f'dcterms:provenance="{address}"/></rdf:RDF></x:xmpmeta>'
        )
        file = io.BytesIO()
        PICTURE.save(file, "JPEG", xmp=xmp.encode())
        told = verify(file.getvalue())
        assert "not fetched" in told.notes[0]
        with pytest.raises(TimeoutError):
            server.accept()


def test_certificates_and_keys_that_do_not_sign_are_refused(issued):
    chain, key, authority = issued
    with pytest.raises(PromptError, match="holds none"):
        Signer("", key)
    with pytest.raises(PromptError, match="private key"):
        Signer(chain, chain)
    with pytest.raises(PromptError, match="cannot be signed"):
        written(PICTURE, {}, marks=Marks(signer=Signer(authority, key)))
    assert key not in repr(Signer(chain, key))


def test_a_signer_from_files_names_the_file_that_is_missing(tmp_path):
    with pytest.raises(PromptError, match=r"none\.pem"):
        Signer.of(tmp_path / "none.pem", tmp_path / "none.pem")


@given(place=st.integers(0, 10**6), junk=st.binary(min_size=1, max_size=8), cut=st.booleans())
def test_broken_credentials_get_an_answer_and_no_error(signed_picture, place, junk, cut):
    place %= len(signed_picture)
    broken = signed_picture[:place] + (b"" if cut else junk + signed_picture[place + len(junk) :])
    found = credentials_in(broken, "png")  # whole still where only what the signature leaves out is hit
    assert found is None or found.state in ("invalid", "untrusted")
    assert verify(broken).exit_code in (0, 1, 2)
