"""What of a conversation a model is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivavoce.nouns import Turn
from vivavoce.text.tokens import estimated_tokens, recent

TURNS = st.lists(
    st.builds(Turn, st.sampled_from(["system", "user", "assistant"]), st.text("аб c你", max_size=30)), max_size=12
)


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("The quick brown fox jumps over the lazy dog.", 4),
        ("Съешь же ещё этих мягких французских булок, да выпей чаю.", 3),
        ("Бүгін ауа райы өте жақсы, далаға шығып серуендейік.", 2.5),
        ("今天的天气很好，我们一起去公园散步吧。", 1.5),
        ("오늘은 바람이 많이 불어서 모자가 날아갔어요.", 1.5),
    ],
)
def test_tokens_are_rather_too_many_than_too_few(text: str, letters: float) -> None:
    """Against rules of thumb: how many characters make a token."""
    assert len(text) / letters <= estimated_tokens(text) <= 2 * len(text) / letters
    assert estimated_tokens("") == 0


@given(TURNS, st.integers(0, 8), st.integers(0, 120))
def test_the_end_is_kept_in_order_and_within_limits(turns: list[Turn], most_turns: int, most_tokens: int) -> None:
    kept = recent(turns, most_turns=most_turns, most_tokens=most_tokens)
    system = [t for t in turns if t.role == "system"]
    said = [t for t in turns if t.role != "system"]
    assert list(kept[: len(system)]) == system
    end = list(kept[len(system) :])
    assert end == said[len(said) - len(end) :]
    assert not end or end[0].role == "user"
    if said and said[-1].role == "user":
        assert end
    if len(end) > 1:
        assert len(end) <= most_turns
        assert sum(estimated_tokens(t.text) + 4 for t in kept) <= most_tokens


def test_the_oldest_fall_out_and_the_system_stays() -> None:
    turns = [
        Turn("system", "Be brief."),
        *(Turn(role, f"{role} {i}") for i in range(5) for role in ("user", "assistant")),
    ]
    kept = recent([*turns, Turn("user", "now")], most_turns=4, most_tokens=1000)
    assert [t.text for t in kept] == ["Be brief.", "user 4", "assistant 4", "now"]
    assert [t.text for t in recent([*turns, Turn("user", "now")], most_turns=40, most_tokens=5)] == ["Be brief.", "now"]
