"""Feltone."""
