"""The promises of ``Chat``."""

from collections.abc import Iterator, Sequence

from vivavoce.nouns import Turn
from vivavoce.ports import Chat
from vivavoce.testing.base import check_closing, refused, require

__all__ = ["check_chat"]

_QUESTION = "Hello! How are you today?"


def check_chat(engine: Chat, question: str = _QUESTION, language: str = "en") -> None:
    """Every promise of ``Chat``; ``question`` is asked, in ``language``, a few times of its default model."""
    models = engine.traits.models
    require(models, "A chat engine declares at least one model in its traits.")
    require(len(models) == len(set(models)), "Each model is declared once.")
    require(engine.traits == engine.traits, "Traits are the same whenever they are read.")
    asked = (Turn("user", question),)
    for model, code in (("", ""), (models[0], ""), ("", language)):
        _answer(engine.reply(asked, model=model, language=code))
    before = (Turn("system", "Be brief."), *asked, Turn("assistant", "Well, and you?"))
    _answer(engine.reply((*before, *asked), language=language))
    _check_chat_refusals(engine, asked)
    _check_chats_apart(engine, asked)
    check_closing(lambda: engine.reply(asked), "reply")
    pieces = engine.reply(asked)
    next(pieces)
    close = getattr(pieces, "close", None)
    require(close is not None, "The iterator of an answer can be closed.")
    if close is not None:
        close()
    require(not list(pieces), "Nothing comes from an iterator that is closed.")


def _answer(pieces: Iterator[str]) -> str:
    told = list(pieces)
    require(all(isinstance(piece, str) for piece in told), "An answer comes in pieces of text.")
    text = "".join(told)
    require(any(c.isalnum() for c in text), f"An answer has words, not {text[:40]!r}.")
    return text


def _check_chat_refusals(engine: Chat, asked: Sequence[Turn]) -> None:
    refused(lambda: list(engine.reply(asked, model="no such model")), "an unknown model")
    refused(lambda: list(engine.reply(asked, language="xx")), "an unknown language")
    refused(lambda: list(engine.reply(())), "a conversation without a turn")
    refused(lambda: list(engine.reply((Turn("user", " \n"),))), "an empty question")
    refused(lambda: list(engine.reply((*asked, Turn("assistant", "Fine.")))), "a conversation that asks nothing")


def _check_chats_apart(engine: Chat, asked: Sequence[Turn]) -> None:
    """Two answers read in turn are both whole."""
    streams = [iter(engine.reply(asked)), iter(engine.reply(asked))]
    texts = ["", ""]
    going = [0, 1]
    while going:
        for i in tuple(going):
            piece = next(streams[i], None)
            if piece is None:
                going.remove(i)
            else:
                texts[i] += piece
    require(all(any(c.isalnum() for c in text) for text in texts), "Two answers can be read in turn.")
