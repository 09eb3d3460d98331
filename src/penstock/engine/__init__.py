"""Decides: events in, transitions and commands out. No clock, disk, network, thread or chance; standard library
only."""
