"""The house rules that a machine can check: who imports whom, how long a file is, what is light."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = sorted((ROOT / "syneg").rglob("*.py"))
ROOMS = (
    "corpus",
    "generate",
    "mine",
    "mix",
    "train",
    "evaluate",
    "report",
    "export",
)  # the flow; export alone has no stage
SHARED = ("encoder", "search")  # rooms that several stages use
FLOOR = (
    "differences",
    "errors",
    "ids",
    "keyset",
    "markdown",
    "model_card",
    "on_ray",
    "passages",
    "positives",
    "redaction",
    "rejection",
    "schemas",
    "settings",
    "stage",
    "strict_yaml",
    "texts",
    "vectors",
)  # below every room

# Where a heavy library may be named, also inside functions and for types.
HOMES = {
    "torch": (
        "syneg/encoder/",
        "syneg/train/",
        "syneg/store/models.py",
        *(f"syneg/search/{name}.py" for name in ("products", "cpu", "cuda")),
    ),
    "sentence_transformers": ("syneg/encoder/", "syneg/train/"),
    "transformers": ("syneg/encoder/", "syneg/generate/engines/vllm.py", "syneg/store/models.py"),
    "deepspeed": ("syneg/train/engine.py",),
    "peft": ("syneg/train/trainable.py",),
    "faiss": ("syneg/search/",),
    "sklearn": ("syneg/mix/shortcut.py",),
    "bm25s": ("syneg/search/bm25.py",),
    "vllm": ("syneg/generate/engines/plugin.py",),
    "openai": ("syneg/generate/engines/endpoint.py",),
    "py3langid": ("syneg/generate/language.py",),
    "s3fs": ("syneg/store/s3.py",),
    "botocore": ("syneg/store/retries.py",),
    "matplotlib": ("syneg/report/plots.py", "syneg/report/plots_of_arms.py"),
    "ir_measures": ("syneg/evaluate/metrics.py",),
}
WITHOUT_RAY = ("corpus", "search", "mine", "mix", "evaluate", "report", "export")
TRAINING_CORE = (
    "encoder/encoder.py",
    *(f"train/{name}.py" for name in ("loss", "contrast", "gradient_cache", "batches", "peers", "step", "measure")),
)


@cache
def imports(path: Path, runtime_only: bool = False, at_once: bool = False) -> frozenset[str]:
    """Modules that a file imports, anywhere in it. `runtime_only` leaves out `if TYPE_CHECKING`.

    `at_once`: only those that are loaded when the file is, which takes neither functions nor conditions.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if runtime_only:
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                node.body = []
    found: set[str] = set()
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if parts[0] == "syneg" and len(parts) > 1 else ""


@pytest.mark.parametrize("room", ROOMS + SHARED)
def test_rooms_meet_only_in_tables(room: str) -> None:
    allowed = {room, *FLOOR, "store"} | (set(SHARED) if room not in SHARED else set())
    for path in (ROOT / "syneg" / room).rglob("*.py"):
        for module in imports(path):
            assert not module.startswith("syneg.") or room_of(module) in allowed, f"{relative(path)} imports {module}"


def test_stages_know_no_store() -> None:
    for path in (ROOT / "syneg").glob("*/stage.py"):
        assert not [module for module in imports(path) if module.startswith("syneg.store")], relative(path)


def test_rooms_use_only_files_folders_and_models_of_the_store() -> None:
    for room in ROOMS + SHARED:
        for path in (ROOT / "syneg" / room).rglob("*.py"):
            used = {module for module in imports(path) if module.startswith("syneg.store")} - {"syneg.store"}
            assert used <= {"syneg.store.files", "syneg.store.folders", "syneg.store.models"}, (
                f"{relative(path)}: {used}"
            )


def test_the_floor_stands_on_nothing() -> None:
    for path in PACKAGE:
        if room_of(relative(path)[:-3].replace("/", ".")) in FLOOR:
            modules = imports(path, runtime_only=True)
            used = {room_of(module) for module in modules if module.startswith("syneg")} - {""}
            assert used <= set(FLOOR), f"{relative(path)} imports {used}"


@pytest.mark.parametrize("library", HOMES)
def test_heavy_libraries_stay_in_their_homes(library: str) -> None:
    for path in [*PACKAGE, *(ROOT / "jobs").rglob("*.py")]:
        if any(module.split(".")[0] == library for module in imports(path)):
            assert relative(path).startswith(HOMES[library]), f"{relative(path)} imports {library}"


def test_ray_stays_out_of_the_pure_rooms_and_of_the_training_core() -> None:
    paths = [path for room in WITHOUT_RAY for path in (ROOT / "syneg" / room).rglob("*.py")]
    for path in [*paths, *(ROOT / "syneg" / name for name in TRAINING_CORE)]:
        assert not {module.split(".")[0] for module in imports(path)} & {"ray", "deepspeed"}, relative(path)


@pytest.mark.parametrize(("script", "needs"), [("train_cuda", set()), ("arms_cuda", {"pyarrow"})])
def test_bare_machines_need_torch_and_sentence_transformers_alone(script: str, needs: set[str]) -> None:
    """What a benchmark for a GPU machine imports, and everything that this imports."""
    modules = {relative(path)[:-3].replace("/", "."): path for path in PACKAGE}
    unwanted = {"ray", "deepspeed", "pydantic", "pyarrow", "faiss", "ir_measures", "vllm"} - needs
    waiting, seen = [ROOT / "benchmarks" / f"{script}.py"], set[Path]()
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            used = imports(path, at_once=True)
            assert not {module.split(".")[0] for module in used} & unwanted, path
            waiting += [modules[module] for module in used if module in modules]
    assert len(seen) > 8


def test_no_circles() -> None:
    modules = {relative(path)[:-3].replace("/", "."): path for path in PACKAGE}
    graph = {
        name: {used for used in imports(path, runtime_only=True) if used in modules} for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for used in graph[name]:
                visit(used, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_no_circles_of_rooms() -> None:
    """Folders stand on floors, too: who uses a room is not used by it, over any number of others."""
    used = dict[str, set[str]]()
    for path in PACKAGE:
        room = path.relative_to(ROOT / "syneg").parts[0]
        used.setdefault(room, set()).update(room_of(module) for module in imports(path, runtime_only=True))
    rooms = {name: {other.removesuffix(".py") for other in others} for name, others in used.items()}
    graph = {name.removesuffix(".py"): others - {"", name.removesuffix(".py")} for name, others in rooms.items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_files_are_short() -> None:
    for path in [*PACKAGE, *(ROOT / "tests").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")]:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, relative(path)


def test_no_benchmark_hides_a_package() -> None:
    """A script's folder is searched first: one called coverage.py was what numba imported."""
    code = (
        f"import importlib.util; print([n for n in {sorted(path.stem for path in (ROOT / 'benchmarks').glob('*.py'))}"
    )
    code += " if importlib.util.find_spec(n)])"
    found = subprocess.run([sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_package_files_are_empty() -> None:
    for path in PACKAGE:
        if path.name == "__init__.py":
            assert path.read_text(encoding="utf-8") == "", relative(path)


def test_help_and_plan_load_nothing_heavy() -> None:
    heavy = ("torch", "vllm", "deepspeed", "faiss", "ray", "transformers", "matplotlib", "pyarrow", "s3fs")
    code = (
        "import sys, syneg.config.run, syneg.pipeline.pipeline, syneg.cli, syneg.config.overrides\n"
        "syneg.pipeline.pipeline.plan(syneg.config.overrides.load('configs/demo.yaml'))\n"
        f"print(sorted(set(sys.modules) & set({heavy!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
