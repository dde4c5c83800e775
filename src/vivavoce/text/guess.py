"""Guesses the language of a text by its letters, for callers that name none."""

from vivavoce.errors import InvalidInput
from vivavoce.text.languages import LANGUAGES, check_speakable, resolve

__all__ = ["guess_language"]

# Letters that one language has and those of the same script lack, the surest first.
_TELLING = (
    ("ja", lambda c: "\u3041" <= c <= "\u30fa"),
    ("ko", lambda c: "\uac00" <= c <= "\ud7a3" or "\u1100" <= c <= "\u11ff"),
    ("zh", lambda c: "\u4e00" <= c <= "\u9fff"),
    ("uk", lambda c: c in "їєґ"),
    ("be", lambda c: c == "ў"),
    ("kk", lambda c: c in "әғқңөұүһі"),
)


def guess_language(text: str, default: str) -> str:
    """The code of the language that ``text`` seems to be in.

    A letter that only one language has decides, if most of the text can be in that language; else the ``default`` if
    it is written in the text's script, else the first language of the house's list that is.
    """
    lower = text.lower()
    told = [code for code, tells in _TELLING if code in LANGUAGES and any(map(tells, lower))]
    for code in (*told, resolve(default).code, *LANGUAGES):
        try:
            check_speakable(text, resolve(code))
        except InvalidInput:
            continue
        return code
    return default
