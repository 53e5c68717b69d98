"""What a page holds, read from its HTML as a browser would: its words, forms, links and addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass
class Button:
    """`value` is what it sends under `name`; a button without a name sends nothing of itself."""

    words: str = ""
    name: str = ""
    value: str = ""


@dataclass
class Form:
    """One form: its fields as they stand (without radio buttons), and its buttons."""

    method: str
    action: str
    fields: dict[str, str] = field(default_factory=dict)
    buttons: list[Button] = field(default_factory=list)

    def button(self, words: str) -> Button | None:
        """The first whose words begin so."""
        return next((button for button in self.buttons if button.words.startswith(words)), None)


class HtmlPage(HTMLParser):
    """`elements` in their order; `text` is all words, `visible_text` the same without title and style sheets and with
    a space between elements; `links` by their words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.forms: list[Form] = []
        self.links: dict[str, str] = {}
        self._texts: list[str] = []
        self._visible: list[str] = []
        self._hidden: list[str] = []
        self._href = ""
        self._words = ""
        self.feed(html)
        self.text = " ".join("".join(self._texts).split())
        self.visible_text = " ".join(" ".join(self._visible).split())

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        """The attributes of every such element."""
        found = [attributes for name, attributes in self.elements if name == tag]
        return [attributes for attributes in found if wanted.items() <= attributes.items()]

    def element(self, element_id: str) -> dict[str, str]:
        return next(attributes for _, attributes in self.elements if attributes.get("id") == element_id)

    @property
    def addresses(self) -> list[str]:
        """Everything that the page leads to or loads."""
        names = ("href", "src", "action")
        return [attributes[name] for _, attributes in self.elements for name in names if name in attributes]

    @property
    def buttons(self) -> list[Button]:
        return [button for form in self.forms for button in form.buttons]

    @property
    def language(self) -> str:
        return self.all("html")[0]["lang"]

    @property
    def scripts(self) -> list[str]:
        """Where each is loaded from; `inline` for one in the page."""
        return [script.get("src", "inline") for script in self.all("script")]

    @property
    def inline(self) -> int:
        """How many style sheets, styles and handlers are in the page itself, which its policy refuses."""
        styled = [name for _, names in self.elements for name in names if name == "style" or name.startswith("on")]
        return len(self.all("style")) + len(styled)

    @property
    def csrf(self) -> str:
        return self.forms[0].fields["csrf"]

    def form_with(self, value: str = "") -> Form:
        """The form with a button of this value."""
        return next(form for form in self.forms if any(button.value == value for button in form.buttons))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        match tag:
            case "form":
                self.forms.append(Form(attributes.get("method", "get").upper(), attributes.get("action", "")))
            case "input" if self.forms and "name" in attributes and attributes.get("type") != "radio":
                self.forms[-1].fields[attributes["name"]] = attributes.get("value", "")
            case "a":
                self._href, self._words = attributes.get("href", ""), ""
            case "button" if self.forms:
                self._words = ""
                self.forms[-1].buttons.append(Button("", attributes.get("name", ""), attributes.get("value", "")))
            case "title" | "style":
                self._hidden.append(tag)

    def handle_endtag(self, tag: str) -> None:
        words = " ".join(self._words.split())
        if tag == "a":
            self.links[words] = self._href
        elif tag == "button" and self.forms:
            self.forms[-1].buttons[-1].words = words
        if self._hidden and self._hidden[-1] == tag:
            self._hidden.pop()

    def handle_data(self, data: str) -> None:
        self._texts.append(data)
        if not self._hidden:
            self._visible.append(data)
            self._words += data
