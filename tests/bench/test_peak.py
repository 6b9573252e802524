from pathlib import Path

import pytest
from tests.processes import run_code

from bench.peak import peak_bytes

PEAKS = """
from bench.peak import peak_bytes
before = peak_bytes()
held = bytearray(b"x" * 300_000_000)
with_it = peak_bytes()
del held
print(before, with_it, peak_bytes())
"""


@pytest.mark.slow
def test_it_is_the_most_and_not_what_is_held_now(tmp_path: Path) -> None:
    # in a process of its own: what other tests held before would be this one's peak already
    before, with_it, afterwards = map(int, run_code(PEAKS, folder=tmp_path).stdout.split())
    assert with_it > before + 290_000_000
    assert afterwards == with_it


@pytest.mark.slow
def test_a_program_does_not_begin_with_the_size_of_the_one_that_started_it(tmp_path: Path) -> None:
    held = bytearray(b"x" * 300_000_000)
    done = run_code("from bench.peak import peak_bytes\nprint(peak_bytes())", folder=tmp_path)
    assert len(held) < peak_bytes()
    assert int(done.stdout) < 200_000_000
