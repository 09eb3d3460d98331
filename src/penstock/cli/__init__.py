"""The command line: verbs, progress lines, and text for what `app` answers. Knows `app` and the errors; decides
nothing."""
