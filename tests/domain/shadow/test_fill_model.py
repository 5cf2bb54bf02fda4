"""The fill model's settings: what is refused, what covers what, and the digest."""

from dataclasses import fields, replace
from typing import Any

import pytest
from pydantic import ValidationError

from trimtab_server.domain.shadow.fill_model import Age, FillModel, age_of
from trimtab_server.settings_shadow import ShadowSettings

DAY_NS = 86_400 * 10**9
OTHER: dict[str, Any] = {
    "entry": "close",
    "entry_style": "passive",
    "calendar": "24/7",
    "horizons": ("1d", "40d"),
    "markout_ages": ("1m",),
}


def test_ages_are_wall_time_or_trading_days() -> None:
    """Seconds, minutes and hours are wall time; days are trading days; anything else is refused."""
    assert age_of("90s") == Age(90 * 10**9, 0)
    assert age_of("4h") == Age(4 * 3_600 * 10**9, 0)
    assert age_of("30d") == Age(0, 30)
    for words in ("", "0m", "5", "m", "-1d", "1.5h", "1w", " 1d", "99999999s"):
        with pytest.raises(ValueError, match="is no age"):
            age_of(words)


def test_each_age_belongs_to_the_first_horizon_that_surely_covers_it() -> None:
    """A trading day is at least as long as 24 hours; wall time never surely covers one."""
    model = FillModel(
        horizons=("1d", "72h", "7d"), markout_ages=("4h", "24h", "25h", "1d", "2d", "80h")
    )
    found = dict(zip(model.ages, model.age_horizon, strict=True))
    assert [found[age_of(each)] for each in ("4h", "24h", "25h", "80h")] == [0, 0, 1, 2]
    assert [found[age_of(each)] for each in ("1d", "2d")] == [0, 2]


@pytest.mark.parametrize(("horizons", "age"), [(("1d",), "25h"), (("99h",), "2d"), ((), "1m")])
def test_age_beyond_all_horizons_is_refused(horizons: tuple[str, ...], age: str) -> None:
    """By the model and by the settings, which name the field."""
    with pytest.raises(ValueError, match="markout_ages"):
        FillModel(horizons=horizons, markout_ages=(age,))
    with pytest.raises(ValidationError, match="beyond every horizon"):
        ShadowSettings(horizons=horizons, markout_ages=(age,))


def test_settings_are_the_models_and_have_the_same_defaults() -> None:
    """What the file may tell is what the model knows, and nothing told is the same to both."""
    told = ShadowSettings().model_dump(exclude={"pending_max", "price_source"})
    assert set(told) == {each.name for each in fields(FillModel)}
    assert FillModel(**told) == FillModel()


@pytest.mark.parametrize("name", [each.name for each in fields(FillModel)])
def test_every_setting_changes_the_version(name: str) -> None:
    """Results of other settings are other results; the version fits a name of the contract."""
    model = FillModel()
    other = replace(model, **{name: OTHER.get(name, 3)})
    assert other.version != model.version
    assert len(other.version) <= 64
    assert FillModel().version == model.version


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("entry", "noon"), ("entry_style", "shy"), ("latency_s", -1), ("volume_share_max", 0)),
        *(("horizons", ("1d", "1d")), ("horizons", ("1y",)), ("horizons", ("9999999h",))),
        *(("calendar", "XNOWHERE"), ("censor_after_s", 0), ("pending_max", 0)),
    ],
)
def test_settings_out_of_range_are_refused_by_name(name: str, value: Any) -> None:
    """The error says which setting."""
    with pytest.raises(ValidationError) as refused:
        ShadowSettings.model_validate({name: value, "markout_ages": ()})
    assert refused.value.errors()[0]["loc"][0] == name


def test_model_refuses_what_it_does_not_know() -> None:
    """Should settings be made by hand."""
    with pytest.raises(ValueError, match="entry"):
        FillModel(entry="noon")
    with pytest.raises(ValueError, match="entry_style"):
        FillModel(entry_style="shy")
    with pytest.raises(KeyError):
        FillModel(calendar="XNOWHERE")
    with pytest.raises(ValueError, match="at most"):
        FillModel(horizons=tuple(f"{each}h" for each in range(1, 20)), markout_ages=())


def test_unknown_calendar_of_a_plan_counts_weekdays() -> None:
    """A plan may name any calendar; none is the model's."""
    model = FillModel(calendar="24/7")
    assert model.calendar_of("").name == "24/7"
    assert model.calendar_of("XNYS").name == "XNYS"
    assert model.calendar_of("XTKS").name == "weekdays"
