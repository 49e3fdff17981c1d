"""The datalog contract: which columns every table has, and which names no record may take."""

import pickle

import pyarrow as pa

from siltstone.errors import AccountsError, ConfigError, SiltstoneError
from siltstone.model.contracts import ARROW_TYPE, DATALOG
from siltstone.model.kinds import KINDS


def test_the_columns_with_statistics_stand_first_and_are_those_that_are_filtered() -> None:
    assert DATALOG.statistics == ("ts", "unitno", "deviceid")


def test_reserved_names_are_the_added_columns() -> None:
    assert DATALOG.reserved == ("ts", "hiveperiod", "dstrct_code", "source_file", "_rescued")


def test_time_is_utc_in_microseconds() -> None:
    assert DATALOG.time.type == pa.timestamp("us", tz="UTC")


def test_every_kind_has_an_arrow_type() -> None:
    assert set(ARROW_TYPE) == {*KINDS, "float", "timestamp"}


def test_errors_cross_a_process_border_with_class_and_text() -> None:
    for error in (ConfigError(["a: 1", "b: 2"]), AccountsError("x", ["1 lost"]), SiltstoneError("what", "next")):
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), str(back), back.exit_code) == (type(error), str(error), error.exit_code)


def test_a_config_error_lists_every_problem_and_the_next_move() -> None:
    assert str(ConfigError(["a: 1", "b: 2"])) == (
        "configuration: 2 problems\n  a: 1\n  b: 2\nFix it, then: siltstone doctor --conf FILE"
    )
