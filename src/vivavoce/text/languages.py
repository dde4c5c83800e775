"""What the house knows of languages, so that a wrong language or script is refused before any engine sees it."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from vivavoce.errors import InvalidInput

__all__ = ["LANGUAGES", "Language", "check_speakable", "resolve"]


@dataclass(frozen=True, slots=True)
class Language:
    """A language that can be spoken."""

    code: str
    """ISO 639: two letters where there are two, ``zh`` for Mandarin."""
    name: str
    """What its speakers call it."""
    espeak: str
    """The voice of espeak-ng that reads it."""
    scripts: tuple[str, ...] = ("Latn",)
    """ISO 15924 codes of the scripts that it is written in, the usual one first."""

    @property
    def script(self) -> str:
        """The usual script."""
        return self.scripts[0]

    @property
    def spaced(self) -> bool:
        """Whether spaces part the words."""
        return self.script not in _UNSPACED


_UNSPACED = frozenset({"Hans", "Jpan", "Thai", "Mymr"})

# How Unicode's character names begin, by script.
_NAMES = {
    "Latn": ("LATIN",),
    "Cyrl": ("CYRILLIC",),
    "Hang": ("HANGUL", "CJK"),
    "Hans": ("CJK",),
    "Jpan": ("CJK", "HIRAGANA", "KATAKANA"),
    "Arab": ("ARABIC",),
    "Armn": ("ARMENIAN",),
    "Beng": ("BENGALI",),
    "Deva": ("DEVANAGARI",),
    "Ethi": ("ETHIOPIC",),
    "Geor": ("GEORGIAN",),
    "Grek": ("GREEK",),
    "Gujr": ("GUJARATI",),
    "Guru": ("GURMUKHI",),
    "Hebr": ("HEBREW",),
    "Knda": ("KANNADA",),
    "Mlym": ("MALAYALAM",),
    "Mymr": ("MYANMAR",),
    "Orya": ("ORIYA",),
    "Sinh": ("SINHALA",),
    "Taml": ("TAMIL",),
    "Telu": ("TELUGU",),
    "Thai": ("THAI",),
}

# code, native name, espeak-ng's voice where it is not the code, scripts where not Latin. The five that the product
# is tested in come first. Constructed tongues without a two- or three-letter public are left out.
_TABLE = """
ru Русский ru Cyrl|kk Қазақша kk Cyrl|en English en-us|ko 한국어 ko Hang|zh 中文 cmn Hans
af Afrikaans|am አማርኛ am Ethi|an Aragonés|ar العربية ar Arab|as অসমীয়া as Beng|az Azərbaycanca az Latn,Cyrl
ba Башҡортса ba Cyrl|be Беларуская be Cyrl|bg Български bg Cyrl|bn বাংলা bn Beng|bpy বিষ্ণুপ্রিয়া_মণিপুরী bpy Beng
bs Bosanski bs Latn,Cyrl|ca Català|cs Čeština|cv Чӑвашла cv Cyrl|cy Cymraeg|da Dansk
de Deutsch|el Ελληνικά el Grek|eo Esperanto|es Español|et Eesti|eu Euskara|fa فارسی fa Arab|fi Suomi
fr Français|ga Gaeilge|gd Gàidhlig|gn Avañe'ẽ|grc Ἑλληνική grc Grek|gu ગુજરાતી gu Gujr
hak Hak-kâ-fa|haw ʻŌlelo_Hawaiʻi|he עברית he Hebr|hi हिन्दी hi Deva
hr Hrvatski|ht Kreyòl_ayisyen|hu Magyar|hy Հայերեն hy Armn|ia Interlingua
id Bahasa_Indonesia|io Ido|is Íslenska|it Italiano|ja 日本語 ja Jpan|jbo Lojban|ka ქართული ka Geor
kl Kalaallisut|kn ಕನ್ನಡ kn Knda|kok कोंकणी kok Deva,Latn|ku Kurdî|ky Кыргызча ky Cyrl
la Latina|lb Lëtzebuergesch|lfn Lingua_Franca_Nova|lt Lietuvių|ltg Latgalīšu|lv Latviešu|mi Māori|mk Македонски mk Cyrl
ml മലയാളം ml Mlym|mr मराठी mr Deva|ms Bahasa_Melayu|mt Malti|mto Ayöök|my မြန်မာ my Mymr|nb Norsk|nci Nāhuatl
ne नेपाली ne Deva|nl Nederlands|nog Ногайша nog Cyrl|om Oromoo|or ଓଡ଼ିଆ or Orya|pa ਪੰਜਾਬੀ pa Guru|pap Papiamentu|pl Polski
pt Português pt-br|qu Runasimi|quc K'iche'|ro Română|sd سنڌي sd Arab|shn လိၵ်ႈတႆး shn Mymr|si සිංහල si Sinh|sk Slovenčina
sl Slovenščina|smj Julevsámegiella|sq Shqip|sr Српски sr Cyrl,Latn|sv Svenska|sw Kiswahili|ta தமிழ் ta Taml
te తెలుగు te Telu|th ไทย th Thai|ti ትግርኛ ti Ethi|tk Türkmençe|tn Setswana|tr Türkçe|tt Татарча tt Cyrl,Latn
ug ئۇيغۇرچە ug Arab|uk Українська uk Cyrl|ur اردو ur Arab|uz Oʻzbekcha uz Latn,Cyrl|vi Tiếng_Việt|yue 粵語 yue Hans
"""


def _read(table: str) -> dict[str, Language]:
    languages = {}
    for row in re.split(r"[|\n]", table.strip()):
        code, name, *rest = row.split()
        scripts = tuple(rest[1].split(",")) if len(rest) > 1 else ("Latn",)
        languages[code] = Language(code, name.replace("_", " "), rest[0] if rest else code, scripts)
    return languages


LANGUAGES: dict[str, Language] = _read(_TABLE)
"""The languages that espeak-ng speaks, by code; Russian, Kazakh, English, Korean and Chinese first."""

_SYNONYMS = {"cmn": "zh", "no": "nb", "nn": "nb", "iw": "he", "in": "id", "sh": "sr"}
_CODE = re.compile(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]{1,8})*")


def resolve(code: str) -> Language:
    """The language of a code: ``ru``, ``en-US``, ``zh_CN``; what follows the first part is not looked at.

    Raises ``InvalidInput`` for a language that is not known.
    """
    match = _CODE.fullmatch(code.strip())
    primary = match[1].lower() if match else ""
    primary = _SYNONYMS.get(primary, primary)
    if primary not in LANGUAGES:
        known = list(LANGUAGES)
        raise InvalidInput(
            f"The language {code[:20]!r} is not known; use {', '.join(known[:5])} or one of {', '.join(known[5:])}."
        )
    return LANGUAGES[primary]


def script_of(character: str) -> str:
    """How Unicode names the script of a letter: ``LATIN``, ``CYRILLIC``, ``CJK``; "" for what has no name."""
    words = unicodedata.name(character, "").replace("-", " ").split()
    return next((w for w in words if w not in ("FULLWIDTH", "HALFWIDTH", "MODIFIER")), "")


def check_speakable(text: str, language: Language) -> None:
    """Refuse what no voice can say in this language.

    Raises ``InvalidInput`` when the text is blank, has neither a letter nor a digit, or has more than half of its
    letters in a script that the language is not written in.
    """
    if not text.strip():
        raise InvalidInput("The text is empty; write at least one word.")
    if not any(c.isalnum() for c in text):
        raise InvalidInput("The text has nothing to say, only signs; write at least one word or number.")
    scripts = Counter(script_of(c) for c in text if c.isalpha())
    own = {name for s in language.scripts for name in _NAMES[s]}
    foreign = sum(n for script, n in scripts.items() if script not in own)
    if 2 * foreign > scripts.total():
        raise InvalidInput(
            f"Most of the text is not written in the script of {language.name} ({language.code}); "
            "choose the language of the text or write it in that script."
        )
