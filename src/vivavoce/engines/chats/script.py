"""Reads questions and answers from a file that an operator writes: JSON, a table, or Markdown.

JSON
    ``[{"questions": ["…", "…"], "answer": "…"}, …]``; ``question`` may stand for one. ``answer`` may be an object of
    answers by language, ``language`` says which one a single answer is in.
A table (``.csv``, ``.tsv``)
    With a first line of names: ``question``, ``answer`` and perhaps ``language``. Questions are parted by ``|``.
Markdown
    A heading is a question, several in a row have one answer: the text up to the next heading.

The question ``*`` is asked when no other fits. Where no language is said, the letters of the answer tell it.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vivavoce.errors import EngineUnavailable, InvalidInput
from vivavoce.text.guess import guess_language
from vivavoce.text.languages import resolve
from vivavoce.text.plain import plain

__all__ = ["OTHERWISE", "Entry", "read_script"]

OTHERWISE = "*"
_MOST_BYTES = 5_000_000
_MOST_QUESTIONS = 20_000
_KINDS = (".json", ".csv", ".tsv", ".md", ".markdown")


@dataclass(frozen=True, slots=True)
class Entry:
    """Questions that have one answer."""

    questions: tuple[str, ...]
    answers: Mapping[str, str]
    """By the code of their language, the first one first."""


def read_script(path: Path) -> list[Entry]:
    """What is in the file, in its order. Raises ``EngineUnavailable`` with a sentence about what is wrong with it."""
    if path.suffix.lower() not in _KINDS:
        raise _wrong(path, f"its name ends in none of {', '.join(_KINDS)}")
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _wrong(path, f"it has more than {_MOST_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except OSError:
        raise _wrong(path, "it cannot be read") from None
    except UnicodeDecodeError:
        raise _wrong(path, "it is not written in UTF-8") from None
    try:
        entries = list(_entries(path.suffix.lower(), text))
    except (InvalidInput, ValueError) as e:
        raise _wrong(path, str(e).rstrip(".")) from None
    if not entries:
        raise _wrong(path, "there is no question in it")
    if sum(len(entry.questions) for entry in entries) > _MOST_QUESTIONS:
        raise _wrong(path, f"there are more than {_MOST_QUESTIONS:,} questions in it")
    return entries


def _wrong(path: Path, what: str) -> EngineUnavailable:
    return EngineUnavailable(
        f"The script {path.name} cannot be used: {what}; correct it, or set another VIVAVOCE_CHATS__SCRIPTED__FILE."
    )


def _entries(kind: str, text: str) -> Iterator[Entry]:
    if kind == ".json":
        return _from_json(text)
    return _from_table(text, kind) if kind in (".csv", ".tsv") else _from_markdown(text)


def _from_json(text: str) -> Iterator[Entry]:
    try:
        told = json.loads(text)
    except ValueError as e:
        raise ValueError(f"it is no JSON ({e})") from None
    if not isinstance(told, list):
        raise ValueError("it is no JSON list")
    for number, one in enumerate(told, 1):
        if not isinstance(one, Mapping):
            raise ValueError(f"entry {number} is no object")
        questions = one.get("questions", one.get("question"))
        yield _entry(
            [questions] if isinstance(questions, str) else questions,
            one.get("answer"),
            one.get("language"),
            f"entry {number}",
        )


def _from_table(text: str, kind: str) -> Iterator[Entry]:
    first = text.lstrip().partition("\n")[0]
    mark = "\t" if kind == ".tsv" or "\t" in first else max(",;", key=first.count)
    rows = csv.DictReader(io.StringIO(text.lstrip()), delimiter=mark, skipinitialspace=True)
    names = {(name or "").strip().lower(): name for name in rows.fieldnames or ()}
    if not {"question", "answer"} <= names.keys():
        raise ValueError("its first line does not name the columns question and answer")
    try:
        for row in rows:
            told = {name: (row[column] or "").strip() for name, column in names.items() if name}
            if any(told.values()):
                questions = [q.strip() for q in told["question"].split("|")]
                yield _entry(questions, told["answer"], told.get("language"), f"line {rows.line_num}")
    except csv.Error as e:
        raise ValueError(f"it is no table ({e})") from None


def _from_markdown(text: str) -> Iterator[Entry]:
    questions: list[str] = []
    lines: list[str] = []
    begun = 0
    for number, line in enumerate([*text.splitlines(), "#"], 1):
        heading = re.match(r"\s{0,3}#{1,6}(?:\s+(.*?)\s*#*\s*)?$", line)
        if heading is None:
            lines.append(line)
            continue
        answer = _paragraphs(lines)
        if questions and answer:
            yield _entry(questions, answer, None, f"line {begun}")
            questions = []
        elif questions and not heading[1]:
            raise ValueError(f"the question in line {begun} has no answer")
        lines, begun = [], number
        if heading[1]:
            questions.append(heading[1].replace("\\*", "*"))


def _paragraphs(lines: list[str]) -> str:
    """The lines as they are spoken: those of a paragraph in one, of whatever width they were written."""
    made: list[str] = []
    for line in lines:
        if not line.strip():
            made.append("\n")
        elif made and made[-1] != "\n" and not re.match(r"\s*(?:[-*+>|]|\d+[.)])\s", line):
            made[-1] += " " + line.strip()
        else:
            made.append(line.strip())
    return plain("\n".join(part for part in made if part != "\n")).strip()


def _entry(questions: Any, answer: Any, language: Any, where: str) -> Entry:
    asked = questions if isinstance(questions, list) else []
    if not asked or not all(isinstance(q, str) and (q.strip() == OTHERWISE or _is_said(q)) for q in asked):
        raise ValueError(f"{where} has no question")
    given = answer if isinstance(answer, Mapping) else {language or "": answer}
    if not given or not all(isinstance(a, str) and _is_said(a) for a in given.values()):
        raise ValueError(f"{where} has no answer")
    try:
        answers = {resolve(str(code) or guess_language(a, "en")).code: a.strip() for code, a in given.items()}
    except InvalidInput:
        raise ValueError(f"{where} is in a language that is not known") from None
    return Entry(tuple(q.strip() for q in asked), answers)


def _is_said(text: str) -> bool:
    return any(c.isalnum() for c in text)
