"""A headless Chromium, and the two servers that it looks at."""

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import sys

import pytest
from driving import PATIENCE, UNSEP, free_port, listening, running, wait_for
from places import REPOSITORY

SCREENSHOTS = REPOSITORY / "out" / "browser"
REQUIRED = "UNSEP_BROWSER"  # set to "required", a missing browser fails the tests instead of skipping them
FLAGS = [
    "--no-sandbox",  # root, as in containers, has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LAB_SETTINGS = {
    "notebook-extension/tracker": '{"windowingMode": "none"}',  # every output stays in the page
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
}


def missing(reason):
    if os.environ.get(REQUIRED) == "required":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def chromium():
    """The browser's path."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        missing("no chromium on the path; `apt-get install chromium` brings Debian's")
    if not (importlib.util.find_spec("playwright") and importlib.util.find_spec("axe_playwright_python")):
        missing("playwright or axe is missing; `pip install --editable .[dev]` brings them")
    return path


@pytest.fixture
def browser(chromium):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def new_page(browser):
    """new_page(): an empty page of a browser session of its own."""
    with contextlib.ExitStack() as stack:

        def make():
            context = browser.new_context(viewport={"width": 1100, "height": 1500})
            context.set_default_timeout(1000 * PATIENCE)
            stack.callback(context.close)
            return context.new_page()

        yield make


@pytest.fixture(scope="session")
def shoot():
    """shoot(page, name): keep a picture of the page."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return lambda page, name: page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def app(chromium, tmp_path_factory):
    """The address that `unsep app --profile smoke` prints."""
    log = tmp_path_factory.mktemp("app") / "log"
    with running([*UNSEP, "app", "--no-browser", "--profile", "smoke"], log) as process:
        yield wait_for(process, log, lambda: re.search(r"http://127\.0\.0\.1:\d+/\?token=\w+", log.read_text()))[0]


@pytest.fixture(scope="module")
def lab(chromium, tmp_path_factory):
    """The folder that JupyterLab shows, and address(name): where a file of it opens, alone in its workspace."""
    folder, port, token = tmp_path_factory.mktemp("lab"), free_port(), secrets.token_hex(16)
    notebooks, settings, log = folder / "notebooks", folder / "settings", folder / "log"
    notebooks.mkdir()
    for extension, text in LAB_SETTINGS.items():
        path = settings / "@jupyterlab" / f"{extension}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command = [
        sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}", f"--ServerApp.root_dir={notebooks}", f"--IdentityProvider.token={token}",
    ]  # fmt: skip
    environment = {
        "JUPYTERLAB_SETTINGS_DIR": settings, "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
        "JUPYTER_CONFIG_DIR": folder / "config", "JUPYTER_RUNTIME_DIR": folder / "runtime",
        "IPYTHONDIR": folder / "ipython", "UNSEP_OUT": folder / "out",
        "OMP_NUM_THREADS": "1",  # two threads wait for each other where other work wants the cores
    }  # fmt: skip
    with running(command, log, **{name: str(path) for name, path in environment.items()}) as process:
        wait_for(process, log, lambda: listening(port))
        server = f"http://127.0.0.1:{port}/lab/workspaces"
        yield notebooks, lambda name: f"{server}/{name.partition('.')[0]}/tree/{name}?token={token}"
