"""What is said of a request's fields that cannot be taken, in words of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_TEXT_ALONE = "drafts are plain text"
_FORM = (
    "drafts are plain text. Leave it out, ask for the form in a message, and check the text in "
    "your program"
)
_TOOLS = (
    "drafts are texts, and no tools are called. Leave it out; what a tool answered earlier can "
    "stand in the messages, by the role tool, or in the input, as a function_call_output"
)
_SEVERAL = "leave it out; num_candidates draws several responses, of which the best is shown"

INSTEAD: Mapping[str, str] = {
    "tools": _TOOLS,
    "functions": _TOOLS,
    "tool_choice": _TOOLS,
    "function_call": _TOOLS,
    "response_format": _FORM,
    "guided_json": _FORM,
    "guided_regex": _FORM,
    "guided_choice": _FORM,
    "guided_grammar": _FORM,
    "structured_outputs": _FORM,
    "modalities": _TEXT_ALONE,
    "audio": _TEXT_ALONE,
    "verbosity": "say in a message how long the text is to be, or set max_completion_tokens",
    "reasoning_effort": "say chat_template_kwargs, which the model's template reads, such as "
    '{"enable_thinking": true}',
    "web_search_options": "nothing is searched; put what was found into the messages",
    "suffix": "a text goes on at its end alone; put what is to follow into the prompt",
    "use_beam_search": _SEVERAL,
    "length_penalty": _SEVERAL,
    "best_of": _SEVERAL,
    "stop_token_ids": "say stop, with texts",
    "echo": "ask POST /v1/completions",
}
"""What to do in place of what OpenAI's API or vLLM's has, and this one has not."""

_UNLIKE: Mapping[str, str] = {
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
"""What a field must be, by the problems that say it is something else."""

_LIMITS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("ge", "must be at least {}"),
    "greater_than": ("gt", "must be greater than {}"),
    "less_than_equal": ("le", "must be at most {}"),
    "less_than": ("lt", "must be less than {}"),
    "string_too_long": ("max_length", "must have at most {} characters"),
    "string_too_short": ("min_length", "must have at least {} characters"),
    "too_long": ("max_length", "must have at most {} items"),
    "too_short": ("min_length", "must have at least {} items"),
}

Problem = Mapping[str, Any]
"""A problem as the validator tells it."""


class Refusal(NamedTuple):
    """What is wrong with a field, and whether it is one that nothing here understands."""

    field: str
    words: str
    unsupported: bool


_ELSEWHERE = ("query", "path", "header", "cookie")
"""Where a problem may be besides the body; one without a place is of the body."""


def refusals(problems: Sequence[Problem], body: Any) -> list[Refusal]:
    """Return what to say of a request that does not fit its description, a field at a time."""
    by_field: dict[str, list[Problem]] = {}
    for problem in problems:
        by_field.setdefault(field_of(problem, body), []).append(problem)
    told = [
        _refusal(field, of) for field, of in by_field.items() if not _is_of_a_part(field, by_field)
    ]
    return list(dict.fromkeys(told))


def field_of(problem: Problem, body: Any) -> str:
    """Return the field that a problem is of, as `messages[0].content`; empty for the whole.

    What the validator adds to say which of several shapes it tried is no part of the name.
    """
    steps = problem["loc"]
    if steps and steps[0] in _ELSEWHERE:
        return ".".join(str(step) for step in steps[1:])
    if steps and steps[0] == "body":
        steps = steps[1:]
    name, at = "", body
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        if isinstance(at, list) and isinstance(step, int) and step < len(at):
            name, at = f"{name}[{step}]", at[step]
        elif isinstance(at, Mapping) and (step in at or (last and problem["type"] == "missing")):
            name, at = f"{name}.{step}" if name else str(step), at.get(step)
    return name


def _is_of_a_part(field: str, fields: Mapping[str, Any]) -> bool:
    """Say whether a problem of a part of a field says more, so that this one need not be told."""
    return bool(field) and any(
        other.startswith(f"{field}[") or other.startswith(f"{field}.") for other in fields
    )


def _refusal(field: str, problems: Sequence[Problem]) -> Refusal:
    top = field.partition(".")[0].partition("[")[0]
    first = problems[0]
    unknown = first["type"] == "extra_forbidden"
    if top in INSTEAD:
        return Refusal(top, f"{top} is not supported here: {INSTEAD[top]}", unsupported=True)
    if unknown:
        return Refusal(field, f"{field} is not supported here", unsupported=True)
    wanted = list(dict.fromkeys(_UNLIKE[one["type"]] for one in problems if one["type"] in _UNLIKE))
    others = [one for one in problems if one["type"] not in _UNLIKE]
    words = _words(others[0]) if others else f"must be {' or '.join(wanted)}"
    if not field:
        return Refusal(field, words if others else f"The body {words}", unsupported=False)
    return Refusal(field, f"{field}: {words}", unsupported=False)


def _words(problem: Problem) -> str:
    """Return what is wrong, of a problem other than of the wrong type."""
    kind, context = problem["type"], problem.get("ctx") or {}
    if kind in ("too_long", "too_short") and isinstance(problem.get("input"), str):
        kind = f"string_{kind}"
    if kind in _LIMITS:
        limit, words = _LIMITS[kind]
        return words.format(context.get(limit))
    if kind == "string_unicode":
        return "holds half of a character (a lone surrogate)"
    if kind == "missing":
        return "is missing"
    if kind == "literal_error":
        return f"must be {context.get('expected')}"
    return str(problem["msg"]).removeprefix("Value error, ").removesuffix(".")
