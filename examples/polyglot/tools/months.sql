-- One row for each month and airport: how many flew, and how many of these were more than a quarter of an hour late.
.mode csv
.headers on
.import departures.csv departures
select substr(day, 1, 7) as month,
       origin,
       sum(flights - cancelled) as flown,
       sum(late) as late,
       round(1.0 * sum(late) / sum(flights - cancelled), 4) as share
from departures
group by month, origin
order by month, origin;
