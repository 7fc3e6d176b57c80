"""A key's minute: all at once, then evenly, whatever other keys do."""

from hypothesis import given
from hypothesis import strategies as st

from ml_assets.deployment.rate import RateLimit


def test_a_minute_can_be_used_up_at_once_and_comes_back_evenly() -> None:
    now = [1000.0]
    rate = RateLimit(lambda: now[0])
    assert [rate.wait("a", 6) for _ in range(6)] == [0.0] * 6
    assert rate.wait("a", 6) == 10.0
    assert rate.wait("b", 6) == 0.0
    now[0] += 9
    assert rate.wait("a", 6) == 1.0, "what was refused does not count"
    now[0] += 1
    assert (rate.wait("a", 6), rate.wait("a", 6)) == (0.0, 10.0)
    now[0] += 3600
    assert [rate.wait("a", 6) for _ in range(7)] == [0.0] * 6 + [10.0], "time that passed is not saved up beyond a minute"


@given(st.integers(1, 100), st.lists(st.floats(0, 90), max_size=300))
def test_no_minute_holds_more_than_twice_the_limit_and_waiting_as_told_is_enough(limit: int, gaps: list[float]) -> None:
    now, passed = [0.0], list[float]()
    rate = RateLimit(lambda: now[0])
    for gap in gaps:
        now[0] += gap
        if wait := rate.wait("a", limit):
            assert 0 < wait <= 60
            now[0] += wait + 1e-5
            assert rate.wait("a", limit) == 0.0
        passed.append(now[0])
    assert all(sum(start <= at < start + 60 for at in passed) <= 2 * limit for start in passed)
