"""A pytest plugin: what is skipped fails, unless it says `@pytest.mark.may_skip("why")`.

A test that is skipped proves nothing and looks like one that passed: `importorskip` of a module that has got another
name once hid the laws of a whole package.
"""

from collections.abc import Generator

import pytest

_WHY = "skipped ({why}): a skip hides what it should test. Let it run, or mark it @pytest.mark.may_skip('why')."


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "may_skip(why): this test may be skipped where something is not there")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The report of a test; failed where it was skipped without leave."""
    report = yield
    is_expected_failure = hasattr(report, "wasxfail")
    if report.skipped and not is_expected_failure and item.get_closest_marker("may_skip") is None:
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The report of a module's collection; failed where the whole module skipped itself."""
    report = yield
    if report.skipped:
        _fail(report)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome, report.longrepr = "failed", _WHY.format(why=why.removeprefix("Skipped: "))
