"""AST, the audio spectrogram transformer of Gong, Chung & Glass (Interspeech 2021, arXiv 2104.01778), a rival.

The network is Hugging Face transformers' `ASTModel`: 16x16 patches, width 768, twelve layers of twelve heads, a class
and a distillation token whose mean is read, learned positions. It comes with patches side by side (stride 16, as Kim &
Lee's Table 2) and with its authors' overlap of six pixels (stride 10). Decided: images in [0, 1] are stretched to
[-1, 1], which has about the spread of the authors' input.

Cost: Kim & Lee publish 3.32 G. On 128x128 this network needs 5.71 G side by side and 12.84 G overlapping, in their own
convention: 7.08 M products per token and layer, for 66 tokens in twelve layers 5.61 G. A perceptron of some 1,110 in
place of AST's 3,072 would bring 3.32 G; their text does not say what they changed, and this is AST as published.

It begins from random weights, or from a checkpoint: a name on the Hugging Face hub
(`MIT/ast-finetuned-audioset-10-10-0.4593`) or a folder that `save_pretrained` wrote. `ASTConfig.weights` says which,
and goes from there into artefacts and results.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from feltone.errors import ConfigError, MissingExtraError
from feltone.lab.models.network import RANDOM, Network, Output

FAMILY = "ast"
CHECKPOINT = "audio-spectrogram-transformer"  # as transformers calls an AST
FIXED = ("patch_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
SUMMARIES = 2  # class token and distillation token, before the patches


@dataclass(frozen=True)
class ASTConfig:
    """Sizes of an audio spectrogram transformer; stored in its artefact."""

    stride: int = 16  # pixels from one patch to the next, along both axes
    depth: int = 12
    heads: int = 12
    patch_size: int = 16
    image: tuple[int, int] = (128, 128)
    token_width: int = 768
    mlp_width: int = 3_072
    weights: str = RANDOM  # or a checkpoint: name on the hub, or folder

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.patch_size <= min(self.image):
            raise ConfigError(f"stride {self.stride}: from 1 to the patch's {self.patch_size}, within {self.image}")
        if self.token_width % self.heads:
            raise ConfigError(f"token_width {self.token_width} cannot be divided among {self.heads} heads")

    @property
    def merges_padding(self) -> bool:
        """Never: positions tell equal patches apart."""
        return False

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along mel and time."""
        height, width = ((size - self.patch_size) // self.stride + 1 for size in self.image)
        return height, width

    @property
    def patches(self) -> tuple[int, int]:
        """Attention is told over time: patches that overlap do not tile the image."""
        return 1, self.image[1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {"family": FAMILY, **asdict(self)}


class AST(Network):
    """Log-Mel image -> logits, feature, attention.

    `Output.attention` is (B, depth, heads, W): what class and distillation token attend to, on average; every patch's
    share is spread evenly over the columns that it covers.
    """

    columns: Tensor

    def __init__(self, config: ASTConfig, classes: int) -> None:
        """Raises `MissingExtraError` without transformers."""
        super().__init__()
        self.config: ASTConfig = config
        self.encoder = library().ASTModel(_sizes(config))
        embeddings = self.encoder.embeddings
        for learned in (embeddings.cls_token, embeddings.distillation_token, embeddings.position_embeddings):
            # As its authors draw them. The library leaves zeros, whose normalisation has a gradient of a million.
            nn.init.trunc_normal_(learned, std=0.02)
        with torch.no_grad():  # installs, at the first call, what tells the attention; a compiler cannot follow that
            self.encoder(torch.zeros(1, *reversed(config.image)), output_attentions=True)
        self.norm = nn.LayerNorm(config.token_width)
        self.classifier = nn.Linear(config.token_width, classes)
        self.register_buffer("columns", patches_to_columns(config), persistent=False)

    def begin(self) -> None:
        """Load the encoder's weights from the checkpoint that `config.weights` names; see `load_checkpoint`."""
        if self.config.weights != RANDOM:
            load_checkpoint(self.encoder, self.config)

    def forward(self, image: Tensor, *, every_token: bool = False) -> Output:  # noqa: ARG002 - every token is computed
        """As `Network`."""
        found = self.encoder(2 * image.transpose(1, 2) - 1, output_attentions=True)
        weights = torch.stack(found.attentions, dim=1).detach()  # B depth h N N
        read = weights[..., :SUMMARIES, SUMMARIES:].mean(-2)
        over_time = read.reshape(*read.shape[:-1], *self.config.grid).sum(-2)
        embedding = self.norm(found.pooler_output)
        return Output(self.classifier(embedding), embedding, over_time @ self.columns.to(read.dtype))


def patches_to_columns(config: ASTConfig) -> Tensor:
    """Share of every place along time in every column of the image: (places, W), rows sum to 1."""
    start = config.stride * torch.arange(config.grid[1])[:, None]
    column = torch.arange(config.image[1])
    return ((start <= column) & (column < start + config.patch_size)) / config.patch_size


def load_checkpoint(encoder: nn.Module, config: ASTConfig) -> None:
    """Give an encoder the weights of a checkpoint, with its positions brought to our grid of patches.

    Raises:
        ConfigError: the checkpoint cannot be had, or is of other sizes.
    """
    transformers = library()
    try:
        theirs = transformers.AutoConfig.from_pretrained(config.weights)
        if theirs.model_type != CHECKPOINT:
            raise ConfigError(f"weights '{config.weights}': are of a {theirs.model_type}, not of an AST; name another")
        found, report = transformers.ASTModel.from_pretrained(config.weights, output_loading_info=True)
    except (OSError, ValueError) as fault:
        reason = str(fault).splitlines()[0]
        raise ConfigError(f"weights '{config.weights}': no AST checkpoint there ({reason}); name another") from None
    if report["missing_keys"]:  # the library goes on with random ones in their place
        raise ConfigError(f"weights '{config.weights}': lack {', '.join(report['missing_keys'])}; name another")
    wanted = _sizes(config)
    different = [name for name in FIXED if getattr(theirs, name) != getattr(wanted, name)]
    if different:
        raise ConfigError(f"weights '{config.weights}': are of another {', '.join(different)}; name another")
    state, grids = found.state_dict(), [found.embeddings.get_shape(theirs), config.grid]
    state["embeddings.position_embeddings"] = moved_positions(state["embeddings.position_embeddings"], *grids)
    encoder.load_state_dict(state)


def moved_positions(positions: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Learned positions of one grid of patches for another: (1, 2 + T, D) -> (1, 2 + T', D).

    As AST's authors do it along time, the middle is cut out where there are fewer columns, and stretched (bilinear)
    where there are more. Along mel it is always stretched: both grids reach over all frequencies.
    """
    summaries, patches = positions[:, :SUMMARIES], positions[:, SUMMARIES:]
    picture = patches.transpose(1, 2).reshape(1, -1, *old)  # 1 D rows columns
    first = max(0, (old[1] - new[1]) // 2)
    picture = picture[..., first : first + new[1]]
    if picture.shape[2:] != new:
        picture = F.interpolate(picture, new, mode="bilinear", align_corners=False)
    return torch.cat([summaries, picture.flatten(2).transpose(1, 2)], dim=1)


def _sizes(config: ASTConfig) -> Any:
    """The same sizes in transformers' words."""
    return library().ASTConfig(
        hidden_size=config.token_width,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        intermediate_size=config.mlp_width,
        patch_size=config.patch_size,
        frequency_stride=config.stride,
        time_stride=config.stride,
        num_mel_bins=config.image[0],
        max_length=config.image[1],
        attn_implementation="eager",  # the only one that tells its weights
    )


def library(purpose: str = "a network of transformers") -> Any:
    """transformers, which loads slowly: only those who ask for something of it need it.

    Raises:
        MissingExtraError: it is not installed; says for what `purpose` it is needed.
    """
    try:
        import transformers
    except ImportError:
        raise MissingExtraError(purpose, "rivals") from None
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # what it warns of is either checked here or nothing to act on
    return transformers
