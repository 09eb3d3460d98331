"""Raw tables become sound ones: types, missing values, impossible values, flights that never flew."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from penstock import task

WIND_SPEED_MAX = 120  # mph; the strongest gust ever measured in New York was about 110
WEATHER_AGE_MAX = 6  # hours for which a measurement stands in for missing ones after it


class Cleaned(NamedTuple):
    """`flights` that arrived somewhere as planned; `counts` says how many there were of each kind."""

    flights: pd.DataFrame
    counts: dict[str, int]


@task
def clean_flights(flights: pd.DataFrame, late_minutes: int) -> Cleaned:
    """Keep flights whose delay is known and say which were late. Of each flight only what stood in the timetable stays,
    and the answer `late`: its real times would tell a model what it is asked to predict."""
    planned = flights.groupby(["origin", "time_hour"])["flight"].transform("size")
    cancelled = flights["dep_time"].isna()
    arrived = flights["arr_delay"].notna()
    timetable = flights[
        ["month", "day", "carrier", "flight", "tailnum", "origin", "dest", "distance", "time_hour"]
    ].assign(
        minute=flights["sched_dep_time"] // 100 * 60 + flights["sched_dep_time"] % 100,
        weekday=pd.to_datetime(flights[["year", "month", "day"]]).dt.day_of_week,
        planned=planned,
        late=(flights["arr_delay"] > late_minutes).astype("int8"),
    )
    kept = timetable[arrived].reset_index(drop=True)
    counts = {
        "planned": len(flights),
        "cancelled": int(cancelled.sum()),
        "diverted": int((~cancelled & ~arrived).sum()),
        "arrived": len(kept),
        "late": int(kept["late"].sum()),
    }
    return Cleaned(kept, counts)


@task
def clean_weather(weather: pd.DataFrame) -> pd.DataFrame:
    """One row for each airport and hour. A missing measurement takes the last one before it, never one from after it:
    at the time of a prediction that is not known."""
    weather = weather.sort_values(["origin", "time_hour"]).drop_duplicates(["origin", "time_hour"])
    possible = weather["wind_speed"] <= WIND_SPEED_MAX
    weather = weather.assign(wind_speed=weather["wind_speed"].where(possible))
    # No gust is reported where the wind is steady.
    weather["wind_gust"] = (
        weather["wind_gust"].where(weather["wind_gust"] <= WIND_SPEED_MAX).fillna(weather["wind_speed"])
    )
    measured = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
    weather[measured] = weather.groupby("origin")[measured].ffill(limit=WEATHER_AGE_MAX)
    return weather[["origin", "time_hour", *measured]].reset_index(drop=True)


@task
def clean_planes(planes: pd.DataFrame) -> pd.DataFrame:
    """One row per tail number; a year of building after 2013, or before there were airliners, is a typing error."""
    planes = planes.drop_duplicates("tailnum")
    built = planes["built"].where(planes["built"].between(1940, 2013))
    seats = planes["seats"].where(planes["seats"] > 0)
    return planes.assign(built=built, seats=seats).reset_index(drop=True)
