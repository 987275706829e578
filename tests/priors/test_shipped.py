"""What is shipped with the package, on real audio."""

from dataclasses import replace

import pytest
import torch

from unsep_lib.audio import SAMPLE_RATE
from unsep_lib.data.embedded import embedded_clips, embedded_mixtures
from unsep_lib.evaluation.evaluate import source_scores
from unsep_lib.priors.checkpoints import PRETRAINED, card_of, load_prior
from unsep_lib.separation import load_priors, separate
from unsep_lib.stft import inverse_stft, stft

NAMES = {"speech": 0, "sound": 1, "sound-broad": 1}  # and which source of an embedded mixture each is for
PRECISIONS = torch.float32, torch.bfloat16
MOST_ROUNDING = 0.2  # of the denoising error's size: where the two are independent, 0.17 dB of error
MAX_BYTES = 12_000_000
MAX_PARAMETERS = 3_000_000
CARD_FACTS = (
    "## Data",
    "## Training",
    "## Benchmark sets",
    "## What it can and cannot do",
    "## Licence",
    "unsep train",
)
LEAST_IMPROVEMENT = 2.0  # dB on the mean of two mixtures; the measured values are in the README


@pytest.mark.parametrize("name", NAMES)
def test_a_prior_is_light_and_has_a_card_that_says_how_it_was_made(name):
    path = PRETRAINED / f"{name}.safetensors"
    assert path.stat().st_size <= MAX_BYTES
    card = card_of(path)
    assert card["name"] == name and card["parameters"] <= MAX_PARAMETERS
    assert card["hours"] > 0 and card["steps"] > 0 and card["curve"]
    text = (PRETRAINED / f"{name}.md").read_text(encoding="utf-8")
    assert all(fact in text for fact in CARD_FACTS)
    assert all(corpus in text for corpus in card["corpora"])


def test_no_embedded_clip_is_in_the_training_data():
    embedded = {clip.corpus for clip in embedded_clips() if not clip.label}
    assert embedded.isdisjoint(card_of(PRETRAINED / "speech.safetensors")["corpora"])


@pytest.mark.parametrize("name", NAMES)
def test_it_denoises_unseen_sources_better_than_the_average_spectrums_wiener_filter(name):
    mixtures = embedded_mixtures("1speech-1sound")
    clean = torch.stack([mixture.sources[NAMES[name]] for mixture in mixtures])
    clean = 0.08 * clean / clean.square().mean(dim=1, keepdim=True).sqrt()
    noisy = clean + 0.08 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    prior = load_prior(name)
    gain = prior.spectrum[:, None] ** 2 / (prior.spectrum[:, None] ** 2 + 0.08**2)
    wiener = inverse_stft(gain * stft(noisy), noisy.shape[1])
    denoised = torch.cat([
        prior.with_condition(label=mixture.specs[NAMES[name]].label).denoise(row[None], 0.08)
        for mixture, row in zip(mixtures, noisy, strict=True)
    ])  # fmt: skip
    better = (denoised - clean).square().mean(dim=1) < (wiener - clean).square().mean(dim=1)
    assert better.float().mean() >= 0.75


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_products_change_what_it_denoises_by_little(name):
    clean = embedded_mixtures("1speech-1sound")[0].sources[NAMES[name]][None, :16_000]
    noisy = clean + 0.08 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    exact, rounded = (load_prior(name, precision=kind).denoise(noisy, 0.08) for kind in PRECISIONS)
    change = (rounded - exact).norm() / (exact - clean).norm()
    assert 0 < change < MOST_ROUNDING
    assert rounded.dtype == torch.float32


def test_the_gradient_through_a_prior_in_bfloat16_points_where_float32_s_does():
    noisy = 0.1 * torch.randn(1, 8_000, generator=torch.Generator().manual_seed(0))
    gradients = []
    for precision in PRECISIONS:
        state = noisy.clone().requires_grad_()
        load_prior("speech", precision=precision).denoise(state, 0.1).square().sum().backward()
        gradients.append(state.grad)
    assert torch.cosine_similarity(*gradients).item() > 0.995


def test_the_fastest_precision_is_bfloat16_where_the_processor_multiplies_in_it(monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    for name, expected in (("amx_bf16", torch.bfloat16), ("avx512_bf16", torch.bfloat16), ("avx2", torch.float32)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda name=name: {name: True})
        assert load_prior("speech").precision == load_prior("sound").with_condition(label="Flute").precision == expected
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")  # as ATEN_CPU_CAPABILITY asks
    assert load_prior("speech").precision == torch.float32


def test_a_label_that_a_prior_lacks_is_offered_of_one_that_has_it():
    with pytest.raises(ValueError, match=r"unknown label 'Bark': this prior's .*; there is sound-broad:Bark$"):
        load_priors(["sound:Bark"])
    with pytest.raises(ValueError, match=r"unknown label 'Brk': this prior's labels are [^;]*$"):
        load_priors(["sound:Brk"])
    assert set(load_prior("sound").labels) < set(load_prior("sound-broad").labels)


def test_the_default_solver_separates_real_mixtures_of_unseen_voices():
    rows, length = [], 2 * SAMPLE_RATE
    for whole in embedded_mixtures("1speech-1sound")[5:7]:
        mixture = replace(whole, mixture=whole.mixture[:length], sources=whole.sources[:, :length])
        sources = separate(mixture.mixture, load_priors(mixture.specs), SAMPLE_RATE).sources[:, 0]
        rows += source_scores(mixture, sources)
    assert sum(row.si_sdr_improvement for row in rows) / len(rows) > LEAST_IMPROVEMENT
