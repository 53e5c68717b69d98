"""The rules about text that stand once: ids, control characters, web addresses, instants, phone numbers, secrets.

Everything that a person, a client or a file gives in one of these forms is judged here and nowhere else, so that the
command line can't enter what the API refuses. Patterns are for `fullmatch` with `re.ASCII`. The verifier and the
sample practice stand alone on purpose (other projects copy them); a test compares what they accept.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import unquote, urlsplit

# --- ids ----------------------------------------------------------------------------------------------------------

PRACTICE_ID: Final = r"[a-z0-9][a-z0-9-]{1,40}"
NEW_PRACTICE_ID: Final = r"[a-z][a-z0-9-]{1,40}"  # ADR 29: in `sub` it stands where a URI has its scheme
CLIENT_ID: Final = PRACTICE_ID
PATIENT_ID: Final = r"[A-Za-z0-9._-]{1,64}"
ACTING_USER: Final = r"[A-Za-z0-9._@-]{1,64}"  # whoever is at the desk, in a client's words
WORKFLOW: Final = r"[a-z][a-z0-9-]{0,39}"
RESOURCE_TYPE: Final = r"[a-z][a-z0-9_]{0,31}"  # no hyphen: scopes begin with it
RESOURCE: Final = rf"{RESOURCE_TYPE}:{PATIENT_ID}"
PUBLIC_ID: Final = r"[A-Za-z0-9_-]{1,64}"  # what we mint: links, sessions, messages, keys
AUDIENCE: Final = r"(?!.{129})([A-Za-z0-9][A-Za-z0-9._/-]*|[A-Za-z][A-Za-z0-9.-]*:[A-Za-z0-9._:/-]*)"
"""With a colon it has to be a URI (RFC 7519 §2, StringOrURI), and so to begin with a scheme (RFC 3986 §3.1)."""
LOCALE: Final = r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}"  # BCP 47, as far as anybody has one
SECRET: Final = r"[!-~]{1,200}"  # any challenge, token or code that a caller brings back; what it opens is looked up

# --- secrets ------------------------------------------------------------------------------------------------------

LINK_TOKEN: Final = "al_"
ACCESS_LINK_TOKEN: Final = "ala_"
CLIENT_SECRET: Final = "acs_"
REFRESH_TOKEN: Final = "art_"
CHALLENGE: Final = "ach_"
AUTHORIZATION_CODE: Final = "aac_"
LOGIN_HINT: Final = "alh_"
WEBHOOK_SECRET: Final = "whsec_"  # Standard Webhooks

SECRETS: Final = {
    LINK_TOKEN: "a link token: exchange it at …/links/exchange",
    ACCESS_LINK_TOKEN: "an access link's token: exchange it at …/links/exchange, and a code is mailed",
    CLIENT_SECRET: "a client secret; it should not be here, rotate it",
    REFRESH_TOKEN: "a refresh token: opaque, only /oauth2/token reads it",
    CHALLENGE: "a challenge: it names a started sign-in",
    AUTHORIZATION_CODE: "an authorization code: exchange it at /oauth2/token, once",
    LOGIN_HINT: "the hint of an opened link: it goes back to /oauth2/authorize as login_hint",
    WEBHOOK_SECRET: "a webhook secret; it should not be here, rotate it",
}
"""Every typed prefix of a secret of ours, and what it begins. A prefix tells people and secret scanners what leaked."""

_LINK: Final = re.compile(rf"(?:{LINK_TOKEN}|{ACCESS_LINK_TOKEN})[A-Za-z0-9_-]{{43}}", re.ASCII)
_FOLDED: Final = re.compile(r"=?[\r\n]+[>\s]*|\s+")


def link_token(text: str) -> str:
    """The token of a link in what a mail program or a person made of it: with a full stop or a bracket beside it, with
    invisible characters, or broken over two lines. Empty where there is none."""
    found = _LINK.search(_FOLDED.sub("", visible(text)))
    return found[0] if found else ""


# --- characters ---------------------------------------------------------------------------------------------------

CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""C0, DEL, C1, line and paragraph separators, bidirectional overrides (a name could show itself backwards), and lone
surrogates (bytes that were not UTF-8). What holds one reaches no log, mail, page or header."""


_IGNORABLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffc\U000e0000-\U000e0fff]"
)
"""What shows nothing and isn't in category Cf: the rest of Default_Ignorable_Code_Point, and two signs without ink."""


def visible(text: str) -> str:
    """Without the characters that nobody sees: those without width, and control characters but for white space."""
    kept = (one for one in text if one.isspace() or unicodedata.category(one) not in ("Cf", "Cc", "Co"))
    return _IGNORABLE.sub("", "".join(kept))


def one_line(text: str, most: int, *, least: int = 0) -> str:
    """One line for people, `least` to `most` characters, white space around it taken away. Raises ValueError."""
    line = text.strip()
    if CONTROL.search(line) or not least <= len(line) <= most:
        raise ValueError(f"must be one line of {least} to {most} characters")
    if "=?" in line:
        raise ValueError("must not hold =?, which mail programs take for the beginning of a code")
    return line


# --- web addresses ------------------------------------------------------------------------------------------------

