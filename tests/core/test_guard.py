"""Telemetry never raises into the application; what it swallows it logs once and counts."""

import logging
import threading

import pytest
from spanloom.guard import GUARD, guarded, warn_once
from spanloom.testing import strict


@guarded
def telemetry(secret):
    raise ValueError(secret)


def test_a_failure_is_swallowed_logged_once_without_content_and_counted(lenient, caplog):
    for _ in range(5):
        assert telemetry("s3cret") is None
    with GUARD.watching("elsewhere"):
        raise KeyError("s3cret")
    assert len(caplog.records) == 2
    assert "ValueError" in caplog.text
    assert "s3cret" not in caplog.text
    where = f"{__name__}.telemetry"
    assert {k.rsplit(".", 1)[-1]: n for k, n in lenient.swallowed.items()} == {"telemetry": 5, "elsewhere": 1}, where


def test_where_it_failed_is_logged_where_debugging_is_asked_for_and_no_word_of_what(lenient, caplog):
    @guarded
    def second(secret):
        try:
            raise LookupError(secret)
        except LookupError as error:
            raise RuntimeError(secret) from error

    with caplog.at_level(logging.DEBUG, "spanloom"):
        telemetry("s3cret")
        second("s3cret")
    assert f"{__file__}:13 in telemetry" in caplog.text
    assert "builtins.RuntimeError" in caplog.text
    assert "builtins.LookupError" in caplog.text
    assert "s3cret" not in caplog.text
    assert "raise ValueError" not in caplog.text  # a line of source


def test_what_ends_the_program_passes(lenient):
    @guarded
    def leave():
        raise SystemExit

    with pytest.raises(SystemExit):
        leave()
    with pytest.raises(KeyboardInterrupt), GUARD.watching("x"):
        raise KeyboardInterrupt


def test_strict_raises_where_it_happens_and_at_the_end_too(lenient):
    def framework():
        with strict(), pytest.raises(ValueError, match="x"):  # a framework swallows it just so
            telemetry("x")

    with pytest.raises(ExceptionGroup):
        framework()


def test_threads_count_together(lenient):
    threads = [threading.Thread(target=lambda: [telemetry("x") for _ in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(lenient.swallowed.values()) == 1600


def test_a_warning_is_given_once(caplog):
    for _ in range(3):
        warn_once("test-guard", "careful with %s", "this")
    assert [r.getMessage() for r in caplog.records] == ["careful with this"]
