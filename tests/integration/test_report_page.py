"""The page in a real browser: no errors, every plot drawn, and documents that do nothing."""

import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from syneg.mix import review
from syneg.report import page, publish
from tests.unit.report import sample

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
)

# Runs after the page, in the test's copy of it only: measures what was drawn and writes it into the title.
PROBE = """<script>
window.addEventListener("load", () => {
  const plots = [...document.querySelectorAll("figure svg")];
  const drawn = plots.filter(plot => {
    const box = plot.getBoundingClientRect();
    const marks = [...plot.querySelectorAll("path")].filter(path => path.getBBox().width + path.getBBox().height > 5);
    return box.width > 200 && box.height > 50 && marks.length > 2 && plot.querySelectorAll("text").length > 2;
  });
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const choices = [...document.querySelectorAll("#review input[value=reject]")];
  choices.slice(0, 2).forEach(choice => { choice.checked = true; });
  URL.createObjectURL = blob => { blob.text().then(text => console.log("saved: " + btoa(text))); return "#saved"; };
  document.querySelector("#review button").click();
  console.log(`probe: plots ${plots.length}, drawn ${drawn.length}, scripts ${document.scripts.length}, `
    + `images ${document.images.length}, sideways ${wide}, title ${document.title}`);
});
</script></body>"""


def browse(path: Path, profile: Path, *more: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *more, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def console(answer: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in answer.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    content = sample.content(tmp_path_factory.mktemp("report"))
    return page.render(publish.assemble(sample.summary(), content), content)


def test_loads_without_a_word_on_the_console_and_documents_do_nothing(text: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    answer = browse(path, tmp_path / "profile", "--dump-dom")
    assert console(answer) == []
    assert "<title>demo · syneg</title>" in answer.stdout
    assert "&lt;script&gt;document.title" in answer.stdout
    assert not re.search(r"<img\b", answer.stdout)
    assert len(re.findall(r"<script\b", answer.stdout)) == 1
    assert "<button" in answer.stdout
    assert "<p hidden" not in answer.stdout  # our own script ran under the policy


@pytest.mark.parametrize("width", [1200, 500])
def test_plots_are_drawn_and_escaping_alone_holds(text: str, tmp_path: Path, width: int) -> None:
    """Without the policy, which would hide a script that got through."""
    unguarded = re.sub(r"<meta http-equiv=.Content-Security-Policy.*?>", "", text).replace("</body>", PROBE)
    path = tmp_path / "probed.html"
    path.write_text(unguarded, encoding="utf-8")
    lines = console(browse(path, tmp_path / "profile", "--dump-dom", f"--window-size={width},900"))
    assert len(lines) == 2, lines
    assert "probe: plots 6, drawn 6, scripts 2, images 0, sideways 0, title demo · syneg" in lines[0]
    saved = base64.b64decode(re.search(r"saved: ([\w+/=]+)", lines[1])[1]).decode()  # type: ignore[index]
    decisions = tmp_path / "review.jsonl"
    decisions.write_text(saved, encoding="utf-8")
    found = review.load(str(decisions))
    assert list(found.instances.values()) == list(found.negatives.values()) == [False]
