"""The tree of errors: one root, the standard types beside it, messages that say where."""

from __future__ import annotations

import inspect
import re

import pytest

import corll.errors as errors
from corll.errors import CorllError, PromptTooLongError, RecordError

ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if cls is not CorllError]


@pytest.mark.parametrize("cls", ALL)
def test_every_error_has_the_root(cls: type[Exception]) -> None:
    assert issubclass(cls, CorllError)


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    assert errors.__doc__ is not None
    drawn, above = {}, ""
    for branch, name, standard in re.findall(r"(.)── (\w+)(?: +\((\w+)\))?", errors.__doc__):
        assert branch in "├└"
        above = name if standard else above
        drawn[name] = ["CorllError", standard] if standard else [above]
    assert drawn == {cls.__name__: [base.__name__ for base in cls.__bases__] for cls in ALL}


def test_a_prompt_that_is_too_long_can_be_caught_as_a_value_error() -> None:
    with pytest.raises(ValueError, match="too long"):
        raise PromptTooLongError("too long")


def test_a_record_error_names_file_line_and_field() -> None:
    error = RecordError("pairs.jsonl", 7, "not a text", field="chosen")
    assert str(error) == "pairs.jsonl, line 7, field 'chosen': not a text"
    assert (error.path, error.line, error.field) == ("pairs.jsonl", 7, "chosen")


def test_a_record_error_needs_no_field() -> None:
    assert str(RecordError("pairs.jsonl", 7, "not JSON")) == "pairs.jsonl, line 7: not JSON"
