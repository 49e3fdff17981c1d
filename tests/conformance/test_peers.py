"""Every case of the peers' own tests: siltstone says the same under the convention, or differs for a stated reason."""

import pytest

from support.peers.cases import file_of
from support.peers.differences import DIFFERENT
from support.peers.runners import FILES, Outcome, agree, run

CASES = [pytest.param(name, case["id"], id=f"{name}/{case['id']}") for name in FILES for case in file_of(name)["cases"]]


def outcomes(name: str, case_id: str) -> list[Outcome]:
    file = file_of(name)
    return run(file, next(case for case in file["cases"] if case["id"] == case_id))


@pytest.mark.parametrize(("name", "case_id"), CASES)
def test_a_case_of_a_peer(name: str, case_id: str) -> None:
    got = outcomes(name, case_id)
    assert got
    for outcome in got:
        listed = DIFFERENT.get((name, case_id, outcome.at))
        if listed is None:
            assert agree(outcome), outcome
        else:
            assert outcome.got == listed[0]
            assert not agree(outcome), f"no longer different, take it off the list: {outcome}"


def test_every_listed_difference_is_a_number_of_a_case() -> None:
    met = {
        (name, case_id, outcome.at)
        for name, case_id in {key[:2] for key in DIFFERENT}
        for outcome in outcomes(name, case_id)
    }
    assert set(DIFFERENT) - met == set()


def test_no_case_was_lost() -> None:
    counts = {name: len(file_of(name)["cases"]) for name in FILES}
    assert counts == {
        "flux-integral": 30,
        "flux-state-events": 8,
        "opcua-netstandard": 31,
        "opcua-node-opcua-aggregates": 31,
        "opcua-node-opcua-interpolated-value": 18,
        "traces-step-functions": 8,
        "iotdb-integral": 5,
    }
