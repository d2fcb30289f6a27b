"""When a service's memory counts as flat."""

from collections import Counter
from types import SimpleNamespace

import pytest

from benchmarks import soak
from benchmarks.soak import MOST_GROWTH, Stage, growth


def stages(loads: list[int], rests: list[int]) -> list[Stage]:
    pairs = zip(loads, rests, strict=True)
    return [Stage(1000 * number, *pair) for number, pair in enumerate(pairs, start=1)]


def test_memory_that_swings_is_flat_whatever_its_first_tenth_was():
    loads = [0, 100, 100, 200, 200, 100, 200, 150, 100, 200]
    assert growth(stages(loads, loads)) == (1, 1)


@pytest.mark.parametrize("grows", ["under load", "at rest"])
def test_memory_that_grows_is_told(grows):
    steady, growing = [200] * 10, [200 + 10 * i for i in range(10)]
    pair = (growing, steady) if grows == "under load" else (steady, growing)
    assert max(growth(stages(*pair))) > MOST_GROWTH


def test_too_few_requests_tell_nothing():
    with pytest.raises(SystemExit, match="too few"):
        growth([Stage(500, 1, 1)])


def test_every_request_is_asked_once_in_stages(monkeypatch):
    monkeypatch.setattr(soak, "REST_SECONDS", 0)
    monkeypatch.setattr(soak, "cpu_seconds", lambda server: 0)
    reading = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=2 << 20))
    server = SimpleNamespace(
        memory_info=lambda: SimpleNamespace(rss=3 << 20), children=lambda: [reading]
    )
    asked: list[int] = []

    def ask(number: int) -> Counter[int]:
        asked.append(number)
        return Counter({200: number})

    found, statuses = soak.soak(server, ask, 2500)
    assert asked == [500, 500, 1000, 500]
    assert statuses == Counter({200: 2500})
    assert [stage.requests for stage in found] == [500, 1000, 2000, 2500]
    assert {(stage.under_load, stage.at_rest) for stage in found} == {(5, 5)}
