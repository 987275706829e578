"""Words of the command line and samples given to `separate`."""

from functools import partial

import numpy
import pytest
import torch

from hardening.audio_faults import NAMES, RATES, recorded
from hardening.cases import Entry, Fault, command, crossed, identified, judge
from hardening.file_faults import manifest
from unsep_lib.separation import separate

FAST = ("--solver", "projection", "--steps", "1")
LARGE = str(10**30)


def words(*options, says=""):
    """A fault that is an option."""
    return Fault(" ".join(options), lambda folder: options, says)


def separate_with(place, options):
    file = recorded(place.root / "in")
    sources = () if "--source" in options else ("--source", "speech")
    return command("separate", file, "--out", place.out, *FAST, *sources, *options)


def train_with(place, options):
    clips = manifest(place.root / "in")
    return command("train", "--data", clips, "--out", place.out, "--steps=1", *options)


def mix_with(place, options):
    clips = manifest(place.root / "in")
    return command("data", "mix", "--task=2speakers", "--count=1", "--split=train", "--workers=1",
                   "--out", place.out, "--speech", clips, *options)  # fmt: skip


def prepare_with(place, options):
    recorded(place.root / "in")
    return command("data", "prepare", place.root / "in", "--workers=1", "--out", place.out / "m.jsonl", *options)


SPEECH = ("--source", "speech")
OPTIONS = {
    "separate": (
        separate_with,
        words("--source", "sound:Gong", says="unknown label 'Gong'"),
        words("--source", "../speech", says="expected a source such as"),
        words("--source", "🎸", says="expected a source such as"),
        words("--source", "", says="expected a source such as"),
        words(*SPEECH * 17, says="at most 16 sources, got 17"),
        words("--seed", "-1", says="seeds of 0 or above"),
        words("--seed", LARGE),
        words("--steps", "0", says="at least 1 step"),
        words("--steps", LARGE, says="steps"),
        words("--device", "abacus", says="device 'abacus'"),
        words("--device", "", says="device ''"),
        words("--device", "cuda:99", says="device 'cuda:99'"),
        words("--solver", "no such\nsolver", says="unknown solver"),
        words("--prior", "speech=", says="usage"),
        words(*SPEECH * 2),
    ),
    "train": (
        train_with,
        words("../evil", says="expected a"),
        words("a/b", says="expected a"),
        words("", says="expected a"),
        words("mine", "--seed", "-1", says="seed"),
        words("mine", "--seed", LARGE, says="seed"),
        words("mine", "--from", "ghost", says="unknown prior 'ghost'"),
    ),
    "data mix": (
        mix_with,
        words("--task", "4sounds", says="4sounds"),
        words("--count", "0", says="a count above 0"),
        words("--count", LARGE, says="count"),
        words("--seed", "-1", says="a seed of at least 0"),
        words("--seed", LARGE),
        words("--workers", "0", says="at least 1 worker"),
        words("--task", "2sounds", says="2"),
    ),
    "data prepare": (
        prepare_with,
        words("--workers", "0", says="at least 1 worker"),
        words("--corpus", "magic", says="unknown corpus 'magic'"),
        words("--label", "two\nlines", says="expected a label"),
        words("--label", "a:b", says="expected a label"),
        words("--label", "Electric_guitar"),
    ),
}


def option_cases():
    for name, (use, *faults) in OPTIONS.items():
        for fault in faults:
            yield pytest.param(Entry(name, use), fault, id=f"{name}-{ascii(fault.name)[:40]}")


@pytest.mark.parametrize(("entry", "fault"), option_cases())
def test_options(entry, fault, place, capsys, count):
    def judged():
        if fault.says != "usage":
            return judge(entry, fault, place, capsys)
        with pytest.raises(SystemExit) as stopped:
            entry.use(place, fault.make(None))
        assert stopped.value.code == 2
        return "refused well"

    count("options", entry.name, fault.name.replace("\n", "⏎")[:40], judged)


