"""Emailed links at the sample practice: one press, one thing, nothing more."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from authsvc.demo.sample import HEADERS
from authsvc.demo.sample.sessions import current_session
from tests.demo.maple import AGREEMENT, CARD, INVOICE, Maple, link_of, mailed, opened


def test_an_invoice_is_seen_and_paid_without_a_login(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    assert browser.at.url == f"{maple.site_url}/invoice/inv_1001"
    assert "$120.00" in browser.at.text

    browser.press("Pay $120.00")
    assert "Thank you" in browser.at.text
    assert maple.records.invoices["inv_1001"].paid_on


def test_a_paid_invoice_ends_its_links(maple: Maple) -> None:
    address = mailed(maple, **INVOICE)
    browser = opened(maple, address)
    browser.press("Pay")

    again = maple.browser().open(address)
    assert again.status == 410
    assert not again.forms  # a link that was ended on purpose is not renewed


def test_an_invoice_is_paid_once_however_often_the_button_is_pressed(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    form = browser.at.form("Pay")
    first, second = (browser.request("POST", form.action, form.fields) for _ in range(2))
    assert (first.status, second.status) == (303, 303)
    assert "Thank you" in browser.open("/invoice/inv_1001").text


def test_a_card_is_put_in_and_none_is_shown(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, "update-payment-info", "anna"))
    assert browser.at.url == f"{maple.site_url}/payment-info"
    assert "4242" not in browser.at.text.replace("like 4242", "")

    browser.press("Save this card", **CARD | {"last4": "54"})
    assert browser.at.element("last4")["aria-invalid"] == "true"
    assert browser.at.element("last4")["aria-describedby"].strip() == "last4-wrong"
    assert browser.at.element("name")["value"] == "Mastercard"  # nothing is typed twice

    browser.press("Save this card", **CARD)
    assert "Mastercard ending in 5454" in browser.at.text
    assert [card.last4 for card in maple.records.people["anna"].cards] == ["5454", "4242"]


def test_an_agreement_is_read_and_accepted(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **AGREEMENT))
    browser.press("I accept")
    assert "You accepted this agreement" in browser.at.text
    assert maple.records.agreements["agr_anna"].acceptance


def test_opening_a_link_changes_nothing(maple: Maple) -> None:
    address = mailed(maple, **INVOICE)
    before = maple.service.links.list(maple.service.act(maple.practice), "anna")
    scanner = maple.browser()
    for method in ("GET", "GET", "GET", "HEAD", "OPTIONS"):
        scanner.request(method, address)
    assert maple.service.links.list(maple.service.act(maple.practice), "anna") == before
    assert opened(maple, address).at.status == 200


def test_no_token_of_any_kind_is_in_an_address_or_page_of_ours(maple: Maple) -> None:
    address = mailed(maple, **INVOICE)
    token = address.rpartition("/")[2]
    browser = opened(maple, address)
    ours = [page for page in browser.seen if page.url.startswith(maple.site_url)]
    assert browser.at in ours
    for page in ours:
        assert token not in page.url + page.html + str(page.headers)
        assert "eyJ" not in page.html + page.url  # nor an access token, nor an ID token
    assert not re.search(r"eyJ[\w-]*\.eyJ", " ".join(browser.cookies.values()))  # Flask's own cookie is signed JSON


def test_every_page_of_a_link_is_private(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    ours = [page for page in browser.seen if page.url.startswith(maple.site_url)]
    assert [urlsplit(page.url).path for page in ours] == ["/", "/open", "/signed-in", "/invoice/inv_1001"]
    for page in ours:
        for name, value in HEADERS.items():
            assert page.header(name) == value, page.url
        policy = page.header("Content-Security-Policy")
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert f"form-action 'self' {maple.url};" in policy
        for tag, attrs in page.elements if page.status != 303 else ():
            for name in ("src", "href", "action"):
                assert not attrs.get(name, "").startswith(("http", "//")), (tag, attrs)
            assert not {"style", "onclick", "onload"} & attrs.keys()
        assert not [tag for tag, _ in page.elements if tag in ("script", "style")]


def test_pressing_gives_the_browser_a_new_cookie(maple: Maple) -> None:
    browser = maple.browser()
    before = browser.cookies["visit"]
    browser.open(mailed(maple, **INVOICE))
    browser.press("Continue")
    assert browser.cookies["visit"] != before
    said = [part for page in browser.seen for name, part in page.headers if name == "Set-Cookie" and "visit=" in part]
    assert {"HttpOnly", "Path=/", "SameSite=Lax"} <= set(said[-1].split("; "))


def test_attack_a_link_for_one_invoice_opens_no_other(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    other = browser.open("/invoice/inv_1002")
    assert other.status == 403
    assert 'error="insufficient_scope"' in other.header("WWW-Authenticate")
    assert browser.at.links["Go on with a code"] == "/sign-in?to=home"
    form = browser.open("/invoice/inv_1001").form("Pay").fields
    for path in ("/invoice/inv_1002/pay", "/agreement/agr_anna/accept"):
        assert browser.submit(path, form).status == 403
        assert "Your link opens one thing only" in browser.at.text
    assert maple.records.agreements["agr_anna"].acceptance is None


def test_attack_a_form_without_its_token_is_refused(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    stranger = maple.browser()
    foreign = stranger.open("/billing/anna").form("Send request for payment info").fields["csrf"]
    for fields in ({}, {"csrf": ""}, {"csrf": "é"}, {"csrf": foreign}):
        assert browser.request("POST", "/invoice/inv_1001/pay", fields).status == 400
    assert maple.records.invoices["inv_1001"].paid_on is None


def test_a_used_up_link_offers_a_new_one(maple: Maple) -> None:
    issued = maple.service.links.issue(
        maple.service.act(maple.practice, maple.service.clients.list()[0]),
        patient="anna", workflow="pay-invoice", resource="invoice:inv_1001", max_uses=1,
    )  # fmt: skip
    opened(maple, issued.url)
    late = maple.browser()
    assert late.open(issued.url).status == 410

    before = len(maple.mails())
    submit = late.at.forms[0]
    late.press(submit.buttons[0].words)
    assert "/p/maple/sent" in late.at.url
    assert opened(maple, link_of(maple, maple.arrived(before))).at.url.endswith("/invoice/inv_1001")


def test_a_press_is_worth_nothing_in_another_browser(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    [there] = [page.url for page in browser.seen if "/open?" in page.url]
    thief = maple.browser()
    assert thief.open(there).status == 403
    assert "Please press it once more" in thief.at.text
    assert maple.kept(thief) is None


def test_a_press_is_fetched_once(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    [there] = [page.url for page in browser.seen if "/open?" in page.url]
    assert browser.open(there).status == 403  # the Back button, say
    assert browser.open(f"{maple.site_url}/invoice/inv_1001").status == 200  # and nothing is lost by it


def test_a_page_left_open_closes_after_the_token_ends(maple: Maple) -> None:
    browser = opened(maple, mailed(maple, **INVOICE))
    with maple.site.test_request_context("/", headers={"Cookie": f"visit={browser.cookies['visit']}"}):
        maple.site.preprocess_request()
        current_session().link_grants["invoice:inv_1001"].ends = 0
    assert browser.open("/invoice/inv_1001").status == 401
    assert "Press the link in our email" in browser.at.text


def test_a_double_click_at_the_desk_sends_one_mail(maple: Maple) -> None:
    desk = maple.browser()
    form = desk.open("/billing/anna").form("Send request for payment info")
    before = len(maple.mails())
    for _ in range(2):
        assert desk.request("POST", form.action, form.fields).status == 303
    maple.arrived(before)
    assert len(maple.mails()) == before + 1


def test_the_desk_sees_what_happened_to_the_mail(maple: Maple) -> None:
    mailed(maple, **INVOICE)
    page = maple.browser().open("/billing/mail/anna")
    assert "sent" in page.text
    assert maple.browser().open("/billing/mail/nobody").status == 404


def test_the_desk_sends_only_what_there_is(maple: Maple) -> None:
    desk = maple.browser()
    form = desk.open("/billing/anna").form("Send request for payment info")
    for wrong in ({"patient": "nobody"}, {"workflow": "everything"}):
        assert desk.request("POST", form.action, form.fields | wrong).status == 404
