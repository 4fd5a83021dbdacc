"""metrics.json: the mean metrics of each model over the test images at each noise level."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain_denoiser.base.reading import from_json
from domain_denoiser.params import check

Figure = Annotated[float, Field(allow_inf_nan=False)]
Sigma = Annotated[str, Field(pattern=r"^[0-9](\.[0-9]+)?(e-[0-9]+)?$")]  # a noise level, as Python prints it


class _Metrics(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    models: dict[str, dict[Sigma, dict[str, Figure]]]

    @model_validator(mode="after")
    def every_level_has_the_headline(self) -> "_Metrics":
        for model, levels in self.models.items():
            for sigma, means in levels.items():
                if "psnr_db" not in means:
                    raise ValueError(f"must have psnr_db of {model!r} at sigma {sigma}")
        return self


def parse(content: bytes, where: str) -> dict[str, dict[str, dict[str, float]]]:
    """{model: {noise level: {metric: mean}}} of metrics.json. Raises BadInput, whose message starts with `where`."""
    return check(_Metrics, from_json(content, where), where).models
