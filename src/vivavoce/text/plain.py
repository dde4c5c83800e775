"""Makes plain what was written for the eye: Markdown, addresses, small pictures; what is left can be spoken."""

import html
import re
import unicodedata
from collections.abc import Callable

__all__ = ["Plain", "plain"]

_FENCE = re.compile(r"(```|~~~)")
_LINE_MARKS = re.compile(r"(?:>\s?)*(?:#{1,6}\s+|(?:[-*+•‣▪●]\s+)+(?:\[[ xX]\]\s+)?)?")
_ADDRESS = re.compile(r"(?:https?://|www\.)[\w\-.~:/?#@!$&'+,;=%]+", re.ASCII | re.IGNORECASE)
_STOPS = ".,;:!?'"
_KEPT_SIGNS = frozenset("°©®™№℃℉℗€")

# Each is a pattern and what it becomes; the order matters.
_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), becomes)
    for pattern, becomes in (
        (r"<((?:https?://|mailto:)[^\s<>]+)>", r"\1"),
        (r"</?[A-Za-z][^<>]{0,200}>", " "),
        (r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s+[\"'][^\"']*[\"'])?\)", r"\1"),
        (r"\[\^?\d{1,3}\](?!\()|【\d+[^】]*】", ""),
        (r"(?<!\\)`+", ""),
        (r"(?<![\\\d])\*{2,}|(?<!\\)\*{2,}(?!\d)", ""),
        (r"(?<![\\*\dA-Za-z])\*(?=[^\s*])|(?<=[^\s\\*])\*(?![*\dA-Za-z])", ""),
        (r"(?<![\\\w])_{1,3}(?=\S)|(?<=[^\s\\])_{1,3}(?!\w)", ""),
        (r"~~", ""),
        (r"(?:^|\s*)[\u2190-\u21ff\u27f0-\u27ff](?:\s*)", ", "),
        (r"\s*\|[\s|]*", ", "),
        (r"\\([\\`*_{}\[\]()#+\-.!~>|])", r"\1"),
    )
)


def plain(text: str) -> str:
    """A whole text as it can be spoken."""
    maker = Plain()
    return "".join(maker.said(line) for line in text.splitlines(keepends=True))


class Plain:
    """Takes a text in order, in pieces of at most a line, and gives each back as it can be spoken."""

    def __init__(self) -> None:
        self._fresh = True
        """Whether the next piece begins a line."""
        self._fence = ""
        """What ends the code that is being left out."""
        self._address_goes_on = False

    def said(self, written: str) -> str:
        """The piece without what is only seen; "" when nothing in it can be said.

        It begins with a letter or a sign, and ends in a line break where the piece does, else in one space where the
        piece ends in white space. Code blocks are left out; of an address its host is said, of a link its text.
        """
        body = written.lstrip()
        fresh = self._fresh or "\n" in written[: len(written) - len(body)]
        self._fresh = written.endswith("\n") or (fresh and not body)
        if self._is_code(body, fresh=fresh):
            return ""
        if self._address_goes_on:
            body = re.sub(r"^\S+", "", written)
            if not body:
                return ""
        self._address_goes_on = not written[-1:].isspace() and _ends_in_address(written)
        body = body.strip()
        if fresh:
            body = _LINE_MARKS.sub("", body, count=1)
        for pattern, becomes in _RULES:
            body = pattern.sub(becomes, body)
        body = _readable(_ADDRESS.sub(_host, html.unescape(body)))
        body = re.sub(r"(?:,\s*){2,}", ", ", body)
        body = re.sub(r"^[\s,;:|]+|[\s,|]+$" if "|" in written else r"^[\s,;:]+|\s+$", "", body)
        if not any(c.isalnum() for c in body):
            return ""
        return body + ("\n" if written.endswith("\n") else " " if written[-1].isspace() else "")

    def _is_code(self, body: str, *, fresh: bool) -> bool:
        """Whether the piece is code, or one of the lines around it."""
        mark = _FENCE.match(body) if fresh else None
        if self._fence:
            if mark and mark[1] == self._fence:
                self._fence = ""
            return True
        if mark and mark[1] not in body[3:]:
            self._fence = mark[1]
            return True
        return False


def _host(found: re.Match[str]) -> str:
    """What is said of an address, and the signs after it that are none of its own."""
    address = found[0].rstrip(_STOPS)
    host = re.sub(r"^(?:https?://)?(?:[^/@]*@)?(?:www\.)?", "", address, flags=re.IGNORECASE)
    return re.split(r"[/?#:]", host, maxsplit=1)[0] + found[0][len(address) :]


def _ends_in_address(text: str) -> bool:
    last = text.split()[-1:] or [""]
    return bool(re.search(r"(?:https?://|www\.)[!-~]*$", last[0], re.IGNORECASE))


def _readable(text: str) -> str:
    """Without emoji, control characters and doubled white space."""
    kept = []
    for i, c in enumerate(text):
        if _is_picture(c) or (c == "\u200d" and (_is_picture(text[i - 1 : i]) or _is_picture(text[i + 1 : i + 2]))):
            continue
        kept.append(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp", "Cn", "Co") else c)
    return re.sub(r" ([,.!?;:…])", r"\1", " ".join("".join(kept).split()))


def _is_picture(character: str) -> bool:
    """Whether it is an emoji, a part of one, or an ornament."""
    if not character or character in _KEPT_SIGNS:
        return False
    code = ord(character)
    return (
        0x1F000 <= code <= 0x1FAFF
        or 0x2500 <= code <= 0x27BF
        or 0x2B00 <= code <= 0x2BFF
        or 0x2300 <= code <= 0x23FF
        or 0xE0020 <= code <= 0xE007F
        or code in (0x2022, 0x20E3, 0xFE0E, 0xFE0F, 0x3030, 0x303D, 0x3297, 0x3299)
    )
