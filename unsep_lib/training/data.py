"""Training crops: drawn from clips, augmented, set to a level, and prefetched by processes of their own."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Generic, NamedTuple, TypeVar

import numpy
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from unsep_lib.audio import SAMPLE_RATE, read_mono, resample, rms_dbfs, scale_to_dbfs
from unsep_lib.data.clips import SPEAKER_FOLDERS, Clip, draw_start, read_crop, speaker_of

CACHE_BYTES = 600 << 20  # decoded 16 kHz audio kept in memory, as 16-bit integers
LEAST_PEAK = 1e-12  # so that silence is not divided by zero
CACHED_SECONDS = 60.0  # longer clips are read crop by crop instead
INT16_MAX = 32767.0
SPEEDS = ((21, 25), (9, 10), (19, 20), (1, 1), (20, 19), (10, 9), (25, 21))  # ±3 semitones
DELAY_SHARE = 0.25  # crops whose source starts late, as later sources of a mixture do
FILTER_POINTS, FILTER_DB = 6, 3.0  # random equaliser: control frequencies, standard deviation in dB
FILTER_LOW = 60.0  # Hz, the lowest control frequency
SILENT_DBFS = -65.0  # a crop below this level is drawn again
DRAWS = 50  # attempts to draw a usable crop before giving up
T = TypeVar("T")
Crops = tuple[torch.Tensor, torch.Tensor]  # samples [crop, time] and label indices [crop]
OTHER_SHARE, OTHER_DB = 0.45, 15.0  # examples with another source in them, from as loud to so much weaker
NOISY_SHARE, NOISY_DB = 0.35, 25.0  # examples in white noise, from as loud to so much weaker
EXAMPLE_STARTS = 4  # of an example from its crop's own clip, the start furthest from the crop's is taken


class Cut(NamedTuple):
    """Where a crop comes from: the clip, its start in seconds, and its speed as a fraction."""

    clip: Clip
    start: float
    speed: tuple[int, int]


class ClipCache:
    """Decoded clips at 16 kHz, the least recently used dropped first; long clips are never held whole.

    A clip is kept as 16-bit integers of its own peak: a float file may exceed full scale, or lie far below it.
    """

    def __init__(self, limit: int = CACHE_BYTES):
        self.limit, self.size = limit, 0
        self._clips: OrderedDict[str, tuple[numpy.ndarray, float]] = OrderedDict()

    def crop(self, clip: Clip, start: float, seconds: float) -> torch.Tensor:
        """Mono samples [time] at 16 kHz from `start`, zero-padded to `seconds`."""
        if clip.seconds > CACHED_SECONDS:
            return read_crop(clip, start, seconds)
        (samples, peak), first = self._decoded(clip), round(start * SAMPLE_RATE)
        length = round(seconds * SAMPLE_RATE)
        piece = torch.from_numpy(samples[first : first + length].astype(numpy.float32)) * (peak / INT16_MAX)
        return functional.pad(piece, (0, length - len(piece)))

    def _decoded(self, clip: Clip) -> tuple[numpy.ndarray, float]:
        if clip.file in self._clips:
            self._clips.move_to_end(clip.file)
            return self._clips[clip.file]
        decoded = read_mono(clip.file)
        peak = max(decoded.abs().max().item(), LEAST_PEAK)
        samples = (decoded * (INT16_MAX / peak)).round().numpy().astype(numpy.int16)
        self._clips[clip.file] = samples, peak
        self.size += samples.nbytes
        while self.size > self.limit and len(self._clips) > 1:
            self.size -= self._clips.popitem(last=False)[1][0].nbytes
        return samples, peak


class CropStream:
    """An endless stream of training crops: label uniform, then corpus uniform, then clip, then active span.

    Clips that cannot be read are skipped and listed in `skipped`, each file with the reason.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        labels: Sequence[str],
        seconds: float,
        levels: tuple[float, float],
        generator: numpy.random.Generator,
        augment: bool,
    ):
        if not clips:
            raise ValueError("expected clips to train on, got none (is the split of all of them `test`?)")
        self.labels, self.seconds, self.levels = tuple(labels), seconds, levels
        self.generator, self.augment = generator, augment
        self.cache = ClipCache()
        self.skipped: dict[str, str] = {}
        self._alike: dict[str, list[Clip]] = defaultdict(list)
        groups: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
        for clip in clips:
            groups[clip.label][clip.corpus].append(clip)
            self._alike[_source_of(clip)].append(clip)
        self._groups = [[groups[label][corpus] for corpus in sorted(groups[label])] for label in sorted(groups)]

    def batch(self, size: int) -> Crops:
        """Samples [size, time] and label indices [size] (the last index: no label)."""
        return self.drawn_with([self.generator] * size)

    def drawn_with(self, generators: Sequence[numpy.random.Generator]) -> Crops:
        """One crop per generator: samples [generator, time] and label indices [generator]."""
        crops, labels, _ = zip(*(self._draw(generator) for generator in generators), strict=True)
        return torch.stack(crops), torch.tensor(labels)

    def pairs_with(
        self, generators: Sequence[numpy.random.Generator], seconds: float
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As `drawn_with`, and an example of each crop's source: [generator, time] that lasts `seconds`.

        An example is another recording of the crop's speaker, where the corpus names speakers, or another passage of
        its clip. Like the crop it is faster or slower, so that a voice stays the same. With `augment` it is filtered
        apart, as by another microphone, and some examples have a weaker source or noise in them, so that an estimate
        of a source can be an example.
        """
        crops, labels, cuts = zip(*(self._draw(generator) for generator in generators), strict=True)
        examples = [self._example(cut, seconds, one) for cut, one in zip(cuts, generators, strict=True)]
        return torch.stack(crops), torch.tensor(labels), torch.stack(examples)

    def _example(self, cut: Cut, seconds: float, generator: numpy.random.Generator) -> torch.Tensor:
        others = [one for one in self._alike[_source_of(cut.clip)] if one.file not in (cut.clip.file, *self.skipped)]
        clip = _choose(others, generator) if others else cut.clip
        starts = [draw_start(clip, seconds, generator) for _ in range(1 if others else EXAMPLE_STARTS)]
        start = starts[0] if others else max(starts, key=lambda one: abs(one - cut.start))
        try:
            example = self._piece(Cut(clip, start, cut.speed), seconds)
        except ValueError as error:
            self.skipped[clip.file] = str(error)
            example = self._piece(cut, seconds)
        if not self.augment:
            return example
        example = _filtered(example, generator)
        level = rms_dbfs(example)
        if level <= SILENT_DBFS:
            return example
        if generator.random() < OTHER_SHARE:
            other = self._draw(generator)[0]
            other = functional.pad(other[: len(example)], (0, max(0, len(example) - len(other))))
            if rms_dbfs(other) > SILENT_DBFS:
                example = example + scale_to_dbfs(other, level - generator.uniform(0, OTHER_DB))
        if generator.random() < NOISY_SHARE:
            noise = torch.from_numpy(generator.standard_normal(len(example), dtype=numpy.float32))
            example = example + noise * 10 ** ((level - generator.uniform(0, NOISY_DB)) / 20)
        return example

    def _draw(self, generator: numpy.random.Generator) -> tuple[torch.Tensor, int, Cut]:
        for _ in range(DRAWS):
            clip = _choose(_choose(_choose(self._groups, generator), generator), generator)
            if clip.file in self.skipped:
                continue
            try:
                crop, cut = self._crop(clip, generator)
            except ValueError as error:
                self.skipped[clip.file] = str(error)
                continue
            if rms_dbfs(crop) > SILENT_DBFS:
                label = self.labels.index(clip.label) if clip.label in self.labels else len(self.labels)
                return scale_to_dbfs(crop, generator.uniform(*self.levels)), label, cut
        raise ValueError(f"no usable crop in {DRAWS} draws of clips: {self._unusable()}")

    def _unusable(self) -> str:
        if not self.skipped:
            return "all were silent; `unsep data prepare` leaves silent files out"
        return f"{len(self.skipped)} unreadable and the rest silent; the first: {next(iter(self.skipped.values()))}"

    def _crop(self, clip: Clip, generator: numpy.random.Generator) -> tuple[torch.Tensor, Cut]:
        fast, slow = _choose(SPEEDS, generator) if self.augment else (1, 1)
        cut = Cut(clip, draw_start(clip, self.seconds * fast / slow, generator), (fast, slow))
        crop = self._piece(cut, self.seconds)
        if not self.augment:
            return crop, cut
        if generator.random() < DELAY_SHARE:
            delay = generator.integers(len(crop))
            crop = functional.pad(crop[: len(crop) - delay], (int(delay), 0))
        return _filtered(crop, generator) * (1 if generator.random() < 0.5 else -1), cut

    def _piece(self, cut: Cut, seconds: float) -> torch.Tensor:
        """Samples [time] of a cut that last `seconds` at its speed."""
        fast, slow = cut.speed
        piece = resample(self.cache.crop(cut.clip, cut.start, seconds * fast / slow), fast, slow)
        length = round(seconds * SAMPLE_RATE)
        return functional.pad(piece[:length], (0, max(0, length - len(piece))))


def _source_of(clip: Clip) -> str:
    """What clips of one source have in common: the speaker where the corpus names speakers, else the file."""
    return f"{clip.corpus}/{speaker_of(clip)}" if clip.corpus in SPEAKER_FOLDERS and not clip.label else clip.file


def _choose(items: Sequence[T], generator: numpy.random.Generator) -> T:
    return items[int(generator.integers(len(items)))]


def _filtered(crop: torch.Tensor, generator: numpy.random.Generator) -> torch.Tensor:
    points = numpy.geomspace(FILTER_LOW, SAMPLE_RATE / 2, FILTER_POINTS)
    gains = generator.normal(0.0, FILTER_DB, FILTER_POINTS)
    frequencies = numpy.fft.rfftfreq(len(crop), 1 / SAMPLE_RATE)
    curve = numpy.interp(numpy.log(frequencies + 1.0), numpy.log(points), gains)
    response = torch.from_numpy(10 ** (curve / 20)).to(crop.dtype)
    filtered: torch.Tensor = torch.fft.irfft(torch.fft.rfft(crop) * response, n=len(crop))
    return filtered


PREFETCHED = 4  # batches that each worker reads ahead


class Steps(Dataset[T | ValueError], Generic[T]):
    """What `draw` gives for each step; a ValueError is handed on as a value, so that only its sentence arrives."""

    def __init__(self, draw: Callable[[int], T]):
        self.draw = draw

    def __getitem__(self, step: int) -> T | ValueError:
        try:
            return self.draw(step)
        except ValueError as error:
            return error


def prefetched(draw: Callable[[int], T], first: int, workers: int) -> Iterator[T]:
    """`draw(first)`, `draw(first + 1)`, …, in order and without end, prefetched by `workers` processes.

    What is drawn must depend on the step alone; `draw` must be picklable. workers 0: drawn when needed.

    Raises:
        ValueError: fewer workers than 0, and whatever ValueError `draw` raises.
    """
    if workers < 0:
        raise ValueError(f"expected a number of workers from 0 up, got {workers}")
    loader: DataLoader[T | ValueError] = DataLoader(
        Steps(draw),
        batch_size=None,
        sampler=count(first),
        num_workers=workers,
        prefetch_factor=PREFETCHED if workers else None,
        multiprocessing_context="spawn" if workers else None,
    )
    for drawn in loader:
        if isinstance(drawn, ValueError):
            raise drawn
        yield drawn
