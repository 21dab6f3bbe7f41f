"""How much a file may ask for. Files come from strangers, and a few bytes of a header can claim terabytes.

Each limit is far beyond what speech needs, and what passes one is refused in a line that names it. The service, which
decodes for many at once, sets tighter ones (`doors/serve/settings.py`).
"""

RATES_HZ = (1, 768_000)
"""Sampling rates of a recording, both ends included."""
CHANNELS = 64
"""Of a recording."""
SECONDS = 7 * 24 * 3600
"""Of a recording that is read piece by piece: a week."""
HELD_BYTES = 1 << 30
"""Of decoded samples kept together, as `audio.load` does: four and a half hours at 16 kHz."""
BLOCK_SAMPLES = 1 << 20
"""Decoded at once, over all channels: memory is bounded whatever rate and channels a header claims."""
DESCRIPTION_BYTES = 16 << 20
"""Of a model's `artifact.json`, and of the header of its weights."""
GRAPH_BYTES = 1 << 30
"""Of a model's graph in one precision."""
IMAGE_VALUES = 1 << 22
"""Values of a model's image, and samples or spectra of the clip it is made of: the front end's own memory."""
TABLE_BYTES = 1 << 30
"""Of a manifest, or a table of recordings."""
