"""Denoisers for the images of one domain: trained by a pipeline, tracked as artifacts, compared as runs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from domain_denoiser.runtime.denoiser import Denoiser as Denoiser


def __getattr__(name: str) -> object:
    """`from domain_denoiser import Denoiser` imports what it needs only then: each stage imports this package."""
    if name == "Denoiser":
        from domain_denoiser.runtime.denoiser import Denoiser

        return Denoiser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
