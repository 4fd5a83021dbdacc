"""One ONNX file of a trained model: its network, and what the images of its domain look like.

Beside networks/, as the stages that train depend on that room, and on no profile.
"""

from typing import TYPE_CHECKING

from domain_denoiser.domain.profile import Profile, written
from domain_denoiser.runtime.graphs import PROFILE

if TYPE_CHECKING:
    import torch

    from domain_denoiser.networks.architectures import Settings


def graph(network: "torch.nn.Module", settings: "Settings", profile: Profile | None) -> bytes:
    """The content of a .onnx file, as `networks.exporting` writes it. Equal networks and profiles give equal bytes."""
    import onnx

    from domain_denoiser.networks import exporting

    content = exporting.exported(network, settings)
    if profile is None:
        return content
    model = onnx.load_from_string(content)
    model.metadata_props.add(key=PROFILE, value=written(profile))
    return model.SerializeToString(deterministic=True)
