"""Chat models over the network: what they are asked, what is made of their answers, and what goes wrong."""

import json
import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from partners import KEY, Partner, partner
from vivavoce.engines.chats.events import Events
from vivavoce.engines.chats.openai import OpenAIChat
from vivavoce.engines.chats.thoughts import Thoughts
from vivavoce.errors import Cancelled, EngineUnavailable, InvalidInput, Overloaded, TimedOut, VivavoceError
from vivavoce.nouns import Turn
from vivavoce.settings.chats import Chats

Make = Callable[..., OpenAIChat]
FAST = {"connect_seconds": 0.5, "first_seconds": 0.3, "token_seconds": 0.3, "seconds_limit": 5.0}
ASKED = (Turn("user", "Hello!"),)
SAID = "Сәлем! 你好。Привет, how are you? 안녕하세요 😊"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Partner]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with partner() as running:
        running.otherwise = SAID
        yield running


@pytest.fixture
def make(server: Partner) -> Iterator[Make]:
    """Engines that use the server; they are closed with the test."""
    made: list[OpenAIChat] = []

    def one(told: dict[str, Any] | None = None, **options: Any) -> OpenAIChat:
        here = {"base_url": server.url, "model": "tiny", "api_key": KEY} | (told or {})
        made.append(OpenAIChat({"here": here}, **options))
        return made[-1]

    yield one
    for engine in made:
        engine.close()


def say(engine: OpenAIChat, **options: str) -> str:
    return "".join(engine.reply(ASKED, **options))


# ---- what is asked


def test_the_model_is_asked_as_the_format_says(server: Partner, make: Make) -> None:
    engine = make({"extra": {"temperature": 0.2}})
    turns = (
        *(Turn("system", "Be brief."), Turn("user", "One?"), Turn("assistant", "Two."), Turn("assistant", "Three.")),
        *(Turn("user", " "), Turn("user", "Four?")),
    )
    assert "".join(engine.reply(turns, language="kk-KZ")) == SAID
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/v1/chat/completions")
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    body = asked.json
    assert (body["model"], body["stream"], body["temperature"]) == ("tiny", True, 0.2)
    assert asked.messages == [
        ("system", "Be brief.\n\nAnswer only in Kazakh (Қазақша), whatever language you are spoken to in."),
        ("user", "One?"),
        ("assistant", "Two.\n\nThree."),
        ("user", "Four?"),
    ]


def test_without_a_model_the_servers_first_is_asked(server: Partner, make: Make) -> None:
    engine = make({"model": ""})
    assert say(engine) == say(engine) == SAID
    assert [a.path.rpartition("/")[2] for a in server.asked] == ["models", "completions", "completions"]
    assert server.asked[-1].json["model"] == "tiny-model"
    server.models = []
    with pytest.raises(EngineUnavailable, match="names no model; set the model of here in VIVAVOCE_CHATS__MODELS"):
        say(make({"model": ""}))


def test_an_address_may_be_written_whole(server: Partner, make: Make) -> None:
    assert say(make({"base_url": f"{server.url}/chat/completions/"})) == SAID


@pytest.mark.parametrize(
    ("turns", "options"),
    [
        ((), {}),
        ((Turn("user", "  "),), {}),
        ((*ASKED, Turn("assistant", "Hi.")), {}),
        (ASKED, {"language": "xx"}),
        (ASKED, {"model": "nobody"}),
    ],
)
def test_what_cannot_be_answered_is_refused_at_once(
    server: Partner, make: Make, turns: tuple[Turn, ...], options: dict[str, str]
) -> None:
    with pytest.raises(InvalidInput):
        make().reply(turns, **options)
    assert not server.asked


# ---- what comes back


@pytest.mark.parametrize("mood", ["ok", "split", "bare", "whole", "late", "slow", "thinking"])
def test_an_answer_is_understood_however_it_is_sent(server: Partner, make: Make, mood: str) -> None:
    server.moods, server.patience = [mood], 0.02
    assert say(make()) == SAID
    assert len(server.asked) == 1


def test_an_answer_that_is_not_streamed_may_take_its_time(server: Partner, make: Make) -> None:
    assert say(make({"stream": False})) == SAID
    assert server.asked[0].json["stream"] is False


def test_pieces_come_while_the_model_still_writes(server: Partner, make: Make) -> None:
    server.moods = ["stall"]
    pieces = make().reply(ASKED)
    assert SAID.startswith(next(pieces))
    assert not server.left.is_set()
    pieces.close()  # type: ignore[attr-defined]
    assert server.left.wait(2)


