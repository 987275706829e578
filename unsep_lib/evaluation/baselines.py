"""What separation is compared with."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import platformdirs
import torch

from unsep_lib.stft import inverse_stft, stft

MASK_FLOOR = 1e-8
NMF_COMPONENTS = 16  # spectra per class; 4, 8, 32 and 64 score 1.3 to 3 dB less on the selection set
NMF_TRAINING_ITERATIONS, NMF_ITERATIONS = 200, 100  # multiplicative updates


def oracle_ratio_mask(mixture: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Sources by the ideal ratio mask `|S_k|/Σ_j |S_j|` on the mixture's STFT 510/255: a bound, it sees the references.

    mixture [time], references [source, time]; returns [source, time].
    """
    return _masked(mixture, stft(references).abs() + MASK_FLOOR)


def oracle_wiener(mixture: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Sources by the ideal Wiener filter `|S_k|²/Σ_j |S_j|²` on the mixture's STFT 510/255: it sees the references.

    mixture [time], references [source, time]; returns [source, time].
    """
    return _masked(mixture, stft(references).abs().square() + MASK_FLOOR**2)


def mixture_itself(mixture: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """The mixture as the estimate of every source: 0 dB of improvement by definition."""
    return mixture.expand(len(references), -1)


def hpss(mixture: torch.Tensor) -> torch.Tensor:
    """The harmonic and the percussive part of `mixture` [time]: [2, time], by median filters (librosa's defaults).

    It gets no specifications: the score decides which part belongs to which source.
    """
    _let_numba_cache()
    import librosa

    parts = librosa.decompose.hpss(stft(mixture[None])[0].numpy())
    return torch.stack([inverse_stft(torch.from_numpy(part)[None], mixture.shape[-1])[0] for part in parts])


def _let_numba_cache() -> None:
    """Name a folder for what numba compiles, where neither librosa's own nor the user's may be written to."""
    package = find_spec("librosa")
    folders = [Path(package.origin).parent] if package and package.origin else []
    folders.append(platformdirs.user_cache_path("numba"))
    existing = (next(path for path in (folder, *folder.parents) if path.exists()) for folder in folders)
    if not any(os.access(folder, os.W_OK) for folder in existing):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"unsep-numba-{os.getpid()}"))


def nmf_dictionary(clips: Sequence[torch.Tensor], components: int = NMF_COMPONENTS) -> torch.Tensor:
    """Magnitude spectra [component, bin] whose non-negative sums are the STFT frames of `clips` [time] of one class.

    Factorisation `|X| ≈ H W` of least generalised Kullback–Leibler divergence (scikit-learn's multiplicative updates);
    clips that hold fewer frames give as many components.

    Raises:
        ValueError: no clips.
    """
    from sklearn.decomposition import NMF

    if not clips:
        raise ValueError("expected at least one clip to learn a dictionary from, got none")
    frames = torch.cat([_frames(clip) for clip in clips])
    model = NMF(
        min(components, *frames.shape), init="nndsvda", solver="mu", beta_loss="kullback-leibler", tol=0.0,
        max_iter=NMF_TRAINING_ITERATIONS, random_state=0,
    )  # fmt: skip
    model.fit(frames.numpy())
    return torch.from_numpy(model.components_)


def nmf_sources(mixture: torch.Tensor, dictionaries: Sequence[torch.Tensor]) -> torch.Tensor:
    """Sources [source, time] of `mixture` [time] by supervised NMF, one dictionary [component, bin] per source.

    The mixture's frames are explained by all dictionaries together, `|Y| ≈ Σ_k H_k W_k`; each source is the mixture's
    STFT times its share `H_k W_k/Σ_j H_j W_j`.

    Raises:
        ValueError: no dictionaries.
    """
    from sklearn.decomposition import non_negative_factorization

    if not dictionaries:
        raise ValueError("expected a dictionary per source, got none")
    stacked = torch.cat(list(dictionaries))
    weights, _, _ = non_negative_factorization(
        _frames(mixture).numpy(), H=stacked.numpy(), n_components=len(stacked), update_H=False, solver="mu",
        beta_loss="kullback-leibler", tol=0.0, max_iter=NMF_ITERATIONS,
    )  # fmt: skip
    parts = torch.from_numpy(weights).split([len(dictionary) for dictionary in dictionaries], dim=1)
    explained = torch.stack([(part @ own).T for part, own in zip(parts, dictionaries, strict=True)])
    return _masked(mixture, explained + MASK_FLOOR)


def _frames(samples: torch.Tensor) -> torch.Tensor:
    """Magnitudes [frame, bin] of the STFT 510/255 of `samples` [time]."""
    return stft(samples[None])[0].abs().T.contiguous()


def _masked(mixture: torch.Tensor, strengths: torch.Tensor) -> torch.Tensor:
    """The mixture [time] shared out in proportion to `strengths` [source, bin, frame]."""
    masks = strengths / strengths.sum(dim=0, keepdim=True)
    return inverse_stft(masks * stft(mixture[None]), mixture.shape[-1])
