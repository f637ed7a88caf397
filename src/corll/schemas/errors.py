"""The shape of every error, which is OpenAI's."""

from __future__ import annotations

from pydantic import Field

from corll.schemas.bodies import Answer


class ErrorDetail(Answer):
    """What went wrong. `code` is for programs, `message` for people."""

    message: str = Field(description="What went wrong, and what to do.")
    type: str = Field(description="The kind of error, by its status.")
    param: str | None = Field(description="The field that was wrong, where it was one.")
    code: str | None = Field(description="The error's name, for programs.")


class Error(Answer):
    """An answer that is an error, in the shape of OpenAI's."""

    error: ErrorDetail = Field(description="What went wrong.")
