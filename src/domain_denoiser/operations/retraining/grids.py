"""The figures of images that a model restored, before and after, one above the other in one picture."""

import io
from collections.abc import Mapping

from PIL import Image, ImageDraw, ImageFont

LABEL = 40  # pixels


def stacked(grids: Mapping[str, bytes]) -> bytes:
    """PNGs under each other, each below its label -> one PNG on white."""
    pictures = {label: Image.open(io.BytesIO(content)).convert("RGB") for label, content in grids.items()}
    size = (max(grid.width for grid in pictures.values()), sum(grid.height + LABEL for grid in pictures.values()))
    whole, top = Image.new("RGB", size, "white"), 0
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(size=24)
    for label, grid in pictures.items():
        draw.text((12, top + 8), label, fill="black", font=font)
        whole.paste(grid, (0, top + LABEL))
        top += grid.height + LABEL
    buffer = io.BytesIO()
    whole.save(buffer, format="PNG")
    return buffer.getvalue()
