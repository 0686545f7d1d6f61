"""How much memory a labeling network takes for each pixel that it sees; see `isl.tiling.memory`."""

from isl.backbones.encoder_unet import EncoderUNetConfig
from isl.backbones.unet import UNetConfig
from isl.labeling.model_config import ModelConfig
from isl.labeling.network import ArchitectureConfig
from isl.labeling.towers import TowersConfig, module_depths

# Bytes at the network's peak for each pixel that a batch reads, as XLA says of compiled programs
# for CPUs, rounded up: 26 to 32 for each of a U-Net's widest features; towers of base depth 100 and
# 400 take 1376 and 3534, whatever their expansion and activations, since what lies within a module
# is never there at once; 4 to 6.5 for each feature of a DeepLab's first stage and decoder.
_UNET_BYTES = 33
_TOWERS_BYTES = (700, 7.3)
_DEEPLAB_BYTES = 7
_ENCODER_UNET_BYTES = 1200
# One batch is read, one computed, one written, and JAX copies what it is given: so many times there
# is what a batch reads, and its results.
_INPUTS = 4
_RESULTS = 3
_FLOAT = 4


def bytes_per_pixel(
    config: ModelConfig, *, statistics: int, labels: int, on_cpu: bool, symmetries: int = 1
) -> int:
    """Memory for each pixel that a batch of tiles reads.

    Args:
        config: The model's.
        statistics: How many.
        labels: How many.
        on_cpu: Whether the network computes in the same memory.
        symmetries: How often each network sees the image, turned.
    """
    network = max(_network_bytes(architecture) for architecture in config.architectures)
    if symmetries * len(config.architectures) > 1:
        # Embeddings are kept until all there are can be averaged.
        depths = [_embedding_depth(architecture, config) for architecture in config.architectures]
        network += _FLOAT * symmetries * sum(depths)
    held = _FLOAT * (_INPUTS * config.input.planes + _RESULTS * statistics * labels)
    return round(network) * on_cpu + held


def _network_bytes(architecture: ArchitectureConfig) -> float:
    """Memory at the network's peak for each pixel that it sees."""
    if isinstance(architecture, TowersConfig):
        return _TOWERS_BYTES[0] + _TOWERS_BYTES[1] * architecture.base_depth
    if isinstance(architecture, UNetConfig):
        return _UNET_BYTES * architecture.width / architecture.stem**2
    if isinstance(architecture, EncoderUNetConfig):
        return _ENCODER_UNET_BYTES / architecture.stem**2
    return _DEEPLAB_BYTES * (architecture.width + architecture.decoder)


def _embedding_depth(architecture: ArchitectureConfig, config: ModelConfig) -> int:
    """Numbers for each pixel that the heads read."""
    if isinstance(architecture, UNetConfig):
        return architecture.width
    if isinstance(architecture, EncoderUNetConfig):
        return architecture.decoder[-1]
    if not isinstance(architecture, TowersConfig):
        return architecture.decoder
    depths = module_depths(architecture, architecture.projection or config.input.planes)
    return list(depths.values())[-1][1]
