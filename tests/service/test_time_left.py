"""The estimate of the time left is a band, and says nothing before it knows something."""

from service.time_left import SecondsLeft, seconds_left


def test_nothing_is_said_before_three_trials() -> None:
    assert seconds_left([10.0, 11.0], 5) is None


def test_nothing_is_left_when_no_trial_is() -> None:
    assert seconds_left([], 0) == SecondsLeft(0.0, 0.0)


def test_the_band_holds_the_mean_and_narrows_with_evidence() -> None:
    few = seconds_left([9.0, 10.0, 11.0], 10)
    many = seconds_left([9.0, 10.0, 11.0] * 10, 10)
    assert few is not None
    assert many is not None
    assert few.low < 100 < few.high
    assert few.high - few.low > many.high - many.low


def test_equal_trials_give_a_sharp_estimate() -> None:
    assert seconds_left([10.0] * 3, 4) == SecondsLeft(40.0, 40.0)
