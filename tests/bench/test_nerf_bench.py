"""What is measured of a radiance field: that it is, and what it must come to on any machine."""

import pytest

from vivavoce.bench import nerf

pytest.importorskip("torch")
pytestmark = [pytest.mark.neural, pytest.mark.slow]


@pytest.mark.parametrize("engine", ["ernerf", "synctalk"])
def test_everything_is_measured(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nerf, "_SIDES", (64, 128))
    told: list[float] = []
    rows, more = nerf.measure(engine, quick=True, show=lambda done, _: told.append(done))
    values = {row.what: row.value for row in rows}
    assert len(values) == 2 * 3 + 1
    assert all(value is not None and value > 0 for value in values.values())
    assert told == sorted(told)
    assert "fills 42%" in more
    gain = values["128x128: gain over the plain way"]
    assert gain is not None
    assert gain > 2


def test_the_heads_light_is_gone_as_soon_as_it_is_said() -> None:
    from vivavoce.engines.nerf.field.picture import look
    from vivavoce.engines.nerf.training.ball import Ball

    scene = Ball("ernerf", "cpu")
    seen = look(scene.head, scene.cells, scene.camera(48).rays(scene.pose), scene.moment).pixels
    hit = seen.opacity > 0
    assert abs(float(hit.float().mean()) - scene.share) < 0.03
    assert 6 < float((seen.weights > 0).sum() / hit.sum()) < 10
