"""English names of languages, which OpenAI's wire format writes in place of codes: ``english`` for ``en``."""

__all__ = ["code_of", "english_name"]

# The languages of Whisper, which that format came with; codes as in ``text.languages`` where it has them.
_TABLE = """
af afrikaans|am amharic|ar arabic|as assamese|az azerbaijani|ba bashkir|be belarusian|bg bulgarian|bn bengali
bo tibetan|br breton|bs bosnian|ca catalan|cs czech|cy welsh|da danish|de german|el greek|en english|es spanish
et estonian|eu basque|fa persian|fi finnish|fo faroese|fr french|gl galician|gu gujarati|ha hausa|haw hawaiian
he hebrew|hi hindi|hr croatian|ht haitian_creole|hu hungarian|hy armenian|id indonesian|is icelandic|it italian
ja japanese|jw javanese|ka georgian|kk kazakh|km khmer|kn kannada|ko korean|la latin|lb luxembourgish|ln lingala
lo lao|lt lithuanian|lv latvian|mg malagasy|mi maori|mk macedonian|ml malayalam|mn mongolian|mr marathi|ms malay
mt maltese|my myanmar|nb norwegian|ne nepali|nl dutch|nn nynorsk|oc occitan|pa punjabi|pl polish|ps pashto
pt portuguese|ro romanian|ru russian|sa sanskrit|sd sindhi|si sinhala|sk slovak|sl slovenian|sn shona|so somali
sq albanian|sr serbian|su sundanese|sv swedish|sw swahili|ta tamil|te telugu|tg tajik|th thai|tk turkmen|tl tagalog
tr turkish|tt tatar|uk ukrainian|ur urdu|uz uzbek|vi vietnamese|yi yiddish|yo yoruba|yue cantonese|zh chinese
"""
_NAMES = {
    code: name.replace("_", " ") for code, name in (row.split() for row in _TABLE.strip().replace("\n", "|").split("|"))
}
_CODES = {name: code for code, name in _NAMES.items()} | {"mandarin": "zh", "burmese": "my", "castilian": "es"}


def english_name(code: str) -> str:
    """``english`` for ``en``; the code itself where no name is known."""
    return _NAMES.get(code, code)


def code_of(language: str) -> str:
    """``en`` for ``english``, ``English`` and ``en-US``; "" for what is neither a name nor looks like a code."""
    told = language.strip().lower()
    if told in _CODES:
        return _CODES[told]
    code = told.replace("_", "-").partition("-")[0]
    code = {"no": "nb", "cmn": "zh", "jv": "jw", "iw": "he"}.get(code, code)
    return code if code in _NAMES else ""
