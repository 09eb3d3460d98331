"""The author's code as data: which sources are theirs, the pinned copy of them that a run is served, live functions
of a notebook as a module. Reads files; runs in workers only."""
