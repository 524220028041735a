"""Content credentials: a signed statement inside the file that a machine made it, after the C2PA's specification.

By c2pa-python, the extra `sign`. Nothing is fetched: no manifest from elsewhere, no revocation list, no time stamp.
"""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sfumato import __version__
from sfumato.errors import PromptError
from sfumato.pipelines.marks.sources import VOCABULARY

MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
LARGEST_PEM = 2**20  # bytes
LARGEST_REPORT = 2**24  # characters
KEYS = {
    "ed25519": "06032b6570",
    "es256": "06082a8648ce3d030107",
    "es384": "06052b81040022",
    "es512": "06052b81040023",
    "ps256": "06092a864886f70d010101",
}
"""How a private key is signed with, by the object identifier that stands in it (RFC 5480, RFC 8410, RFC 8017)."""

OFFLINE: dict[str, Any] = {
    "core": {"allowed_network_hosts": []},
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
    "builder": {"thumbnail": {"enabled": False}},
}


@dataclass(frozen=True)
class Signer:
    """Who signs.

    Attributes:
        chain: certificates in PEM, the signer's first; one that the C2PA's profile allows, not self-signed.
        key: its private key in PEM (PKCS#8), not encrypted.
    """

    chain: str
    key: str = field(repr=False)

    def __post_init__(self) -> None:
        """Raises PromptError when the key is of no kind that signs, or there is no certificate."""
        if "-----BEGIN CERTIFICATE-----" not in self.chain:
            raise PromptError("The file of the certificate holds none in PEM.")
        if self.algorithm is None:
            raise PromptError(f"The private key is none in PEM that signs: {', '.join(KEYS)}, not encrypted.")

    @classmethod
    def of(cls, certificate: Path, key: Path) -> Signer:
        """A signer from two files; PromptError when they cannot be read."""
        return cls(pem(certificate), pem(key))

    @property
    def algorithm(self) -> str | None:
        """The name of how its key signs, or None."""
        block = re.search(r"-----BEGIN (?:EC |RSA )?PRIVATE KEY-----(.*?)-----END", self.key, re.DOTALL)
        try:
            content = base64.b64decode(block[1]).hex() if block else ""
        except ValueError:
            return None
        return next((name for name, mark in KEYS.items() if mark in content), None)


@dataclass(frozen=True)
class Credentials:
    """What the credentials of a picture say.

    Attributes:
        state: "trusted", "untrusted" (whole, by a signer who is not known here), "invalid", or "elsewhere" (not
            fetched).
        signer: who signed, as the certificate says.
        sources: digital source types of what was done.
        problems: codes of the C2PA for what is wrong.
    """

    state: str
    signer: str = ""
    sources: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def signed(content: bytes, format: str, source: str, signer: Signer) -> bytes:
    """A picture's file with credentials that say that it was created, with this digital source type.

    Raises PromptError when c2pa-python is not installed, or refuses the certificate.
    """
    c2pa = _library()
    action = {
        "action": "c2pa.created",
        "digitalSourceType": VOCABULARY + source,
        "softwareAgent": {"name": "sfumato", "version": __version__},
    }
    manifest = {
        "claim_generator_info": [{"name": "sfumato", "version": __version__}],
        "format": MEDIA_TYPES[format],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }
    done = io.BytesIO()
    try:
        algorithm = str(signer.algorithm).encode()
        told = c2pa.C2paSignerInfo(algorithm, signer.chain.encode(), signer.key.encode(), None)  # no time stamp
        with (
            c2pa.Context(c2pa.Settings.from_dict(OFFLINE)) as context,
            c2pa.Signer.from_info(told) as hand,
            c2pa.Builder(manifest, context=context) as builder,
        ):
            builder.sign(hand, MEDIA_TYPES[format], io.BytesIO(content), done)
    except (c2pa.C2paError, ValueError) as error:
        raise PromptError(f"The picture cannot be signed with this certificate and key: {error}") from error
    return done.getvalue()


def credentials_in(content: bytes, format: str, trusted: str = "") -> Credentials | None:
    """The credentials of a picture's file, from anywhere, or None.

    Args:
        content: the file.
        format: a name in `MEDIA_TYPES`.
        trusted: certificates in PEM of authorities whose signers are trusted.

    Raises:
        PromptError: c2pa-python is not installed, or the trusted certificates are none.
    """
    if not may_have_credentials(content):
        return None
    c2pa = _library()
    settings = {**OFFLINE, **({"trust": {"user_anchors": trusted}} if trusted else {})}
    try:
        context = c2pa.Context(c2pa.Settings.from_dict(settings))
    except c2pa.C2paError as error:
        raise PromptError(f"The trusted certificates cannot be used: {error}") from error
    try:
        with context, c2pa.Reader(MEDIA_TYPES[format], io.BytesIO(content), context=context) as reader:
            told = reader.json()
    except c2pa.C2paError as error:
        if isinstance(error, c2pa.C2paError.ManifestNotFound):
            return None
        if isinstance(error, c2pa.C2paError.RemoteManifest) or "remote" in str(error).lower():
            return Credentials("elsewhere")
        return Credentials("invalid", problems=(type(error).__name__.strip("_"),))
    try:
        return _told(told)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return Credentials("invalid", problems=("not readable",))


def may_have_credentials(content: bytes) -> bool:
    """Whether there is a box of JUMBF (ISO 19566-5) in a file, or an address where its manifest would be."""
    return b"jumb" in content or b"provenance" in content


def _told(text: str) -> Credentials:
    """The report of the library, in which any value may be of any kind."""
    if len(text) > LARGEST_REPORT:
        raise ValueError("too large")
    report = json.loads(text)
    manifest = report.get("manifests", {}).get(report.get("active_manifest"), {})
    actions = [
        action
        for assertion in manifest.get("assertions", ())
        if str(assertion.get("label", "")).startswith("c2pa.actions")
        for action in assertion.get("data", {}).get("actions", ())
    ]
    problems = tuple(dict.fromkeys(str(status.get("code")) for status in report.get("validation_status", ())))
    state = {"Trusted": "trusted", "Valid": "untrusted"}.get(str(report.get("validation_state")), "invalid")
    signature = manifest.get("signature_info") or {}
    names = [str(signature[name]) for name in ("common_name", "issuer") if signature.get(name)]
    return Credentials(
        state,
        ", ".join(names),
        tuple(str(action["digitalSourceType"]) for action in actions if action.get("digitalSourceType")),
        problems,
    )


def _library() -> Any:
    try:
        import c2pa
    except ImportError as error:
        raise PromptError('Content credentials need c2pa-python: pip install "sfumato[sign]"') from error
    return c2pa


def pem(path: Path) -> str:
    """The text of a file in PEM; PromptError when it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_PEM + 1)
    except OSError as error:
        raise PromptError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > LARGEST_PEM or not content.isascii():
        raise PromptError(f"{path} is no file in PEM.")
    return content.decode()
