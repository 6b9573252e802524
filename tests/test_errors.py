"""What libraries raise becomes one line that can be read, whatever it was."""

import zipfile

import pytest
from pydantic import TypeAdapter, ValidationError

from plateaulens.errors import LONGEST_MESSAGE, UsageError, explain, first_line, reading, shortened, shown, text_of


class Panic(BaseException):
    """As a library written in Rust raises."""

    __module__ = "pyo3_runtime"


@pytest.mark.parametrize(
    "error",
    [
        *(RecursionError("too deep"), MemoryError(), OverflowError("too large"), NotImplementedError("compression 99")),
        *(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), zipfile.BadZipFile("no zip"), EOFError()),
        *(KeyError("tokens"), IndexError("out of range"), ZeroDivisionError("by zero"), Panic("called unwrap()")),
        *(AttributeError("no attribute"), TypeError("unhashable"), AssertionError(), OSError(28, "No space left")),
    ],
)
def test_whatever_a_library_raises_is_one_line_with_the_remedy(error: BaseException) -> None:
    with pytest.raises(UsageError) as raised, reading("a.npz cannot be read", "make it again"):
        raise error
    message = str(raised.value)
    assert message.startswith("a.npz cannot be read (")
    assert message.endswith("): make it again")
    assert len(message.splitlines()) == 1
    assert raised.value.__cause__ is error


def test_what_says_it_all_is_passed_on() -> None:
    with pytest.raises(UsageError, match=r"^mine$"), reading("anything", "do something"):
        raise UsageError("mine")


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_interruptions_are_passed_on(interruption: type[BaseException]) -> None:
    with pytest.raises(interruption), reading("anything"):
        raise interruption


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x" * 1000, f"'{'x' * 57} ..."),
        ("a\nb\x1b[1m", "'a\\nb\\x1b[1m'"),
        (3, "3"),
    ],
)
def test_values_are_shown_on_one_short_line(value: object, text: str) -> None:
    assert shown(value) == text


def test_a_number_of_5000_digits_is_shown() -> None:
    assert shown(10**5000) == "int that is too long to print"


def test_a_list_in_itself_without_end_is_shown() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert shown(deep) == "list that is too long to print"
    while deep:  # taken apart by hand: Python would do it by recursion
        (deep,) = deep  # type: ignore[assignment]


def test_messages_are_cut_and_hold_no_command_for_a_terminal() -> None:
    assert len(first_line(ValueError("y" * 10_000))) <= LONGEST_MESSAGE + 2
    assert shortened("a\x1b[2Jb\x00\u202e", 50) == "a\\x1b[2Jb\\x00\\u202e"
    assert shortened("a\x1b[2Jb", 50).isprintable()


def test_a_mistake_in_a_model_shows_a_shortened_value() -> None:
    with pytest.raises(ValidationError) as raised:
        TypeAdapter(dict[str, int]).validate_python({"a\nb": "z" * 999})
    assert explain(raised.value).startswith("a b: Input should be a valid integer")
    assert len(explain(raised.value)) < 200


@pytest.mark.parametrize("what", [RuntimeError, SystemExit])
def test_an_exception_that_has_no_text_to_give(what: type[BaseException]) -> None:
    class MuteError(ValueError):
        def __str__(self) -> str:
            raise what

        __repr__ = __str__

    assert text_of(MuteError()) == ""
    assert first_line(MuteError()) == "MuteError"
    with pytest.raises(UsageError, match=r"^a \(MuteError\): b$"), reading("a", "b"):
        raise MuteError
    if what is RuntimeError:
        assert shown(MuteError()) == "MuteError that cannot be printed"


def test_an_interruption_of_a_text_is_passed_on() -> None:
    class SlowError(ValueError):
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        text_of(SlowError())


def test_what_the_system_says_is_on_one_line_too() -> None:
    with pytest.raises(UsageError, match=r"^a \(b c\): d$"), reading("a", "d"):
        raise OSError(5, "b\nc")
