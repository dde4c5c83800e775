"""What a user is told of a refinement: by ``vivavoce train`` when it ends, and by ``vivavoce evaluate`` later."""

from typing import Any

import pytest

from vivavoce.bench.person import refinement_table
from vivavoce.cli.train import _tell
from vivavoce.engines.person.evaluate import OWN, TRUE

BEFORE = {
    "inner_psnr": 18.0,
    "mouth_psnr": 24.4,
    "sharpness": 1.02,
    "inner_sharpness": 0.98,
    "flicker": [1.14, 1.22],
    "opening_r": 0.93,
}
AFTER = BEFORE | {"inner_psnr": 19.11, "flicker": [1.09, 1.15]}


def told(*against: str) -> dict[str, Any]:
    return {
        "used": not against,
        "against": list(against),
        "epochs": 40,
        "held_out": [[114, 139], [364, 389]],
        "before": {TRUE: BEFORE, OWN: BEFORE},
        "after": {TRUE: AFTER, OWN: AFTER},
    }


def test_the_table_has_both_sides_and_says_what_was_held_out() -> None:
    text = refinement_table(told())
    lines = text.splitlines()
    assert "114-138, 364-388" in lines[0]
    assert f"| {TRUE}, library | 18.00 | 24.40 | 0.98 / 1.02 | 1.14 / 1.22 | 0.93 |" in lines
    assert f"| {OWN}, refined | 19.11 | 24.40 | 0.98 / 1.02 | 1.09 / 1.15 | 0.93 |" in lines
    assert "It is used." in lines[-1]
    assert "It is not used: it blurs; it flickers." in refinement_table(told("it blurs", "it flickers"))


def test_a_training_says_what_it_was_good_for(capsys: pytest.CaptureFixture[str]) -> None:
    made = {
        "name": "anna",
        "engine": "person",
        "warnings": [],
        "trained": {"learnt": True, "ended": ""},
        "quality": {"speech_seconds": 15, "refinement": told()},
    }
    _tell(made, as_json=False)
    said = capsys.readouterr()
    assert f"{TRUE}: between the lips 18.00 to 19.11 dB" in said.out
    assert "The mouth is refined." in said.out
    _tell(made | {"quality": {"refinement": told("it blurs")}}, as_json=False)
    assert "The refinement is not used: it blurs." in capsys.readouterr().err
    _tell(made | {"quality": None}, as_json=False)
    assert "refine" not in capsys.readouterr().out


def test_where_nothing_was_learnt_it_is_said_why() -> None:
    text = refinement_table(told("too few mouths") | {"before": {}, "after": {}, "held_out": []})
    assert text == "It is not used: too few mouths."
