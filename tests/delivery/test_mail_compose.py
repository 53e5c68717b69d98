"""What a mail says, and what it can't be made to say."""

from __future__ import annotations

import base64
import dataclasses
import re
from email import message_from_bytes
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr
from pathlib import Path

import pytest
from babel.support import NullTranslations
from hypothesis import example, given, settings
from hypothesis import strategies as some

from authsvc.contrast import LIGHT, contrast, readable
from authsvc.delivery import headers, texts
from authsvc.delivery.compose import Composer, mailbox
from authsvc.delivery.texts import KINDS
from authsvc.errors import DeliveryRefused
from authsvc.i18n import LANGUAGES
from authsvc.model import Message
from tests.delivery.messages import PRACTICE, QUEUED_MS, URL, html_of, message, text_of

GOLDEN = Path(__file__).with_name("golden")
seeded = settings(derandomize=True, deadline=None, max_examples=200)
BRANDED = dataclasses.replace(PRACTICE, sender_name="Maple Front Desk", support_email="help@maple.example")


def compose(of: Message) -> EmailMessage:
    """As the patient's mail reader sees it: through bytes."""
    mail = message_from_bytes(Composer("Care <no-reply@mail.example>").compose(of).as_bytes(), policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


# --- in every language --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lang", sorted(LANGUAGES))
def test_every_mail_reads_as_it_was_approved(lang: str, kind: str) -> None:
    mail = compose(message(kind, locale=lang))
    approved = (GOLDEN / f"{lang}-{kind}.txt").read_text(encoding="utf-8")
    assert f"Subject: {mail['Subject']}\n\n{text_of(mail)}" == approved


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lang", sorted(LANGUAGES))
def test_a_practice_without_a_phone_gets_whole_sentences(lang: str, kind: str) -> None:
    text = text_of(compose(message(kind, locale=lang, practice=dataclasses.replace(PRACTICE, phone=""))))
    assert not re.search(r"  | [.,]|, phone|, teléfono|None", text)


@pytest.mark.parametrize("lang", sorted(LANGUAGES))
@pytest.mark.parametrize("phone", ["", PRACTICE.phone])
def test_a_practice_with_a_support_address_says_so_at_the_foot(lang: str, phone: str) -> None:
    mail = compose(message(locale=lang, practice=dataclasses.replace(BRANDED, phone=phone)))
    approved = (GOLDEN / f"{lang}-foot{'-no-phone' * (not phone)}.txt").read_text(encoding="utf-8")
    assert text_of(mail).endswith(f"\n\n{approved}")


@pytest.mark.parametrize("colour", ["#0b5c8a", "#ffe600", "#7a2f5f"])
def test_a_mail_has_the_practices_colour_where_it_can_be_read(colour: str) -> None:
    practice = dataclasses.replace(BRANDED, colour=colour)
    html = html_of(compose(message("link", practice=practice)))
    plain = set(re.findall("#[0-9a-f]{6}", html_of(compose(message("link", practice=BRANDED)))))
    own = set(re.findall("#[0-9a-f]{6}", html)) - plain
    assert own == {readable(colour, LIGHT)}
    assert contrast(*own, "#ffffff") >= 4.5


def test_there_is_one_template_a_kind_and_no_other() -> None:
    folder = Path(texts.__file__).with_name("templates")
    wanted = {f"{kind}.txt" for kind in KINDS} | {"footer.txt", "purposes.txt", "layout.html"}
    assert {file.name for file in folder.iterdir()} == wanted


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_language_is_one_catalogue(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pseudo-language that turns each text around: every word of a mail comes from the catalogue."""

    class Backwards(NullTranslations):
        def gettext(self, message: str) -> str:
            return "".join(part if part.startswith("%(") else part[::-1] for part in re.split(r"(%\(\w+\)s)", message))

        def pgettext(self, context: str, message: str) -> str:
            return self.gettext(message)

    pseudo = dataclasses.replace(LANGUAGES["en"], tag="ar", direction="rtl", translations=Backwards())
    monkeypatch.setitem(LANGUAGES, "ar", pseudo)
    practice = dataclasses.replace(BRANDED, name="", phone="")
    english, mail = (compose(message(kind, locale=tag, practice=practice)) for tag in ("en", "ar"))
    assert '<html lang="ar" dir="rtl">' in html_of(mail)
    long_words = set(re.findall(r"\b[a-z]{5,}\b", text_of(english))) - {"maple", "example"}
    assert long_words
    left = long_words & set(re.findall(r"\b[a-z]{5,}\b", text_of(mail).replace(URL, "")))
    assert left <= {"minutes", "hours", "days"}, "units come from the CLDR"


@pytest.mark.parametrize(
    "asked, practice, expected",
    [
        ("es", "en", "es"),
        ("es-MX", "en", "es"),
        ("ES_us", "en", "es"),
        ("", "es", "es"),
        ("fr", "es", "es"),
        ("fr", "de", "en"),
        ("", "", "en"),
    ],
)
def test_the_language_is_the_messages_then_the_practices_then_english(asked: str, practice: str, expected: str) -> None:
    mail = compose(message(locale=asked, practice=dataclasses.replace(PRACTICE, locale=practice)))
    assert mail["Content-Language"] == expected
    assert f'<html lang="{expected}"' in html_of(mail)


@pytest.mark.parametrize(
    "zone, lang, expected",
    [
        ("", "en", "8:41 AM UTC"),
        ("America/Phoenix", "en", "1:41 AM MST"),
        ("America/New_York", "en", "3:41 AM EST"),
        ("Europe/Madrid", "es", "09:41 CET"),
        ("America/Sao_Paulo", "es", "05:41 UTC-03"),
    ],
)
def test_hours_are_those_of_the_practice(zone: str, lang: str, expected: str) -> None:
    assert LANGUAGES[lang].deadline(1_795_336_886_000, 1_795_336_886_000, zone).endswith(expected)
    text = text_of(compose(message(locale=lang, practice=dataclasses.replace(PRACTICE, time_zone=zone))))
    assert re.search(expected.split()[-1].replace("-", "[-]"), text)


@pytest.mark.parametrize(
    "length_s, english, spanish",
    [
        (30, "1 minute", "1 minuto"),
        (600, "10 minutes", "10 minutos"),
        (599, "9 minutes", "9 minutos"),
        (1_800, "30 minutes", "30 minutos"),
        (7_200, "2 hours", "2 horas"),
        (36 * 3_600, "36 hours", "36 horas"),
        (72 * 3_600, "3 days", "3 días"),
        (30 * 86_400, "30 days", "30 días"),
    ],
)
def test_a_span_is_said_in_the_unit_people_use(length_s: int, english: str, spanish: str) -> None:
    assert (LANGUAGES["en"].lifetime(length_s * 1000), LANGUAGES["es"].lifetime(length_s * 1000)) == (english, spanish)


def test_ten_minutes_less_the_moment_that_queueing_took_are_ten_minutes() -> None:
    assert LANGUAGES["en"].lifetime(600_000 - 40) == "10 minutes"
    assert LANGUAGES["en"].lifetime(3 * 86_400_000 - 40) == "3 days"


def test_an_instant_is_said_with_its_time_zone() -> None:
    assert LANGUAGES["en"].long_moment(QUEUED_MS) == "January 7, 2030 at 9:00 AM UTC"
    assert LANGUAGES["es"].long_moment(QUEUED_MS) == "7 de enero de 2030 a las 09:00 UTC"


def test_a_workflow_of_the_sites_own_gets_general_words() -> None:
    text = text_of(compose(message("link", workflow="book-visit")))
    assert "see what we have prepared for you" in " ".join(text.split())


# --- the code and the link ----------------------------------------------------------------------------------------


def test_the_code_stands_alone_on_a_line_of_the_text_part() -> None:
    assert re.findall(r"^\d{6}$", text_of(compose(message())), re.MULTILINE) == ["042917"]


def test_the_code_is_contiguous_in_the_source_too() -> None:
    for lang in LANGUAGES:
        raw = Composer("no-reply@mail.example").compose(message(locale=lang)).as_bytes()
        assert raw.count(b"\n042917\r\n") == 1
        assert b">042917</p>" in raw


@pytest.mark.parametrize("lang", sorted(LANGUAGES))
def test_a_locked_screen_does_not_show_the_code(lang: str) -> None:
    mail = compose(message(locale=lang))
    assert "042917" not in mail["Subject"]
    assert text_of(mail).index("042917") > 200, "previews show about 140 characters"
    seen = re.sub(r"<[^>]*>", "", html_of(mail).split("<body", 1)[1])
    assert seen.index("042917") > 200


@pytest.mark.parametrize("lang", sorted(LANGUAGES))
def test_a_link_is_whole_in_the_text_and_visible_in_the_html(lang: str) -> None:
    mail = compose(message("link", locale=lang))
    assert URL in text_of(mail).splitlines()
    assert html_of(mail).count(f'href="{URL}"') == 2
    assert f">{URL}</a>" in html_of(mail)


@pytest.mark.parametrize("lang", sorted(LANGUAGES))
def test_no_subject_tells_what_the_link_is_for(lang: str) -> None:
    for workflow in ("pay-invoice", "update-payment-info", "accept-agreement", "portal"):
        subjects = {str(compose(message("link", locale=lang, workflow=each))["Subject"]) for each in (workflow, "")}
        assert len(subjects) == 1


def test_the_notice_of_a_changed_address_is_the_same_for_the_old_and_the_new() -> None:
    old, new = (text_of(compose(message("address-changed", to=to))) for to in ("old@example.org", "new@example.net"))
    assert old == new
    assert "@" not in old


@pytest.mark.parametrize("kind", KINDS)
def test_no_mail_fetches_anything_or_runs_anything(kind: str) -> None:
    html = html_of(compose(message(kind)))
    assert not re.search(r"<(img|script|link|iframe|object|form|video|style)|src=|url\(|@import|\son\w+=", html)
    assert set(re.findall(r'href="([^"]*)"', html)) <= {URL, "tel:+15550100199"}


# --- headers ------------------------------------------------------------------------------------------------------


def test_the_headers_say_who_when_and_that_a_machine_wrote_it() -> None:
    mail = compose(message())
    assert mail["From"].addresses == (Address("Maple Clinic", "no-reply", "mail.example"),)
    assert mail["To"].addresses == (Address("", "anna", "example.org"),)
    assert mail["Date"].datetime.timestamp() * 1000 == QUEUED_MS
    assert mail["Message-ID"] == "<Zm9vYmFyYmF6cXV4MTIzNA@mail.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def test_the_same_message_is_the_same_bytes_at_every_try() -> None:
    first, second = (Composer("no-reply@mail.example").compose(message()).as_bytes() for _ in range(2))
    assert first == second


def test_a_practice_may_write_under_another_name_and_be_answered() -> None:
    mail = compose(message(practice=BRANDED))
    assert mail["From"].addresses == (Address("Maple Front Desk", "no-reply", "mail.example"),)
    assert mail["Reply-To"].addresses == (Address("", "help", "maple.example"),)
    assert mail["Subject"] == "Your sign-in code from Maple Clinic"
    assert compose(message())["Reply-To"] is None


@seeded
@given(name=some.text(some.characters(categories=["L", "N", "P", "S", "Zs", "M"]), min_size=1, max_size=80))
@example(name='Clínica "Ñandú", S.L.; <x@y.example> \\')
@example(name="Praxis  zwei   Räume")
@example(name="Räume  zwei x")
@example(name="Praxis für Kinder- und Jugendmedizin, Müller & Söhne: die mit dem längsten Namen am Ort")
def test_every_sender_name_gives_a_clean_header_that_reads_the_same(name: str) -> None:
    name = name.replace("=?", "").strip() or "x"
    practice = dataclasses.replace(BRANDED, sender_name=name)
    composed = Composer("no-reply@mail.example").compose(message(practice=practice))
    head, _, _ = composed.as_bytes().partition(b"\r\n\r\n")
    assert head.isascii()
    assert max(map(len, head.split(b"\r\n"))) <= 998
    mail = message_from_bytes(composed.as_bytes())  # without a policy: RFC 2047 read by other code than wrote it
    shown, address = parseaddr(re.sub(r"\r?\n(?=[ \t])", "", mail["From"]))
    assert address == "no-reply@mail.example"
    assert str(make_header(decode_header(shown))) == name
    assert mail.keys() == compose(message(practice=BRANDED)).keys()


LONG_NAME = "Johnson, Miller & Associates Family Medicine and Pediatrics of Greater Northern Virginia"
PLACES = ["Gemeinschaftspraxis", "Consultorio Pediátrico", "Clínica", "Dr. Müller-Lüdenscheidt", "Ärztehaus", "MVZ"]
JOINTS = [" – ", " für ", ", ", " & ", " / ", "; ", " (", ": "]


@pytest.mark.parametrize(
    "name", [LONG_NAME, "A, B", 'The "Best" Clinic', "Back\\slash", "Dot. Com", "Müller, Söhne & Co."]
)
def test_a_name_with_a_comma_keeps_its_quotes_for_a_reader_that_knows_nothing_of_python(name: str) -> None:
    raw = Composer("no-reply@mail.example").compose(message(practice=dataclasses.replace(PRACTICE, name=name)))
    line = re.search(rb"^From: (.*(?:\r\n[ ].*)*)\r\n", raw.as_bytes(), re.MULTILINE)
    assert line is not None
    # RFC 5322 §3.4: a phrase of atoms, of quoted strings, or of encoded words; then the address.
    word = rb"(?:[\w!#$%&'*+/=?^`{|}~-]+|=\?utf-8\?B\?[\w+/=]+\?=)"
    phrase = rb'(?:"(?:[^"\\]|\\.)*"|' + word + rb"(?:(?:\r\n)? " + word + rb")*)"
    assert re.fullmatch(phrase + rb"(?:\r\n)? <no-reply@mail\.example>", line[1])


def test_two_thousand_plausible_names_read_back_to_the_letter() -> None:
    names = {
        f"{one}{joint}{two}{end}"
        for one in PLACES
        for joint in JOINTS
        for two in PLACES
        for end in (
            "",
            " am Schloßplatz",
            " de Alcalá de Henares y alrededores",
            " of Greater Northern Virginia",
            ", Inc.",
            " · 日本橋",
            " São Paulo – Zona Sul",
        )
    }
    assert len(names) > 2_000
    for name in names:
        written = headers.sender(name, "no-reply@mail.example")
        assert max(map(len, f"Reply-To: {written}".split("\r\n"))) <= (76 if "=?" in written else 998)
        shown, address = parseaddr(message_from_bytes(f"From: {written}\r\n\r\n".encode())["From"].replace("\r\n", ""))
        assert (str(make_header(decode_header(shown))), address) == (name, "no-reply@mail.example")
        subject = message_from_bytes(f"Subject: {headers.text(name)}\r\n\r\n".encode(), policy=default)["Subject"]
        assert subject == name


def read_by_rfc_2047(written: str) -> str:
    """A reader of its own, strict: RFC 2047 §2 (an encoded word is never empty, nor longer than 75), §6.2 (white space
    between two of them isn't read), and RFC 5322 §3.2.4 (a quoted string)."""
    if written.startswith('"'):
        return re.sub(r"\\(.)", r"\1", written[1:-1])
    shown, was_encoded = "", False
    for space, word in re.findall(r"( *)([^ ]+)", written.replace("\r\n", "")):
        encoded = re.fullmatch(
            r"=\?utf-8\?B\?((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)\?=", word
        )
        assert encoded or "=?" not in word, written
        assert not encoded or (encoded[1] and len(word) <= 75), written
        shown += "" if was_encoded and encoded else space
        shown += base64.b64decode(encoded[1]).decode() if encoded else word
        was_encoded = encoded is not None
    return shown


@seeded
@given(
    some.lists(some.sampled_from(["a", "Dr.", "ä", "é", "中", "😀", " ", "  ", "-", ",", "&", '"', "x" * 70, "ü" * 40]))
)
@example(["a", "  ", "b", " ", "é"])
def test_a_stricter_reader_than_pythons_reads_the_same_name_and_subject(parts: list[str]) -> None:
    name = "".join(parts).strip() or "x"
    assert read_by_rfc_2047(headers.text(name)) == name or name.startswith('"')
    written = headers.sender(name, "no-reply@mail.example")
    assert read_by_rfc_2047(written.removesuffix(" <no-reply@mail.example>").removesuffix("\r\n")) == name


@pytest.mark.parametrize("sender", ["info..x@docomo.example", "hanako.@docomo.example"])
def test_a_sender_that_exists_against_the_rules_writes_too(sender: str) -> None:
    local, _, domain = sender.rpartition("@")
    raw = Composer(sender).compose(message()).as_bytes()
    assert f'<"{local}"@{domain}>\r\n'.encode() in raw


def test_a_name_that_would_be_read_as_another_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "_encoded_words", lambda _: "=?utf-8?B?WA==?=")
    with pytest.raises(DeliveryRefused, match="can't be written in a header"):
        compose(message(practice=dataclasses.replace(PRACTICE, name="Ñandú says X")))


@pytest.mark.parametrize(
    "to, sent",
    [
        ("taro..y@docomo.example", '"taro..y"@docomo.example'),
        ("hanako.@ezweb.example", '"hanako."@ezweb.example'),
        ('"hanako."@ezweb.example', '"hanako."@ezweb.example'),
        ("info@my_clinic.example", "info@my_clinic.example"),
        ("info@ab--cd.example", "info@ab--cd.example"),
        ("info@XN--I-7IQ.example", "info@xn--i-7iq.example"),
        ("o'neil/x=y@example.org", "o'neil/x=y@example.org"),
    ],
)
def test_a_mailbox_that_exists_against_the_rules_gets_its_mail(to: str, sent: str) -> None:
    assert mailbox(to).addr_spec == sent
    assert f"\r\nTo: {sent}\r\n".encode() in Composer("no-reply@mail.example").compose(message(to=to)).as_bytes()


def test_a_support_address_is_written_for_machines_in_ascii_and_for_people_as_it_is() -> None:
    practice = dataclasses.replace(PRACTICE, support_email="a?bcc=b&c@straße.example")
    mail = compose(message(practice=practice))
    assert mail["Reply-To"] == "a?bcc=b&c@xn--strae-oqa.example"
    assert 'href="mailto:a%3Fbcc%3Db%26c@xn--strae-oqa.example"' in html_of(mail)
    assert ">a?bcc=b&amp;c@straße.example</a>" in html_of(mail)


def test_a_phone_number_inside_the_support_address_stays_part_of_it() -> None:
    practice = dataclasses.replace(PRACTICE, phone="5550100", support_email="5550100@maple.example")
    html = html_of(compose(message(practice=practice)))
    assert set(re.findall(r'href="(mailto:[^"]*)"', html)) == {"mailto:5550100@maple.example"}
    assert ">5550100@maple.example</a>" in html


def test_a_practice_with_letters_beyond_ascii_is_written_right() -> None:
    mail = compose(message(practice=dataclasses.replace(PRACTICE, name='Clínica "Ñandú", S.L.')))
    assert mail["From"].addresses[0].display_name == 'Clínica "Ñandú", S.L.'
    assert mail["Subject"] == 'Your sign-in code from Clínica "Ñandú", S.L.'
    assert "Clínica &#34;Ñandú&#34;" in html_of(mail)


# --- attacks ------------------------------------------------------------------------------------------------------

LINE_ENDS = ["\r\n", "\n", "\r", "\x00", "\x0b", "\x0c", "\x1b", "\x85", "\u2028", "\u2029", "\ud800"]


@pytest.mark.parametrize("end", LINE_ENDS, ids=ascii)
@pytest.mark.parametrize("field", ["name", "phone", "sender", "support", "to", "url", "code"])
def test_injection_of_a_header_is_refused(field: str, end: str) -> None:
    evil = f"x{end}Bcc: mallory@evil.example"
    attacks = {
        "name": message(practice=dataclasses.replace(PRACTICE, name=evil)),
        "phone": message(practice=dataclasses.replace(PRACTICE, phone=evil)),
        "sender": message(practice=dataclasses.replace(PRACTICE, sender_name=evil)),
        "support": message(practice=dataclasses.replace(PRACTICE, support_email=f"help@maple.example{end}Bcc: m@e.c")),
        "to": message(to=f"anna@example.org{end}Bcc: mallory@evil.example"),
        "url": message("link", url=f"https://sign.example/{end}x"),
        "code": message(code=f"042917{end}"),
    }
    with pytest.raises(DeliveryRefused) as refusal:
        Composer("no-reply@mail.example").compose(attacks[field])
    assert "mallory" not in refusal.value.detail


@pytest.mark.parametrize(
    "to",
    [
        "anna@example.org,mallory@evil.example",
        "anna@example.org mallory@evil.example",
        "Anna <anna@example.org>",
        "<anna@example.org>",
        '"anna"@example.org',
        "anna@example.org@evil.example",
        "anna@",
        "@example.org",
        "anna",
        "",
        ".anna@example.org",
        "anna@exa mple.org",
        "anna@[127.0.0.1]",
        "an(comment)na@example.org",
        f"{'a' * 65}@example.org",
        f"{'é' * 33}@example.org",
        f"anna@{'.'.join(['a' * 60] * 5)}.example",
        f"{'a' * 64}@{'.'.join(['b' * 47] * 4)}",
    ],
)
def test_what_is_not_one_address_is_refused(to: str) -> None:
    with pytest.raises(DeliveryRefused, match="address"):
        mailbox(to)


@pytest.mark.parametrize("field", ["name", "sender_name"])
def test_injection_of_a_header_inside_an_encoded_word_is_refused(field: str) -> None:
    practice = dataclasses.replace(PRACTICE, **{field: "=?utf-8?q?x=0D=0ABcc:_m=40evil.example?="})
    with pytest.raises(DeliveryRefused, match="encoded word"):
        compose(message(practice=practice))


def test_a_support_address_that_is_none_stops_the_mail() -> None:
    practice = dataclasses.replace(PRACTICE, support_email="help@maple.example, mallory@evil.example")
    with pytest.raises(DeliveryRefused, match="address"):
        compose(message(practice=practice))


def test_a_domain_is_written_in_ascii_and_the_mailbox_as_it_was() -> None:
    assert mailbox(" Anna.B+clinic@Straße.example ").addr_spec == "Anna.B+clinic@xn--strae-oqa.example"


def test_markup_in_a_name_stays_text() -> None:
    evil = dataclasses.replace(PRACTICE, name="<script>alert(1)</script>", phone='5550100"><b>x')
    html = html_of(compose(message(practice=evil)))
    assert "<script" not in html
    assert "<b>" not in html


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//sign.example/x", ""])
def test_a_link_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(DeliveryRefused, match="no link"):
        compose(message("access-link", url=url))


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12 456", "１２３４５６"])
def test_a_code_that_is_none_is_refused(code: str) -> None:
    with pytest.raises(DeliveryRefused, match="no code"):
        compose(message(code=code))


@pytest.mark.parametrize(
    "changes", [{"kind": "../../secret"}, {"kind": "footer"}, {"id": "a b"}, {"id": "x>\n"}, {"id": ""}]
)
def test_a_kind_or_id_that_is_not_ours_is_refused(changes: dict[str, str]) -> None:
    with pytest.raises(DeliveryRefused, match="unknown kind or malformed id"):
        compose(message(**changes))


# --- phone --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "phone, dialled",
    [("555-010-0199 ext. 7", "5550100199"), ("+34 600 12 34 56", "+34600123456"), ("911", None), ("ask us", None)],
)
def test_the_phone_number_can_be_tapped(phone: str, dialled: str | None) -> None:
    html = html_of(compose(message(practice=dataclasses.replace(PRACTICE, phone=phone))))
    assert set(re.findall(r'href="tel:([^"]*)"', html)) == ({dialled} if dialled else set())
    assert phone in html


def test_a_line_too_long_for_mail_is_encoded_not_broken() -> None:
    url = f"https://sign.example/{'x' * 1_000}"
    mail = Composer("no-reply@mail.example").compose(message("link", url=url))
    assert max(map(len, mail.as_bytes().splitlines())) <= 998
    read = message_from_bytes(mail.as_bytes(), policy=default)
    assert isinstance(read, EmailMessage)
    assert url in text_of(read)


def test_what_is_kept_from_one_mail_to_the_next_holds_no_secret_and_mixes_no_two_up() -> None:
    first, second, link = (compose(each) for each in (message(), message(code="113355"), message("link")))
    assert "042917" in text_of(first)
    assert ("042917" in text_of(second), "113355" in text_of(second)) == (False, True)
    assert text_of(first).replace("042917", "113355") == text_of(second)
    other = compose(message("link", url="https://sign.example/?a=1&b=2"))
    assert URL in text_of(link)
    assert "https://sign.example/?a=1&b=2" in text_of(other)
    assert 'href="https://sign.example/?a=1&amp;b=2"' in html_of(other)
