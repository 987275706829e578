"""The page itself: widgets around the plain functions of this package."""

from __future__ import annotations

import html
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anywidget
import ipywidgets
import torch
import traitlets
from IPython.display import display

from unsep_lib.app import MOST_MEGABYTES, PAGE_SOURCES, PAGE_STEPS, QUEUE_VARIABLE
from unsep_lib.app.jobs import Cancelled, Job, at_working_rate, known_sources, run, tracks_of, turn, zipped
from unsep_lib.app.recordings import LIMITS, Recording, check_size, examples, read_upload
from unsep_lib.audio import AUDIO_SUFFIXES, rms_dbfs
from unsep_lib.figures import described, spectrograms
from unsep_lib.figures.players import players
from unsep_lib.notebook.profiles import Profile, load_profile
from unsep_lib.separation import Separation
from unsep_lib.source_spec import parse_spec
from unsep_lib.windows import clock

FOLDER = Path(__file__).parent
MOST_COLUMNS = 2  # spectrograms side by side: on a phone four are too small to read
TITLE = f"""\
<h1>Separate your own</h1>
<p>Everything stays on this computer. {LIMITS}</p>"""


def sentence(text: str, wrong: bool = False) -> str:
    """A line of text that assistive technology announces; `wrong` marks it as an error."""
    return f'<p role="{"alert" if wrong else "status"}">{html.escape(text)}</p>'


def progress(text: str, share: float) -> str:
    """A line of text and a bar filled to `share`, 0 … 1."""
    percent = round(100 * share)
    bar = f'<progress max="100" value="{percent}" aria-label="progress of the separation">{percent} %</progress>'
    return sentence(text) + bar


def picture(tracks: Mapping[str, torch.Tensor], what: str) -> str:
    """Spectrograms of tracks [time] at 16 kHz; what: the subject of their text alternative."""
    image: str = described(spectrograms(tracks, columns=MOST_COLUMNS), f"Spectrograms of {what}.").data
    return image


def overview(recording: Recording) -> str:
    """A player of the recording, with its name, length, rate and channels."""
    audio = recording.audio
    channels = {1: "mono", 2: "stereo"}[len(audio.samples)]
    caption = f"{recording.name}: {audio.seconds:.1f} s, {audio.sample_rate} Hz, {channels}"
    player: str = players({caption: audio.samples}, audio.sample_rate).data
    return player


def listing(tracks: Mapping[str, torch.Tensor], sample_rate: int, trust: Mapping[str, str]) -> str:
    """A player per track, all at one gain, with how far it can be trusted where that is known."""
    named = {f"{name}: {trust[name]}" if name in trust else name: samples for name, samples in tracks.items()}
    return f"<p>All players share one gain.</p>{players(named, sample_rate).data}"


def part(begin: float, tracks: Mapping[str, torch.Tensor], sample_rate: int) -> str:
    """A finished part of a recording: from and to when, and its players."""
    [length] = {samples.shape[-1] for samples in tracks.values()}
    heading = f"{clock(begin)} to {clock(begin + length / sample_rate)}"
    return f"<h3>{heading}</h3>{players(tracks, sample_rate).data}"


def program(code: str) -> str:
    """Code that does the same."""
    return f'<h3>The same in a cell</h3><pre tabindex="0"><code>{html.escape(code)}</code></pre>'


class Drop(anywidget.AnyWidget):
    """A place to drop or choose a file: on_file(name, size in bytes, content); content is None if it is too large."""

    _esm = FOLDER / "drop.js"
    accept = traitlets.Unicode(",".join(sorted(AUDIO_SUFFIXES))).tag(sync=True)
    most_bytes = traitlets.Int(MOST_MEGABYTES * 1_000_000).tag(sync=True)

    def __init__(self, on_file: Callable[[str, int, bytes | None], None]):
        super().__init__()
        self.on_msg(lambda _, file, sent: on_file(file["name"], file["size"], bytes(sent[0]) if sent else None))


class Download(anywidget.AnyWidget):
    """A button, shown while there is something to offer, that sends it to the browser as a file."""

    _esm = FOLDER / "download.js"
    description = traitlets.Unicode().tag(sync=True)
    offered = traitlets.Bool(False).tag(sync=True)

    def __init__(self, description: str):
        super().__init__(description=description)
        self._name, self._content = "", b""
        self.on_msg(lambda *_: self.send({"name": self._name}, buffers=[self._content]))

    def offer(self, name: str, content: bytes) -> None:
        """Offer a file; an empty one withdraws what was offered."""
        self._name, self._content = name, content
        self.offered = bool(content)


