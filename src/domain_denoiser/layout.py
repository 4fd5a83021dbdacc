"""Every path that an artifact has, once; all are from the project's root."""

from pathlib import Path

PARAMS = Path("params.yaml")
PRESETS = Path("presets")  # those that `denoise init` makes it of
IMAGES = Path("data/images")  # a folder of one's own
IMAGES_TRACKED = Path("data/images.dvc"), Path("data/.gitignore")  # what `dvc add` writes for it
CLEAN = Path("data/clean")
NOISY = Path("data/noisy")
NOISE_LEVELS = NOISY / "test"  # test and gate images at every noise level
MODELS = Path("models")
EVALUATION = Path("reports/evaluation")
METRICS = Path("reports/metrics.json")
LEVELS = Path("reports/levels.csv")
FILTERS = Path("reports/filters")  # classical filters on the gate images
FIGURES = Path("reports/figures")
PSNR_AGAINST_NOISE = FIGURES / "psnr_against_noise.png"
GATE_REPORT = Path("reports/gate.json")  # the gate's last decision, with its candidate
RETRAINING = Path("reports/retraining")  # the report of the last retraining
PAGE = Path("reports/report.html")
CHAMPION = Path("champion")  # the model in use, which git keeps
DEMO = Path("demo")  # the page that restores in a browser
SITE = DEMO / "site"  # the same with its models and ONNX Runtime, ready to be served

WEIGHTS, SETTINGS, GRAPH, CARD = "model.safetensors", "model.json", "model.onnx", "README.md"
HISTORY, PLATFORM = "history.csv", "platform.json"  # platform: the kind of machine that trained it
PROFILE = "profile.json"  # what the images of the model's domain look like

STUDY_LEVELS = Path("data/study/levels")
STUDY_DOMAINS = Path("data/study/domains")
STUDY_MODELS = MODELS / "study"
STUDY_REPORTS = Path("reports/study")

# What git has of one domain, and of no other. data/mnist.yaml is not among them: it says where MNIST comes from, which
# stays true, and params.yaml may name it again.
DOMAIN_PATHS = (
    PARAMS,
    *IMAGES_TRACKED,
    Path("dvc.lock"),
    Path("champion.json"),
    CHAMPION,
    MODELS,
    Path("reports"),
    Path("study/dvc.lock"),
    Path("study/large/dvc.lock"),
)


def clean_images(split: str) -> Path:
    """split: train, val, gate or test."""
    return CLEAN / f"{split}_images.npy"


def given_noisy(split: str) -> Path:
    """The noisy images of pairs, beside the clean ones, as both are given."""
    return CLEAN / f"{split}_noisy.npy"


def clean_labels(split: str) -> Path:
    """The label of each of those images: its digit, or the number of its file or group."""
    return CLEAN / f"{split}_labels.npy"


def grids(split: str) -> Path:
    """How many rows and columns of tiles each val, gate or test image has, uint32 [M, 2]; MNIST's are one tile each."""
    return CLEAN / f"{split}_grids.npy"


def table(model: str) -> Path:
    """The evaluation of a model or baseline, a row an image."""
    return EVALUATION / f"{model}.csv"


def filtered(name: str) -> Path:
    """A filter's evaluation on the gate images, a row an image."""
    return FILTERS / f"{name}.csv"


def strength(name: str) -> Path:
    """The strength of a filter that calibration chose."""
    return FILTERS / f"{name}.json"


def figures(model: str) -> tuple[Path, Path]:
    """Test images that a model restores, and its learning curves."""
    return FIGURES / model / "examples.png", FIGURES / model / "learning_curves.png"


def is_dataset(path: str) -> bool:
    """Whether DVC keeps what is there as data, not git as code."""
    return path.startswith("data/")
