"""The wheel has the champion inside. An editable install has not: it reads that of the project."""

import json
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Champion(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            files = json.loads(Path(self.root, "champion.json").read_bytes())["files"]
            for name in ("champion.json", *(path for path in files if not path.endswith(".safetensors"))):
                build_data["force_include"][name] = f"domain_denoiser/champion/{Path(name).name}"
