"""The bench at toy size, on the tiny models."""

from collections.abc import Callable

import pytest

from bench.subjects import written_at
from bench.work import Size, Work, make_work
from plateaulens.subject.model import Subject

SIZE = Size(samples=2, types=2, steps=5, length=4)


@pytest.fixture(scope="session", params=["gpt2", "llama", "gpt_neox"])
def tiny(request: pytest.FixtureRequest, subject_at: Callable[..., Subject]) -> Subject:
    return written_at(subject_at(request.param), 1)


@pytest.fixture(scope="session")
def work(tiny: Subject) -> Work:
    return make_work(tiny, SIZE)
