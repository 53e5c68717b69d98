"""What can be set: every setting with its type (unit and range), the reason for it, and its default.

The reference and `config/authsvc.toml` are made from this class, so what is written here is what operators read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Annotated, Any, get_type_hints
from urllib.parse import urlsplit

from authsvc.config.redis_url import RedisUrl
from authsvc.config.value_types import (
    AUDIENCE,
    BIND,
    HOST_PORT,
    MAIL_FROM,
    MAIL_OAUTH_URL,
    MAIL_URL,
    NETWORKS,
    PATH,
    PUBLIC_URL,
    REDIS_URL,
    SECRET_KEYS,
    Network,
    ValueType,
    chance,
    choice,
    count,
    fine_seconds,
    seconds,
)

CODE_LIFE_CEILING_S = 600
"""No setting lets a code live longer (NIST SP 800-63B-4 §3.1.3.2 allows 10 minutes)."""

DAY_S = 86_400


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set; spans are in seconds."""

    env: Annotated[
        str,
        choice("production", "development"),
        "Development allows plain http, mail to loopback without TLS, and the file, console and inbox sinks.",
    ] = "production"
    public_url: Annotated[
        str,
        PUBLIC_URL,
        "Where the service is reached. Tokens carry it byte for byte as `iss`, links begin with it; the Host "
        "header is never asked.",
    ]
    redis_url: Annotated[str, REDIS_URL, "The store. In production encrypted, or on this machine."] = field(repr=False)
    secret_keys: Annotated[
        tuple[bytes, ...],
        SECRET_KEYS,
        "Master secrets, newest first: the first seals, all open. Each is 32 random bytes or more.",
    ] = field(repr=False)
    mail_url: Annotated[
        str,
        MAIL_URL,
        "How mail leaves: smtp:// (STARTTLS), smtps://; in development also file:///dir, console:, inbox:. "
        "For a private authority add ?ca=FILE.",
    ] = field(repr=False)
    mail_from: Annotated[
        str,
        MAIL_FROM,
        "The sender that patients see; bounces go there, and replies where the practice has no support address.",
    ]
    mail_oauth_url: Annotated[
        str,
        MAIL_OAUTH_URL,
        "Where the mail host takes access tokens instead of a password (Microsoft 365): its token endpoint, "
        "https://CLIENT:SECRET@host/path?scope=….",
    ] = field(default="", repr=False)
    mail_connections: Annotated[
        int,
        count(1, 64),
        "Connections of a worker to the mail host, so mails under way at once; Microsoft 365 takes 3.",
    ] = 12
    mail_patience_s: Annotated[
        int,
        seconds(60, 1_800),
        "How long the mail host may take to greet and to answer a whole mail. Giving up early makes copies "
        "(RFC 5321 asks for 10 minutes).",
    ] = 600
    trusted_proxies: Annotated[
        tuple[Network, ...], NETWORKS, "Whose X-Forwarded-For is believed, walked from the right. Empty: nobody's."
    ] = ()
    bind: Annotated[str, BIND, "Where `serve` listens: HOST:PORT, or a unix socket for a proxy beside it."] = (
        "127.0.0.1:8000"
    )
    admin_bind: Annotated[
        str, HOST_PORT, "Where `serve` shows /metrics, /docs and /openapi.json; not for the public."
    ] = "127.0.0.1:9000"
    workers: Annotated[int, count(1, 64), "Processes of `serve`: about one a core."] = 2
    threads: Annotated[
        int,
        count(2, 128),
        "Threads of each process. At most half may wait for the store, so that keys and probes always answer.",
    ] = 8

    code_life_s: Annotated[
        int,
        seconds(60, CODE_LIFE_CEILING_S),
        "How long a code is good. Ten minutes is a ceiling, not a wish (NIST SP 800-63B-4).",
    ] = 600
    challenge_life_s: Annotated[
        int, seconds(60, 3_600), "How long a started sign-in may be finished, with codes sent again."
    ] = 1_800
    choose_life_s: Annotated[int, seconds(30, 900), "How long a proven mailbox may choose between its patients."] = 300
    access_token_life_s: Annotated[
        int, seconds(60, 600), "How long gateways go on accepting a token after sign-out."
    ] = 600
    session_idle_s: Annotated[
        int,
        seconds(60, 3_600),
        "A session ends after this long without use: automatic logoff (45 CFR 164.312(a)(2)(iii)).",
    ] = 1_800
    session_absolute_s: Annotated[
        int, seconds(300, DAY_S), "A session ends after this long whatever happens; NIST asks for 24 hours at most."
    ] = 43_200

    jwks_max_age_s: Annotated[int, seconds(30, DAY_S), "How long verifiers may cache the key set."] = 300
    jwks_slack_s: Annotated[
        int, seconds(10, 3_600), "How much longer than that a key is published before it signs, for slow caches."
    ] = 60
    clock_skew_s: Annotated[
        int,
        seconds(30, 300),
        "How long a retiring key outlives its last token; at least the verifier's leeway of 30 s.",
    ] = 60
    ring_poll_s: Annotated[int, seconds(1, 5), "How often an instance looks for a rotated key."] = 2
    signing_alg: Annotated[
        str,
        choice("ES256", "RS256", "EdDSA"),
        "New keys are of this kind. ES256 is read by every gateway; RS256 makes longer tokens; EdDSA is "
        "unknown to some.",
    ] = "ES256"

    code_hash_profile: Annotated[
        str,
        choice("light", "owasp"),
        "Cost of argon2id for codes. Light is enough because the pepper, which Redis never sees, carries the weight.",
    ] = "light"
    code_hash_slots: Annotated[int, count(1, 64), "Hashes that a process computes at once: about one a core."] = 2
    code_hash_queue: Annotated[
        int,
        count(0, 1_024),
        "Verifications that may wait for a slot; the next is answered 503 before it costs an attempt.",
    ] = 16
    guess_bound: Annotated[
        float,
        chance(0.01),
        "Highest chance a day of entering one mailbox by guessing; limits that allow more are refused at start.",
    ] = 0.001
    resend_after_s: Annotated[int, seconds(10, 300), "How long a patient waits before a code may be sent again."] = 30
    link_mode_link_life_s: Annotated[
        int,
        seconds(300, 7_200),
        "How long the access link lives that replaces a code when a mailbox's guesses or mails are spent. Longer than"
        " `issue-address-day` takes to allow one more mail (72 min), so that a link lives whenever the page refuses.",
    ] = 4_500
    tombstone_life_s: Annotated[
        int, seconds(DAY_S, 365 * DAY_S), "How long a dead link can still say why it is dead."
    ] = 90 * DAY_S
    idempotency_life_s: Annotated[
        int, seconds(60, DAY_S), "How long an Idempotency-Key brings back the same answer."
    ] = 600
    delivery_record_life_s: Annotated[
        int, seconds(3_600, 90 * DAY_S), "How long staff can ask what happened to a mail."
    ] = 7 * DAY_S
    client_secret_life_s: Annotated[
        int, seconds(3_600, 731 * DAY_S), "A client's secret ends after this long; rotation keeps two alive."
    ] = 365 * DAY_S
    default_audience: Annotated[str, AUDIENCE, "`aud` of access tokens, unless the client has one of its own."] = (
        "practice-services"
    )

    redis_timeout_s: Annotated[float, fine_seconds(0.05, 5), "How long one exchange with the store may take."] = 0.5
    redis_deadline_s: Annotated[
        float, fine_seconds(0.1, 10), "How long a call retries against the store before it answers 503."
    ] = 2.0
    redis_replicas: Annotated[
        int, count(0, 5), "Replicas that must have what was issued or spent before it is answered."
    ] = 0
    log_level: Annotated[str, choice("debug", "info", "warning", "error"), "Secrets and addresses are in no level."] = (
        "info"
    )
    workflows_file: Annotated[str, PATH, "A catalogue of your own, instead of the packaged one."] = ""
    limits_file: Annotated[str, PATH, "Limits of your own, over the packaged ones."] = ""

    @property
    def production(self) -> bool:
        return self.env != "development"

    @property
    def redis(self) -> RedisUrl:
        """The parts of `redis_url`."""
        return RedisUrl.parse(self.redis_url)

    @property
    def origin(self) -> str:
        """Scheme, host and port of `public_url`, as browsers send it in `Origin` (RFC 6454 §6.2)."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True)
class Known:
    """What is known of one setting: its type, the reason for it, and its default (MISSING: it is required)."""

    name: str
    type: ValueType
    why: str
    default: Any

    @property
    def variable(self) -> str:
        """The environment variable, which is also the setting's name in faults."""
        return f"AUTHSVC_{self.name.upper()}"

    @property
    def required(self) -> bool:
        return self.default is MISSING

    @property
    def secret(self) -> bool:
        """Whether the value is, or may hold, something to hide: these are also the ones left out of `repr`."""
        return self.name in ("secret_keys", "redis_url", "mail_url", "mail_oauth_url")


def _known() -> dict[str, Known]:
    hints = get_type_hints(Settings, include_extras=True)
    found = {}
    for each in fields(Settings):
        value_type, why = hints[each.name].__metadata__
        found[each.name] = Known(each.name, value_type, why, each.default)
    return found


KNOWN: Mapping[str, Known] = _known()
