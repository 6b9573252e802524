from itertools import product

import numpy as np

from plateaulens.targets.randomness import generator


def test_key_is_the_same_on_every_machine_and_in_every_session() -> None:
    # raw words of the bit generator: NumPy promises never to change them
    words = generator(7, 12, "structured").bit_generator.random_raw(2)
    assert [hex(int(word)) for word in words] == ["0xd4f33128e644494b", "0x6e1add9f6b6cac93"]


def test_every_argument_changes_the_stream() -> None:
    keys = list(product((-1, 0, 1, 11), (0, 1, 2, 11), ("real", "real_control", "")))
    first = {int(generator(seed, sample, purpose).bit_generator.random_raw()) for seed, sample, purpose in keys}
    assert len(first) == len(keys)


def test_streams_of_neighbouring_samples_are_uncorrelated() -> None:
    draws = np.array([generator(0, sample, "random").standard_normal(400) for sample in range(40)])
    correlation = np.corrcoef(draws)[~np.eye(40, dtype=bool)]
    assert np.abs(correlation).max() < 5 / np.sqrt(400)
