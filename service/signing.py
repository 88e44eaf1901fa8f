"""What this service signs with, and what it seals: access tokens, cookies and forms.

    keys.seal("visit", text) -> sealed
    keys.unseal("visit", sealed) -> text, or None

A key signs for one purpose at a time, so that a cookie never passes for a form's token.
"""

import hmac
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from service.keys import Secret


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """A key that signs tokens and cookies of this service, with the name it goes by.

    Args:
        kid: goes into what it signs; letters, digits and `-`.
        secret: at least 32 bytes, as HS256 asks (RFC 7518 §3.2).

    Raises: ValueError: the secret is too short, or the name is none.
    """

    kid: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) < 32:
            raise ValueError("a signing key has at least 32 bytes")
        if not re.fullmatch(r"[0-9A-Za-z-]{1,32}", self.kid):
            raise ValueError("a signing key's name is 1 to 32 letters, digits and hyphens")

    def derive(self, purpose: str) -> bytes:
        """32 bytes for one purpose, so that what is signed for one is void for another."""
        return hmac.digest(self.secret, purpose.encode(), "sha256")

    def sign(self, purpose: str, text: str) -> str:
        """HMAC of a text for one purpose, hex."""
        encoded = text.encode("utf-8", "surrogatepass")
        return hmac.digest(self.derive(purpose), encoded, "sha256").hex()


@dataclass(frozen=True, slots=True, eq=False)
class SigningKeys:
    """The keys of this service: the first signs, all verify.

    To rotate, put the new one in front and take the old one out after the longest life of what
    it signed: `oauth.TOKEN_LIFETIME` for tokens, `visits.ABSOLUTE` for cookies.

    Raises: ValueError: no key, or two of one name.
    """

    keys: tuple[SigningKey, ...]

    def __post_init__(self) -> None:
        if not self.keys or len({key.kid for key in self.keys}) != len(self.keys):
            raise ValueError("signing keys: at least one, each with a name of its own")

    @property
    def signing(self) -> SigningKey:
        """The key that signs."""
        return self.keys[0]

    def named(self, kid: object) -> SigningKey | None:
        """The key of that name, if it is still one of ours."""
        return next((key for key in self.keys if key.kid == kid), None)

    def seal(self, purpose: str, text: str, *, bound_to: str = "") -> str:
        """`<key>.<text>.<signature>`, for `unseal`. The text has no dot, and can be read.

        `bound_to` is signed and not in it: who unseals must know it.
        """
        signed = f"{text}.{bound_to}" if bound_to else text
        return f"{self.signing.kid}.{text}.{self.signing.sign(purpose, signed)}"

    def unseal(self, purpose: str, sealed: str, *, bound_to: str = "") -> str | None:
        """The text, if one of these keys sealed it for this purpose; else None."""
        if sealed.count(".") != 2:
            return None
        kid, text, signature = sealed.split(".")
        signed = f"{text}.{bound_to}" if bound_to else text
        key = self.named(kid)
        if key is None or Secret(signature) != Secret(key.sign(purpose, signed)):
            return None
        return text


CLOCK_SKEW = timedelta(seconds=60)
"""How far clocks of two machines may differ; "a few minutes" at most in RFC 7519 §4.1.4."""


def epoch_s(now: datetime) -> int:
    """Whole seconds since 1970, as tokens and one-time codes count them.

    Raises: ValueError: a time without a zone, which would be taken for the machine's.
    """
    if now.tzinfo is None:
        raise ValueError("now must be aware")
    return int(now.timestamp())
