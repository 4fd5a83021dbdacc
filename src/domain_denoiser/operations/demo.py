"""The page that restores images in the browser: `denoise demo` writes its site from `demo/`, and serves it here."""

import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import jinja2

from domain_denoiser import layout, params
from domain_denoiser.base import atomic
from domain_denoiser.base.errors import BadInput
from domain_denoiser.operations import choosing
from domain_denoiser.params import Domain
from domain_denoiser.runtime.graphs import Graph

HERE = "127.0.0.1"
INDEX = "index.html"  # a template of Jinja
SHOWN = (".css", ".js", ".png")  # what of demo/ goes into the site as it is
DIGITS = "mnist"  # the domain whose page has test digits and a pad
OF_DIGITS = ("digits.js", "digits.png", "pad.js")  # what only that page has
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")  # of ONNX Runtime: one build of many
INSTALL = "npm ci --ignore-scripts --prefix demo"


def write(root: Path) -> list[str]:
    """Write the site of a project, in place of what was there; return the names of its models, the champion first.

    Its texts are about the domain of params.yaml. Equal pages, domains and models give equal bytes. Raises BadInput if
    there is no page, no champion, or no ONNX Runtime, or if params.yaml does not say what the images are.
    """
    page = root / layout.DEMO
    runtime = page / "node_modules/onnxruntime-web/dist"
    if not (page / INDEX).is_file():
        raise BadInput(f"{page} holds no page: {INDEX} is missing")
    if missing := next((name for name in RUNTIME if not (runtime / name).is_file()), None):
        raise BadInput(f"{runtime / missing} is missing: `{INSTALL}` in {root} installs it")
    domain = params.read_domain(root / layout.PARAMS)
    with atomic.folder(root / layout.SITE) as site:
        for path in sorted(page.iterdir()):
            if path.suffix in SHOWN and (domain.name == DIGITS or path.name not in OF_DIGITS):
                shutil.copyfile(path, site / path.name)
        (site / INDEX).write_text(_index((page / INDEX).read_text(encoding="utf-8"), domain), encoding="utf-8")
        (site / "ort").mkdir()
        for name in RUNTIME:
            shutil.copyfile(runtime / name, site / "ort" / name)
        (site / "models").mkdir()
        models = [_put(site, file, name, chosen) for file, name, chosen in _models(root)]
        atomic.write_json(site / "models.json", {"models": models})
    return [model["name"] for model in models]


def _index(template: str, domain: Domain) -> str:
    """The page about a domain, whose words are text there, not HTML."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(template).render(
        domain=domain,
        has_digits=domain.name == DIGITS,
        rights=", ".join(said for said in (domain.authors, domain.licence) if said is not None),
    )


def _models(root: Path) -> Iterator[tuple[Path, str, choosing.Chosen]]:
    """Where the graph of each model goes in the site, what it is called there, and the graph."""
    yield Path("champion.onnx"), "champion", choosing.champion(root)
    for name in choosing.trained(root):
        yield Path("models") / f"{name}.onnx", name, choosing.choose(name, root)


def _put(site: Path, file: Path, name: str, chosen: choosing.Chosen) -> dict[str, object]:
    """Write a graph into the site; return what the page needs to know of it."""
    graph = Graph(chosen.content, chosen.where, threads=1)
    (site / file).write_bytes(chosen.content)
    return {
        "file": quote(file.as_posix()),
        "name": name,
        "channels": graph.channels,
        "size": graph.size,
        "reach": None if graph.reach is None else graph.reach._asdict(),
        "profile": None if graph.profile is None else graph.profile.as_json(),
    }


class _Handler(SimpleHTTPRequestHandler):
    """Files, with the types that modules and WebAssembly need, whatever the machine's own table says."""

    extensions_map = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")  # a site that was written again is seen at once
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Requests are not told: the terminal shows the address."""


def server(root: Path, port: int) -> ThreadingHTTPServer:
    """A server of a project's site, for this machine alone. port: 0 for any that is free.

    Raises BadInput if the port is taken.
    """
    try:
        return ThreadingHTTPServer((HERE, port), partial(_Handler, directory=root / layout.SITE))
    except OSError as error:
        raise BadInput(f"port {port} of this machine cannot be had ({error.strerror}): name another") from error
