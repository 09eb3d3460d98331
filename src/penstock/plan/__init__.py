"""The graph made executable: a tuple of passes that receive history and settings as data."""
