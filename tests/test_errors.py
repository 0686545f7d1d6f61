import pytest

from isl.errors import InputError, unknown


def test_message_is_one_line_whatever_a_library_put_into_it():
    assert str(InputError("a.toml: bad\n  value\tthere\n")) == "a.toml: bad value there"


@pytest.mark.parametrize(
    ("given", "nearest"), [("MAP", "MAP2"), ("dapi", "DAPI"), ("NHF", "NFH"), ("Map-2", "MAP2")]
)
def test_unknown_names_the_nearest(given, nearest):
    message = str(unknown("label", given, ["DAPI", "MAP2", "NFH"]))
    assert f"unknown label '{given}'; did you mean '{nearest}'?" in message
    assert "(known: DAPI, MAP2, NFH)" in message


def test_unknown_names_what_the_given_name_begins():
    message = str(unknown("label", "nfh", ["DAPI_CONFOCAL", "NFH_CONFOCAL"]))
    assert "did you mean 'NFH_CONFOCAL'?" in message


def test_unknown_suggests_nothing_when_nothing_is_near():
    message = str(unknown("model", "zebrafish", ["towers", "unet"]))
    assert message == "unknown model 'zebrafish' (known: towers, unet)"


def test_unknown_with_nothing_known():
    assert str(unknown("label", "DAPI", [])) == "unknown label 'DAPI' (known: none)"
