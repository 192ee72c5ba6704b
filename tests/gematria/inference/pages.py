"""A page as a browser would see it."""

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "input", "hr", "use", "path", "rect"}


class Page(HTMLParser):
    """Collects what a browser would see: tags, attributes and text, and whether the tags nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.problems: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.problems += [f"never closed: {tag}" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"closed out of order: {tag}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def outside_references(self) -> list[str]:
        """What the page would load or run: addresses outside it, scripts, handlers of events."""
        loaders = ("script", "link", "img", "iframe", "object", "embed", "base")
        found = [tag for tag, _ in self.tags if tag in loaders]
        for _, attributes in self.tags:
            addresses = [attributes.get(name, "#") for name in ("src", "href", "xlink:href", "action", "data")]
            found += [address for address in addresses if not address.startswith("#")]
            found += [name for name in attributes if name.startswith("on")]
        return found

    def unnamed_scroll_areas(self) -> list[dict[str, str]]:
        """Scrolling tables that the keyboard does not reach, or that have no name."""
        areas = [attributes for tag, attributes in self.tags if attributes.get("class") == "scroll" or tag == "pre"]
        return [a for a in areas if a.get("tabindex") != "0" or not (a.get("aria-label") or a.get("aria-labelledby"))]