REDRAW_SECONDS = 1.0  # between two pictures of what emerges: drawing one takes about 0.3 s
INAUDIBLE_DBFS = -96.0  # the last bit of 16: a quieter residual is neither shown nor played
LABEL_STYLE = {"description_width": "8em"}
TWO_COLUMNS = {"flex_flow": "row wrap", "max_width": "640px"}


def show() -> None:
    """Display the page with the profile and the queue of this process's environment."""
    queue = os.environ.get(QUEUE_VARIABLE) or tempfile.mkdtemp(prefix="unsep-app-")
    display(Page(load_profile(), Path(queue)).box)


@dataclass
class Page:
    """One session's page; separations run in a thread of their own, so that Cancel is heard.

    profile: solver, its number of steps and device; queue: the folder shared by all sessions of a server.
    """

    profile: Profile
    queue: Path
    recording: Recording | None = None
    thread: threading.Thread | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.examples = {f"{each.name}: {' + '.join(map(str, each.specs))}": each for each in examples()}
        self.drop = Drop(self.uploaded)
        self.example = _dropdown("Or an example", ["choose an example", *self.examples])
        self.example.layout.width, self.example.layout.max_width = "32em", "98%"
        self.overview, self.status, self.picture, self.results, self.code = (ipywidgets.HTML() for _ in range(5))
        self.parts = ipywidgets.VBox()
        found, self.damaged = known_sources()
        known = ["none", *found]
        self.sources = [_dropdown(f"Source {number}", known) for number in range(1, PAGE_SOURCES + 1)]
        for source, usual in zip(self.sources, (self.profile.speech_prior, self.profile.sound_prior), strict=False):
            source.value = usual if usual in known else "none"
        steps = self.profile.steps_of(self.profile.solver)
        self.steps = _number("Noise levels", steps, 1, PAGE_STEPS)
        self.seed = _number("Seed", 0, 0, 2**31 - 1)
        self.button = ipywidgets.Button(description="Separate", button_style="primary", disabled=True)
        self.cancel = ipywidgets.Button(description="Cancel", disabled=True)
        self.download = Download("Download all as WAV (zip)")
        self.example.observe(lambda change: self.chose(change["new"]), names="value")
        self.button.on_click(lambda _: self.start())
        self.cancel.on_click(lambda _: self.cancelled.set())
        self.box = self._layout()

    def _layout(self) -> ipywidgets.Widget:
        recording = [_heading("1. A recording"), self.drop, self.example, self.overview]
        sources = [
            _heading("2. What sounds in it", "Name every source; <code>sound</code> alone is any instrument."),
            *(ipywidgets.HTML(sentence(text)) for text in self.damaged),
            ipywidgets.HBox([*self.sources, self.steps, self.seed], layout=TWO_COLUMNS),
        ]
        work = [
            _heading("3. Separate"),
            ipywidgets.HBox([self.button, self.cancel]),
            self.status,
            self.picture,
            self.parts,
        ]
        box = ipywidgets.VBox(
            [ipywidgets.HTML(TITLE), *recording, *sources, *work, self.results, self.download, self.code]
        )
        box.add_class("unsep-page")
        return box

    def uploaded(self, name: str, size: int, content: bytes | None) -> None:
        """Take an uploaded file; without `content` only its size is known."""
        try:
            check_size(name, size)
            self.take(read_upload(name, content or b""))
        except ValueError as error:
            self.recording, self.overview.value = None, sentence(str(error), wrong=True)
            self.button.disabled = True

    def chose(self, title: str) -> None:
        """Take an embedded example, and the sources that sound in it."""
        if title not in self.examples:
            return
        recording = self.examples[title]
        for index, source in enumerate(self.sources):
            source.value = str(recording.specs[index]) if index < len(recording.specs) else "none"
        self.take(recording)

    def take(self, recording: Recording) -> None:
        """Make `recording` the one to separate."""
        self.recording, self.overview.value = recording, overview(recording)
        if recording.name not in self.example.value:
            self.example.value = self.example.options[0]
        self.button.disabled = self.running()

    def running(self) -> bool:
        """Whether a separation runs or waits."""
        return self.thread is not None and self.thread.is_alive()

    def job(self) -> Job:
        """What the page's fields ask for.

        Raises:
            ValueError: no recording, or no source.
        """
        specs = tuple(parse_spec(source.value) for source in self.sources if source.value != "none")
        if self.recording is None:
            raise ValueError("choose a recording first")
        if not specs:
            raise ValueError("name at least one source that sounds in the recording")
        return Job(self.recording, specs, self.profile.solver, self.steps.value, self.seed.value, self.profile.device)

    def start(self) -> None:
        """Begin the separation that the fields ask for, in a thread."""
        try:
            job = self.job()
        except ValueError as error:
            self.status.value = sentence(str(error), wrong=True)
            return
        self.cancelled.clear()
        self.button.disabled, self.cancel.disabled = True, False
        self.picture.value = self.results.value = self.code.value = ""
        self.parts.children = ()
        self.download.offer("", b"")
        self.thread = threading.Thread(target=self.work, args=(job,), daemon=True)
        self.thread.start()

    def work(self, job: Job) -> None:
        """Wait for a turn, separate, show; every end is one sentence."""
        try:
            with turn(self.queue, self.cancelled, self._waiting):
                self.status.value = progress("Reading the priors …", 0.0)
                separation = run(
                    job, self.cancelled, Live(self), partial(self.add_part, job.recording.audio.sample_rate)
                )
            self.finished(job, separation)
        except Cancelled:
            self.picture.value, self.status.value = "", sentence("Cancelled.")
        except Exception as error:  # the thread's last word: without it the page would wait for ever
            text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            self.status.value = sentence(f"It failed. {text}", wrong=True)
        finally:
            self.button.disabled, self.cancel.disabled = self.recording is None, True

    def add_part(self, sample_rate: int, begin: float, tracks: Mapping[str, torch.Tensor]) -> None:
        """Play a finished part of a long recording while the rest runs; those before go on playing."""
        self.parts.children = (*self.parts.children, ipywidgets.HTML(part(begin, tracks, sample_rate)))

    def _waiting(self, before: int) -> None:
        others = "one other separation is" if before == 1 else f"{before} other separations are"
        self.status.value = sentence(f"Waiting for a turn: {others} before yours.")

    def finished(self, job: Job, separation: Separation) -> None:
        """Show, play and offer what came out."""
        tracks, rate = tracks_of(separation), separation.sample_rate
        self.download.offer(f"{Path(job.recording.name).stem}_sources.zip", zipped(tracks, rate))
        silent = [name for name, samples in tracks.items() if rms_dbfs(samples) <= INAUDIBLE_DBFS]
        tracks = {name: samples for name, samples in tracks.items() if name not in silent}
        flat = {name: at_working_rate(samples, rate) for name, samples in tracks.items()}
        mixture = {"recording": at_working_rate(job.recording.audio.samples, rate)}
        self.picture.value = picture(mixture | flat, "the recording and of " + ", ".join(tracks))
        left_out = sentence(f"Silent, and not shown: {', '.join(silent)}.") if silent else ""
        self.parts.children = ()
        trust = dict(zip(separation.names, map(str, separation.confidence or ()), strict=False))
        self.results.value = left_out + listing(tracks, rate, trust)
        self.code.value = program(job.code())
        self.status.value = progress(
            f"Done: {job.recording.name} in {separation.seconds:.1f} s, {separation.solver}, "
            f"{separation.steps} noise levels, seed {separation.seed}.", 1.0,
        )  # fmt: skip


class Live:
    """Shows how far a separation is at every step, and at most once a second what has emerged."""

    def __init__(self, page: Page):
        self.page, self.drawn = page, 0.0

    def __call__(self, share: float, estimates: Mapping[str, torch.Tensor]) -> None:
        self.page.status.value = progress(f"Separating: {100 * share:.0f} %", share)
        if time.monotonic() - self.drawn >= REDRAW_SECONDS:
            self.page.picture.value = picture(estimates, "the estimated sources so far")
            self.drawn = time.monotonic()


def _heading(title: str, text: str = "") -> ipywidgets.HTML:
    return ipywidgets.HTML(f"<h2>{title}</h2>" + (f"<p>{text}</p>" if text else ""))


def _dropdown(description: str, options: list[str]) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(options=options, description=description, style=LABEL_STYLE)


def _number(description: str, value: int, low: int, high: int) -> ipywidgets.BoundedIntText:
    return ipywidgets.BoundedIntText(value=value, min=low, max=high, description=description, style=LABEL_STYLE)