URL_CHARS_MAX: Final = 500
_VISIBLE: Final = re.compile(r"[!-~]+")
_NAT64: Final = ip_network("64:ff9b::/96")  # RFC 6052
_UNSAFE_IN_URL: Final = re.compile(r"""[\\"<>^`{|}*#]""")


def is_loopback(host: str) -> bool:
    """Whether traffic to this host stays on the machine. A name other than `localhost` may resolve to anything."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_url(text: str, *, production: bool) -> None:
    """One plain absolute address that browsers, or we, may be sent to (RFC 3986): https, in development also http to
    this machine; no user name, no fragment. Such addresses are compared as text later on and decide where codes go
    (RFC 9700 §2.1), so there is no second reading of one: no pattern, backslash, or path that climbs.

    Raises ValueError with a reason that doesn't repeat the text.
    """
    if not len(text) <= URL_CHARS_MAX or not _VISIBLE.fullmatch(text):
        raise ValueError(f"must be 1 to {URL_CHARS_MAX} visible ASCII characters")
    if _UNSAFE_IN_URL.search(text) or ".." in unquote(text):
        raise ValueError("must be one plain address: no fragment, no wildcard, no backslash and no '..'")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not an address") from None
    if not host or port == 0 or parts.netloc.endswith(":"):
        raise ValueError("is not an absolute address such as https://portal.example.org/callback")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user's name or password")
    if not text.startswith("https://") and (production or not text.startswith("http://") or not is_loopback(host)):
        raise ValueError("must be https (in development also http to this machine)")


def is_public(host: str) -> bool:
    """Whether an IP address is in nobody's private network; for an IPv6 address that stands for an IPv4 one (mapped,
    6to4, Teredo, NAT64), both are looked at. Raises ValueError for a name."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address):
        teredo = address.teredo
        inner = address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)
        if inner is None and address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        address = inner or address
    return address.is_global and not address.is_multicast


def check_webhook_url(text: str, *, production: bool) -> None:
    """Where a practice takes messages: https, and not inside; in development this machine too. A name is judged by its
    addresses when it is called. Raises ValueError."""
    check_url(text, production=True)
    host = urlsplit(text).hostname or ""
    try:
        inside = is_loopback(host) or not is_public(host)
    except ValueError:
        inside = host.endswith(".localhost")
    if inside and (production or not is_loopback(host)):
        raise ValueError("must not lead to a private network or to this machine")


_PRIVATE_USE: Final = re.compile(r"[a-z][a-z0-9-]*(\.[a-z0-9-]+)+:/[!-~]*")


def check_native_url(text: str, *, production: bool) -> None:
    """Where an app may be called back (RFC 8252 §7): an address as above, this machine by its number on any port
    (`http://127.0.0.1/cb`), or the app's own scheme, a domain of its maker turned round (`com.example.app:/cb`).

    Raises ValueError with a reason that doesn't repeat the text.
    """
    if _PRIVATE_USE.fullmatch(text) and not text.partition(":")[2].startswith("//"):
        # The same rules for what comes behind the scheme.
        check_url(f"https://app.example{text.partition(':')[2]}", production=production)
    else:
        by_number = text.startswith(("http://127.0.0.1", "http://[::1]"))
        check_url(text, production=production and not by_number)


def check_link_template(text: str, *, production: bool) -> None:
    """A practice's own page for links: an address as above whose last path segment is `{token}`, which is filled in; a
    token in a query would stand in logs and referrers. Raises ValueError."""
    base, slash, rest = text.partition("/{token}")
    if not slash or rest or "?" in base:
        raise ValueError("must end in /{token}, which is filled in, and have no query")
    check_url(f"{base}/", production=production)


# --- phone numbers ------------------------------------------------------------------------------------------------

DIALLED_DIGITS: Final = 5  # anything shorter is no number to dial, and might be found inside other words


def tel(phone: str) -> str:
    """`tel:` and what to dial (RFC 3966), up to an extension; empty if it is no number."""
    number = re.split(r"[A-Za-z]", phone, maxsplit=1)[0]
    digits = re.sub(r"[^0-9]", "", number)
    plus = "+" if number.lstrip(" (").startswith("+") else ""
    return f"tel:{plus}{digits}" if len(digits) >= DIALLED_DIGITS else ""


# --- instants -----------------------------------------------------------------------------------------------------

_RFC_3339: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def rfc3339(ms: int) -> str:
    """Milliseconds since the epoch as RFC 3339 in UTC, to the second below: what ends is never said to end later than
    it does."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_not_before(ms: int) -> str:
    """The same to the second above, for an instant from which on something is safe: never said to be earlier."""
    return rfc3339(ms + 999)


def parse_rfc3339(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 instant with its offset. Raises ValueError for all else, a leap
    second among it (no clock of ours has one)."""
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise ValueError('must be an instant such as "2027-03-01T00:00:00Z"')
    date, time, fraction, offset = found.groups()
    try:
        instant = datetime.fromisoformat(f"{date}T{time}{offset.upper()}")
    except ValueError:
        raise ValueError("is no day and time that exists") from None
    return int(instant.timestamp()) * 1000 + int((fraction or "0")[:3].ljust(3, "0"))
