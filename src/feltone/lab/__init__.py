"""The laboratory: how a recogniser comes to be. Needs `feltone[train]`; the core never imports it."""
