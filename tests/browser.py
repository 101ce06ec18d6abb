"""A page opened in headless Chromium, where one is installed."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage",
            "--enable-logging=stderr", "--virtual-time-budget=10000")  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What a script in the page returned, and every line that the page left on the console, errors included."""

    result: Any
    console: list[str]


def load(page: Path, script: str, *, width: int = 1200) -> Seen:
    """Open a page, run the body of an async function in it, and return what came of it; skip without a browser."""
    browser = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium is installed")
    told = f"""<script>
addEventListener("load", async () => {{
  let told;
  try {{ told = await (async () => {{ {script} }})(); }} catch (error) {{ told = {{error: String(error)}}; }}
  document.body.dataset.told = JSON.stringify(told);
}});
</script></body>"""
    tried = page.with_name("tried.html")
    tried.write_text(page.read_text("utf-8").replace("</body>", told), "utf-8")
    size = f"--window-size={width},900"
    command = [browser, *_OPTIONS, size, f"--user-data-dir={page.parent / 'profile'}", "--dump-dom", tried.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'<body[^>]* data-told="([^"]*)"', done.stdout)
    assert found is not None, done.stderr[-2000:]
    return Seen(json.loads(unescape(found[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line])