def samples(*shape, value=None, dtype=torch.float32):
    drawn = 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    if value is not None and drawn.numel():
        drawn.view(-1)[drawn.numel() // 2] = value
    return drawn.to(dtype)


def given(name, make, rate=16_000, says=""):
    return Fault(name, lambda folder: (make(), rate), says)


SAMPLES = (
    given("no samples", partial(samples, 0), says="expected samples"),
    given("0 channels", partial(samples, 0, 1600), says="expected samples"),
    given("3 dimensions", partial(samples, 1, 2, 1600), says="expected samples"),
    given("a number", lambda: torch.tensor(0.5), says="expected samples"),
    given("NaN", partial(samples, 1600, value=torch.nan), says="NaN or infinity"),
    given("infinity", partial(samples, 1600, value=torch.inf), says="NaN or infinity"),
    given("complex", partial(samples, 1600, dtype=torch.complex64), says="expected real floating-point samples"),
    *(
        given(
            str(dtype).removeprefix("torch."), partial(samples, 1600, dtype=dtype), says="expected real floating-point"
        )
        for dtype in (torch.uint8, torch.int16, torch.int32)
    ),
    given("float64", partial(samples, 1600, dtype=torch.float64)),
    given("float16", partial(samples, 1600, dtype=torch.float16)),
    given("silence", lambda: torch.zeros(1600)),
    given("DC", lambda: torch.full((1600,), 0.5)),
    given("one sample", partial(samples, 1)),
    given("numpy", lambda: samples(1600).numpy()),
    given("numpy float64", lambda: samples(2, 1600).double().numpy()),
    given("a list", lambda: samples(1600).tolist()),
    given("time first", partial(samples, 1600, 2)),
    given("time first in numpy", lambda: samples(1600, 2).numpy()),
    given("backwards in numpy", lambda: samples(2, 1600).numpy()[:, ::-1]),
    given("every other sample", lambda: samples(2, 3200)[:, ::2]),
    given("Fortran order", lambda: numpy.asfortranarray(samples(2, 1600).numpy())),
    given("read-only", lambda: numpy.broadcast_to(samples(1600).numpy(), (2, 1600))),
    given("with a gradient", lambda: samples(1600).requires_grad_()),
    given("bfloat16", partial(samples, 1600, dtype=torch.bfloat16)),
    given("phase-inverted stereo", lambda: torch.stack([samples(1600), -samples(1600)])),
    given("one silent channel", lambda: torch.stack([samples(1600), torch.zeros(1600)])),
    given("a millionth of full scale", lambda: 1e-6 * samples(1600)),
    given("a thousand times full scale", lambda: 1e4 * samples(1600)),
    given("100 channels", partial(samples, 100, 1600), says="at most 64 channels"),
    given("numpy int16", lambda: numpy.zeros(1600, numpy.int16), says="expected real floating-point samples"),
    given("numpy complex", lambda: numpy.zeros(1600, complex), says="expected real floating-point samples"),
    given("booleans", lambda: numpy.zeros(1600, bool), says="expected real floating-point samples"),
    given("text", lambda: numpy.array(["a"] * 100), says="expected samples"),
    given("objects", lambda: numpy.array([None] * 100), says="expected samples"),
    given("nothing", lambda: None, says="expected samples"),
    given("NaN in numpy", lambda: numpy.full(1600, numpy.nan), says="NaN or infinity"),
    *(
        given(f"rate {name}", partial(samples, 1600), rate)
        for name, rate in (("16000.0", 16_000.0), ("numpy", numpy.int64(16_000)), ("float32", numpy.float32(44_100)))
    ),
    *(
        given(f"rate {rate!r}", partial(samples, 1600), rate, says="expected a sample rate")
        for rate in (None, "16000", 16_000.5, float("nan"), float("inf"), True, [16_000], 1j)
    ),
    given("8 channels", partial(samples, 8, 1600)),
    *(given(f"{rate} Hz", partial(samples, 1600), rate) for rate in RATES),
    *(given(f"rate {rate}", partial(samples, 1600), rate, says="expected a sample rate") for rate in (0, -1, 2**31)),
)


def separate_samples(place, thing):
    from unsep_lib.priors.checkpoints import load_prior

    given_samples, rate = thing
    found = separate(given_samples, [load_prior("speech"), load_prior("sound")], rate, solver="projection", steps=1)
    shape = numpy.shape(given_samples) if isinstance(given_samples, list) else given_samples.shape
    assert found.residual.numel() == numpy.prod(shape)
    assert found.sources.isfinite().all() and found.residual.isfinite().all()


@pytest.mark.parametrize(("entry", "fault"), crossed([Entry("separate()", separate_samples, makes=False)], SAMPLES),
                         ids=identified)  # fmt: skip
def test_samples(entry, fault, place, capsys, count):
    count("samples", entry.name, fault.name, lambda: judge(entry, fault, place, capsys))


@pytest.mark.parametrize("name", NAMES)
def test_a_strange_name_of_the_output_folder(name, place, count):
    def separated():
        out = place.root / NAMES[name]
        assert command("separate", recorded(place.root / "in"), *SPEECH, f"--out={out}", *FAST) == 0
        assert {path.name for path in out.iterdir()} == {"speech.wav", "residual.wav", "report.json"}
        return "passed"

    count("output folder", "separate", f"name: {name}", separated)