def test_thoughts_are_not_spoken(server: Partner, make: Make) -> None:
    server.otherwise = "<think>\nThey greet me.\n</think>\n\nHello!"
    assert say(make()) == "Hello!"
    server.otherwise = "They greet me. <b>So</b> do I.</think> Hello!"
    assert say(make({"thinks": True})) == "Hello!"
    server.otherwise = "<think>I never come to an end"
    with pytest.raises(EngineUnavailable, match="answered with nothing"):
        say(make())


def test_a_connection_is_used_again(server: Partner, make: Make) -> None:
    engine = make()
    for _ in range(5):
        assert say(engine) == SAID
    assert server.connections == 1


# ---- what goes wrong


@pytest.mark.parametrize(
    ("moods", "error", "sentence"),
    [
        (["401"], EngineUnavailable, "refuses the key .* the api_key of here in VIVAVOCE_CHATS__MODELS"),
        (["403"], EngineUnavailable, "refuses the key"),
        (["402"], EngineUnavailable, "used up"),
        (["404"], EngineUnavailable, "does not know this model or address .* check the chat model here"),
        (["400"], EngineUnavailable, "refuses the request .*: no, and the key was …"),
        (["429:0"] * 3, Overloaded, "is busy"),
        (["429:3600"], Overloaded, "longer than its limit"),
        (["500:0"] * 3, EngineUnavailable, "broken at the moment"),
        (["redirect"], EngineUnavailable, "has moved"),
        (["html"], EngineUnavailable, "sent a page instead of an answer; check the base_url of here"),
        (["plain"], EngineUnavailable, "sent plain text instead"),
        (["garbage"], EngineUnavailable, "sent an event that is no JSON"),
        (["empty"], EngineUnavailable, "answered with nothing"),
        (["truncated"], EngineUnavailable, "broke off"),
        (["cut"], EngineUnavailable, "broke off"),
        (["dropped"] * 2, EngineUnavailable, "broke off"),
        (["error"], EngineUnavailable, "could not answer: overloaded, and the key was …"),
        (["filtered"], InvalidInput, "does not want to answer"),
        (["endless"], EngineUnavailable, "sent a text without an end"),
        (["hang"], TimedOut, "did not begin to answer in time"),
        (["silent"], TimedOut, "did not begin to answer in time"),
        (["stall"], TimedOut, "in the midst of its answer"),
    ],
)
def test_a_server_that_fails_is_told_apart(
    server: Partner, make: Make, moods: list[str], error: type[VivavoceError], sentence: str
) -> None:
    server.moods = list(moods)
    began = time.monotonic()
    with pytest.raises(error, match=sentence) as raised:
        say(make(**FAST | ({} if "hang" in moods or "silent" in moods else {"first_seconds": 3.0})))
    assert type(raised.value) is error
    assert time.monotonic() - began < 3
    assert len(server.asked) == len(moods)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("mood", ["500:0", "502:0", "503:0", "504:0", "429:0", "429", "closed", "dropped"])
def test_a_failure_that_passes_is_tried_again(server: Partner, make: Make, mood: str) -> None:
    server.moods = [mood]
    assert say(make()) == SAID
    assert len(server.asked) == 2


def test_a_whole_answer_has_a_limit(server: Partner, make: Make) -> None:
    server.moods, server.patience, server.otherwise = ["slow"], 0.1, "word " * 100
    with pytest.raises(TimedOut, match="did not end its answer in time"):
        say(make(seconds_limit=0.5))


