"""Exercises that answer: `check("04.1", answer)` says right, or wrong and a hint.

`exercises.toml` keeps one entry per exercise. A number or a choice is kept as a digest, so nobody reads an answer by
accident; a function is called on cases of its own and compared with the library's.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from unsep_lib.notebook import exercise_checks

GRADES = {"recall": 2, "change": 10, "build": 30}  # minutes of a learner
DIGEST_LETTERS = 16
MOST_NUMBERS = 4  # in one answer: three neighbouring steps are tried for each


@dataclass(frozen=True)
class Exercise:
    """One entry of the table.

    grade: one of GRADES; hint: shown after a wrong answer; digest: of `sealed`, for a number, numbers or a choice;
    step: an answer within one step of a number is right, from two steps on it is wrong; function: the name in
    `exercise_checks` that judges a function.
    """

    grade: str
    hint: str
    digest: str = ""
    step: float = 0.0
    function: str = ""

    def __post_init__(self) -> None:
        if self.grade not in GRADES:
            raise ValueError(f"expected a grade of {', '.join(GRADES)}, got {self.grade!r}")
        if bool(self.digest) == bool(self.function):
            raise ValueError("expected a digest or a function, one of the two")


@functools.cache
def exercises() -> dict[str, Exercise]:
    """All exercises by number, from `exercises.toml`."""
    table = tomllib.loads((Path(__file__).parent / "exercises.toml").read_text(encoding="utf-8"))
    return {number: Exercise(**entry) for number, entry in table.items()}


def check(number: str, answer: object) -> bool:
    """Print whether the answer to exercise `number` is right, and a hint if it is not; returns the verdict.

    answer: a number, a short sequence of numbers, the letter of a choice, or a function, as the exercise asks.

    Raises:
        ValueError: there is no such exercise.
    """
    if number not in exercises():
        raise ValueError(f"expected the number of an exercise, as in {', '.join(exercises())}, got {number!r}")
    exercise = exercises()[number]
    try:
        right = _judged(number, exercise, answer)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        print(f"{number}: this cannot be judged: {error}. Hint: {exercise.hint}")
        return False
    print(f"{number}: right." if right else f"{number}: not yet. Hint: {exercise.hint}")
    return right


def _judged(number: str, exercise: Exercise, answer: object) -> bool:
    if answer is None or answer is ...:
        raise ValueError("there is no answer yet")
    if exercise.function:
        if not callable(answer):
            raise TypeError(f"expected a function, got {type(answer).__name__}")
        judge: Callable[[Callable[..., object]], bool] = getattr(exercise_checks, exercise.function)
        return judge(answer)
    if exercise.step:
        values = _numbers(answer)
        near = itertools.product(*[_neighbours(value, exercise.step) for value in values])
        return any(_digest(number, *places) == exercise.digest for places in near)
    if not isinstance(answer, str | bool | int):
        raise TypeError(f"expected a choice, such as the letter of a line, got {type(answer).__name__}")
    return _digest(number, str(answer).strip().lower()) == exercise.digest


def sealed(number: str, answer: object, step: float = 0.0) -> str:
    """The digest of a right answer, for `exercises.toml`; with a `step`, of numbers."""
    if step:
        return _digest(number, *(round(value / step) for value in _numbers(answer)))
    return _digest(number, str(answer).strip().lower())


def _digest(number: str, *parts: object) -> str:
    text = "|".join([number, *map(str, parts)])
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LETTERS]


def _neighbours(value: float, step: float) -> Sequence[int]:
    place = round(value / step)
    return place - 1, place, place + 1


def _numbers(answer: object) -> list[float]:
    values: list[float] = numpy.asarray(answer, dtype=float).flatten().tolist()
    if not 0 < len(values) <= MOST_NUMBERS:
        raise ValueError(f"expected 1 to {MOST_NUMBERS} numbers, got {len(values)}")
    return values
