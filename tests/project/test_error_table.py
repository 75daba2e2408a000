"""The page about errors is what the code says, and every error of a provider can be reached."""

from cloudcrypt.errors import CloudcryptError
from tools.error_table import CLOUDS, PAGE, all_codes, classes, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: .venv/bin/python tools/error_table.py"


def test_every_error_has_a_remedy_of_its_own() -> None:
    raised = [each for each in classes(CloudcryptError) if each.text]
    without = [each for each in raised if each.advice == CloudcryptError.advice]
    assert [each.__name__ for each in without if "remedy" not in vars(each)] == []


def test_quota_stockout_throttling_and_authorisation_are_told_apart_on_every_cloud() -> None:
    codes = all_codes()
    names = ("QuotaExceeded", "OutOfCapacity", "Throttled", "AccessDenied", "CredentialsRefused")
    by_name = {kind.__name__: clouds for kind, clouds in codes.items()}
    for name in names:
        assert {cloud for cloud, found in by_name[name].items() if found} == {*CLOUDS.values()}
    for cloud in CLOUDS.values():
        found = [code for name in names for code in by_name[name][cloud]]
        assert len(found) == len(set(found))
