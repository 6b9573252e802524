"""How many prompts go at once: what was asked for, one on a CPU, as many as fit on a GPU."""

import pytest
import torch

from plateaulens.scan.walk import SHARE, fitting, prompts_per_batch


def fail() -> None:
    pytest.fail("nothing had to be measured")


def test_a_number_is_taken_as_it_is() -> None:
    assert prompts_per_batch(7, torch.device("cuda"), fail) == 7


def test_on_a_cpu_auto_is_one() -> None:
    assert prompts_per_batch("auto", torch.device("cpu"), fail) == 1


def test_what_fits_leaves_a_share_free() -> None:
    assert fitting(free=10_000, needed=100) == SHARE * 100
    assert fitting(free=50, needed=100) == 1
    assert fitting(free=50, needed=0) == 40


def test_memory_is_measured_by_one_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU: its counters as they would read around a prompt that takes 30 bytes of 1,000 free ones."""
    calls: list[str] = []
    readings = {"memory_allocated": 100, "max_memory_allocated": 130, "mem_get_info": (1000, 4000)}
    for name, value in readings.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda *_: calls.append("reset"))
    assert prompts_per_batch("auto", torch.device("cuda"), lambda: calls.append("prompt")) == int(SHARE * 1000) // 30
    assert calls == ["reset", "prompt"]
