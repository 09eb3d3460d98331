# Keeps the days on which an airport had departures worth counting, and adds the share of them that were late.
BEGIN { FS = OFS = "," }
NR == 1 { print $0, "share"; next }
$3 - $4 >= least { print $0, sprintf("%.4f", $5 / ($3 - $4)) }