def test_nobody_there(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivavoce.engines.network.client._PAUSES", (0.01, 0.01))
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        say(make({"base_url": "http://127.0.0.1:9/v1"}))


def test_a_server_that_dies_in_the_midst_of_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with partner() as server:
        server.moods = ["truncated"]
        engine = OpenAIChat({"here": {"base_url": server.url, "model": "m"}})
        heard: list[str] = []
        with pytest.raises(EngineUnavailable, match="broke off"):
            heard.extend(engine.reply(ASKED))
    engine.close()
    assert not [t for t in threading.enumerate() if t.name == "voice network"]


@pytest.mark.parametrize("mood", ["hang", "silent", "stall"])
def test_closing_ends_the_request_at_once(server: Partner, make: Make, mood: str) -> None:
    server.moods = [mood]
    pieces = make().reply(ASKED)
    raised: list[BaseException] = []

    def listen() -> None:
        try:
            for _ in pieces:
                pass
        except BaseException as e:  # noqa: BLE001 - looked at below
            raised.append(e)

    reader = threading.Thread(target=listen)
    reader.start()
    assert server.busy.wait(5)
    began = time.monotonic()
    pieces.close()  # type: ignore[attr-defined]
    reader.join(5)
    assert time.monotonic() - began < 0.5
    assert not raised or isinstance(raised[0], Cancelled)
    assert server.left.wait(2)
    assert list(pieces) == []


def test_requests_that_are_closed_leave_nothing_behind(server: Partner, make: Make) -> None:
    engine = make()
    for i in range(12):
        server.moods = [("hang", "stall", "silent")[i % 3]]
        server.busy.clear()
        server.left.clear()
        pieces = engine.reply(ASKED)
        reader = threading.Thread(target=lambda p=pieces: _drained(p))
        reader.start()
        assert server.busy.wait(5)
        pieces.close()  # type: ignore[attr-defined]
        reader.join(5)
        assert server.left.wait(5)
    assert sum(t.name == "voice network" for t in threading.enumerate()) == 1
    engine.close()
    assert not [t for t in threading.enumerate() if t.name == "voice network"]
    assert say(engine) == SAID  # it opens again


def _drained(pieces: Iterator[str]) -> None:
    with suppress(Cancelled):
        list(pieces)


def test_one_engine_answers_many_at_once(server: Partner, make: Make) -> None:
    server.answers = [lambda messages: messages[-1][1].upper()] * 8
    engine = make()
    heard: dict[str, str] = {}

    def ask(text: str) -> None:
        heard[text] = "".join(engine.reply((Turn("user", text),)))

    threads = [threading.Thread(target=ask, args=(f"question {i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert heard == {f"question {i}": f"QUESTION {i}" for i in range(8)}


# ---- keys and set-up


@pytest.mark.parametrize("mood", ["401", "404", "400", "429:3600", "error", "garbage", "truncated", "hang", "ok"])
def test_a_key_is_seen_by_nobody_but_the_server(
    server: Partner, make: Make, mood: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, logger="httpx")
    server.moods = [mood]
    engine = make(**FAST | ({} if mood in ("hang", "silent") else {"first_seconds": 3.0}))
    seen = [repr(engine), repr(engine.traits), repr(engine._servers)]
    try:
        say(engine)
    except VivavoceError as e:
        seen += ["".join(traceback.TracebackException.from_exception(e, capture_locals=True).format()), repr(e)]
    seen += [record.getMessage() + str(record.args) for record in caplog.records]
    seen += [*capfd.readouterr()]
    assert any(KEY in value for asked in server.asked for value in asked.headers.values())
    assert not any(KEY in text for text in seen)


def test_what_is_not_set_up_says_what_to_set(server: Partner, make: Make) -> None:
    with pytest.raises(EngineUnavailable, match=r"ZHIPUAI_API_KEY for glm-4-plus, or .* VIVAVOCE_CHATS__MODELS"):
        OpenAIChat()
    with pytest.raises(EngineUnavailable, match="glm-4-plus needs a key; set ZHIPUAI_API_KEY, or its api_key"):
        make().reply(ASKED, model="glm-4-plus")
    for address in ("", "localhost:8000", "ftp://h", "http://", "http://[", "file:///etc/passwd"):
        with pytest.raises(EngineUnavailable, match="local has no address; set its base_url"):
            OpenAIChat({"local": {"base_url": address}})
    with pytest.raises(EngineUnavailable, match="characters that no key has") as raised:
        OpenAIChat({"glm-4-plus": {"api_key": "ключ"}})
    assert "ключ" not in str(raised.value)
    with pytest.raises(EngineUnavailable, match="preset of the chat model local is not known; use one of glm-4-plus"):
        OpenAIChat({"local": {"preset": "nothing"}})
    with pytest.raises(EngineUnavailable, match="default chat model 'other' is not among"):
        make(default="other")
    two = {"one": {"base_url": server.url}, "two": {"base_url": server.url}}
    assert OpenAIChat(two, default="two").traits.models == ("two", "one")


def test_models_that_are_known_need_only_a_key() -> None:
    engine = OpenAIChat({"glm-4-plus": {"api_key": KEY}, "home": {"preset": "ollama", "model": "qwen3"}})
    glm, home = engine._servers.values()
    assert (glm.base_url, glm.model) == ("https://open.bigmodel.cn/api/paas/v4", "glm-4-plus")
    assert (home.base_url, home.model) == ("http://localhost:11434/v1", "qwen3")
    assert engine.traits.models == ("glm-4-plus", "home")


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZHIPUAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def test_settings_hide_keys_and_hand_them_on(no_keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Chats().options()["chat.openai"]["models"] == {}
    monkeypatch.setenv("ZHIPUAI_API_KEY", KEY)
    elsewhere = {"base_url": "http://127.0.0.1:9/v1"}
    chats = Chats.model_validate(
        {"models": {"mine": elsewhere | {"api_key": KEY}, "glm-4-plus": elsewhere, "smart": {"preset": "glm-4-plus"}}}
    )
    for shown in (repr(chats), str(chats), chats.model_dump_json()):
        assert KEY not in shown
    models = chats.options()["chat.openai"]["models"]
    assert {name: told["api_key"] for name, told in models.items()} == {
        "mine": KEY,
        "glm-4-plus": "",  # the vendor's key is not sent to another
        "smart": KEY,
    }
    assert OpenAIChat(**chats.options()["chat.openai"]).traits.models == ("mine", "glm-4-plus", "smart")
    assert OpenAIChat(**Chats().options()["chat.openai"]).traits.models == ("glm-4-plus",)


@pytest.mark.parametrize(
    "models", [{"": {"preset": "vllm"}}, {"a": {}}, {"a": {"preset": "b"}}, {"a": {"base_url": "http://h", "x": KEY}}]
)
def test_nonsense_is_refused_and_no_key_is_shown(models: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        Chats.model_validate({"models": models})
    assert KEY not in str(raised.value)


# ---- the parts


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_events_are_read_however_their_bytes_are_cut(data: st.DataObject) -> None:
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    texts = data.draw(st.lists(st.text(max_size=8), max_size=6))
    lines = [": hi", "event: message", ""]
    for text in texts:
        parts = ['{"text":', f"{json.dumps(text, ensure_ascii=False)}}}"]
        lines += [f"data: {p}" for p in parts] if data.draw(st.booleans()) else [f"data:{''.join(parts)}"]
        lines += data.draw(st.sampled_from([[], [""], ["", ": still here", ""]]))
    stream = end.join([*lines, "data: [DONE]", "", 'data: {"text": "too late"}', ""]).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    events, found = Events(), []
    for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += events.feed(stream[a:b])
    assert [document["text"] for document in found] == texts
    assert events.done


@pytest.mark.parametrize("stream", [b"data: {\n\n", b"data: {" + b"x" * 2_000_000])
def test_events_that_are_none_are_refused(stream: bytes) -> None:
    with pytest.raises(ValueError, match="an event"):
        Events().feed(stream)


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize(
    ("written", "heard"),
    [
        ("<think>No.</think>Yes.", "Yes."),
        ("\n <THINKING>No <b>.\n</THINKING>\nYes.", "\n \nYes."),
        ("One.\n<think>No.</think>\nTwo.", "One.\n\nTwo."),
        ("The tag <think> begins, 1 < 2 <", "The tag <think> begins, 1 < 2 <"),
        ("No end.</think>", "No end."),
        ("<think>never ends", ""),
        ("a <thin line", "a <thin line"),
    ],
)
def test_thoughts_are_left_out_however_they_are_cut(written: str, heard: str, size: int) -> None:
    thoughts = Thoughts()
    told = "".join(thoughts.feed(written[i : i + size]) for i in range(0, len(written), size)) + thoughts.finish()
    assert told == heard


@pytest.mark.slow
@pytest.mark.parametrize("mood", ["ok", "split", "late"])
def test_the_partner_speaks_the_vendors_format(server: Partner, mood: str) -> None:
    """Else what is tested above would prove nothing: the vendor's own client understands it."""
    import openai

    server.moods, server.patience = [mood], 0.05
    with openai.OpenAI(api_key=KEY, base_url=server.url, max_retries=0) as client:
        asked = {"model": "m", "messages": [{"role": "user", "content": "Hello!"}]}
        stream = client.chat.completions.create(**asked, stream=True)  # type: ignore[call-overload]
        assert "".join(c.choices[0].delta.content or "" for c in stream if c.choices) == SAID
        assert client.chat.completions.create(**asked).choices[0].message.content == SAID  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("http://127.0.0.1:11434/v1", False),
        ("http://[::1]:8000/v1", False),
        ("http://localhost:8080/v1", False),
        ("http://10.0.0.7:8000/v1", True),
        ("https://models.example/v1", True),
        ("https://localhost.example/v1", True),
    ],
)
def test_words_for_a_server_of_this_machine_do_not_leave_it(address: str, network: bool) -> None:
    assert OpenAIChat({"mine": {"base_url": address, "model": "m"}}).traits.network is network
