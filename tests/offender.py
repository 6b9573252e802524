"""What `test_docstrings` must find."""


def undocumented(size: int) -> int:
    """Half of something."""
    if size % 2:
        raise ValueError(size)
    return size // 2


def documented(size: int) -> int:
    """Half of something.

    Parameters
    ----------
    size
        An even number.

    Returns
    -------
    int
        Half of it.

    Raises
    ------
    ValueError
        When it is odd.
    """
    if size % 2:
        raise ValueError(size)
    return size // 2
