"""What examining a device tells beside whether it works."""

from devices.doctor import slow_commands_advice


def test_slow_commands_are_told_with_what_makes_them_so() -> None:
    assert slow_commands_advice(0.03) == ""
    assert "every command takes 420 ms there" in slow_commands_advice(0.42)
