"""The three stages, the one loop, and the folder a run lives in."""
