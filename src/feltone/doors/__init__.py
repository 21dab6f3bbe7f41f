"""Doors: ways into Feltone from outside Python."""
