import pytest
import torch

from unsep_lib.evaluation.metrics import si_sdr
from unsep_lib.notebook import exercise_checks, exercises
from unsep_lib.notebook.exercises import Exercise, check, sealed


@pytest.fixture
def table(monkeypatch):
    """Three exercises of its own: a number, two numbers, a choice."""
    made = {
        "99.1": Exercise("recall", "add the squares", sealed("99.1", 12.3, 0.1), 0.1),
        "99.2": Exercise("change", "mind the sign", sealed("99.2", [10.0, -10.0], 0.5), 0.5),
        "99.3": Exercise("build", "look again", sealed("99.3", "b")),
    }
    monkeypatch.setattr(exercises, "exercises", lambda: made)


@pytest.mark.parametrize(
    ("number", "answer"),
    [("99.1", 12.3), ("99.1", 12.39), ("99.1", torch.tensor(12.21)), ("99.2", (10.2, -9.8)), ("99.3", " B ")],
)
def test_a_right_answer_is_told_so(table, capsys, number, answer):
    assert check(number, answer) is True
    assert capsys.readouterr().out == f"{number}: right.\n"


@pytest.mark.parametrize(
    ("number", "answer", "hint"),
    [
        ("99.1", 12.51, "add the squares"), ("99.1", -12.3, "add the squares"), ("99.2", (10.0, 10.0), "mind the sign"),
        ("99.2", (10.0,), "mind the sign"), ("99.3", "a", "look again"), ("99.1", float("nan"), "add the squares"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_refused_with_its_hint(table, capsys, number, answer, hint):
    assert check(number, answer) is False
    said = capsys.readouterr().out
    assert said.startswith(f"{number}: ") and f"Hint: {hint}" in said and "right" not in said


@pytest.mark.parametrize(
    ("answer", "why"),
    [(..., "no answer yet"), (None, "no answer yet"), ("many", "many"), (torch.zeros(9), "1 to 4 numbers, got 9")],
)
def test_what_cannot_be_judged_says_why(table, capsys, answer, why):
    assert check("99.1", answer) is False
    assert why in capsys.readouterr().out


def test_an_unknown_exercise_is_refused(table):
    with pytest.raises(ValueError, match=r"as in 99\.1, 99\.2, 99\.3, got '77\.1'"):
        check("77.1", 3)


def test_the_same_answer_to_two_exercises_has_two_digests():
    assert sealed("99.1", "b") != sealed("99.3", "b")
    assert sealed("99.1", "b") != "b" and len(sealed("99.1", "b")) == exercises.DIGEST_LETTERS


def test_an_entry_of_the_table_is_complete():
    with pytest.raises(ValueError, match="grade of recall, change, build, got 'hard'"):
        Exercise("hard", "", "abc")
    with pytest.raises(ValueError, match="one of the two"):
        Exercise("recall", "")


def test_the_table_keeps_hints_and_no_answer_in_plain_words():
    for number, entry in exercises.exercises().items():
        assert entry.hint.endswith((".", "?")) and len(entry.hint) < 200, number
        assert not entry.function or callable(getattr(exercise_checks, entry.function)), number
        assert not entry.digest or len(entry.digest) == exercises.DIGEST_LETTERS, number


def test_a_function_is_judged_by_what_it_returns(capsys):
    assert check("00.3", si_sdr)
    assert not check("00.3", lambda estimate, reference: si_sdr(estimate, reference) + 0.1)
    assert not check("00.3", lambda estimate: 0.0)
    assert not check("00.3", 12.0)
    assert "expected a function, got float" in capsys.readouterr().out


RIGHT = {
    "mixes": lambda tracks, levels: _mixed(tracks, levels),
    "gaussian_mean": lambda x, p, s: torch.fft.irfft(torch.fft.rfft(x) * p / (p + s**2), n=len(x)),
    "classifier_free_guidance": lambda d, x, s, label, g: (1 - g) * d(x, s, None) + g * d(x, s, label),
    "crossfades": lambda a, b: b + (a - b) * torch.linspace(1, 0, len(a)) ** 2,
}
WRONG = {
    "mixes": lambda tracks, levels: (tracks.sum(dim=0), tracks),
    "gaussian_mean": lambda x, p, s: torch.fft.irfft(torch.fft.rfft(x) * p / (p + s), n=len(x)),
    "classifier_free_guidance": lambda d, x, s, label, g: d(x, s, None) + g * d(x, s, label),
    "crossfades": lambda a, b: (a + b) / 2,
}


def _mixed(tracks, levels):
    scaled = torch.stack([10 ** (x / 20) * t / t.square().mean().sqrt() for t, x in zip(tracks, levels, strict=True)])
    scaled *= 0.95 / scaled.sum(dim=0).abs().max()
    return scaled.sum(dim=0), scaled


@pytest.mark.parametrize("name", RIGHT)
def test_a_judge_takes_another_way_to_the_right_result_and_refuses_a_wrong_one(name):
    judge = getattr(exercise_checks, name)
    assert judge(RIGHT[name]) is True
    assert judge(WRONG[name]) is False
