"""A speech encoder small enough for a test, in the form that real ones come in."""

from pathlib import Path

import torch
import transformers


def save_tiny_encoder(kind: str, folder: Path, *, width: int, layers: int, inner: int) -> Path:
    """A `HubertModel`, `Wav2Vec2Model` or the like with random weights, as `save_pretrained` leaves one."""
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 2, "intermediate_size": inner}
    front = {"conv_dim": (8, 8), "conv_stride": (20, 16), "conv_kernel": (20, 16), "num_feat_extract_layers": 2}
    positions = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
    config = getattr(transformers, f"{kind.removesuffix('Model')}Config")(**sizes, **front, **positions)
    torch.manual_seed(0)
    getattr(transformers, kind)(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return folder
