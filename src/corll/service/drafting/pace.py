"""How quick drafting is here, as it is measured: prompts, tokens, and how long drafts become.

A token for several rows costs hardly more than for one, so that the time of a step has two parts:
what it takes anyway, and what each row adds. All figures are means in which what was measured last
counts most. Before anything was measured they are guesses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_FORGET_STEPS = 0.99
_FORGET_PROMPTS = 0.8
_FORGET_LENGTHS = 0.7
_ROWS_THAT_DOUBLE = 32
"""So many further rows are taken to double a step's time, until other numbers of rows were seen."""


@dataclass
class _Line:
    """A straight line through points, of which the latest count most. *Units*: seconds, rows."""

    weight: float = 1.0
    x: float = 1.0
    y: float = 0.03
    xx: float = 1.0
    xy: float = 0.03

    def add(self, x: float, y: float) -> None:
        """Add a point."""
        kept = _FORGET_STEPS
        self.weight = kept * self.weight + 1
        self.x, self.y = kept * self.x + x, kept * self.y + y
        self.xx, self.xy = kept * self.xx + x * x, kept * self.xy + x * y

    def at(self, x: float) -> float:
        """Return the line's value, with the slope of the guess as far as the points leave it open.

        A slope is not below 0, nor so steep that no row at all took less than no time.
        """
        mean_x, mean_y = self.x / self.weight, self.y / self.weight
        spread = max(0.0, self.xx / self.weight - mean_x**2)
        together = self.xy / self.weight - mean_x * mean_y
        guess = mean_y / (_ROWS_THAT_DOUBLE + mean_x)
        slope = (together + guess) / (spread + 1)
        slope = min(max(0.0, slope), mean_y / mean_x)
        return mean_y + slope * (x - mean_x)


@dataclass
class Pace:
    """What drafting was measured to take. *Units*: seconds; `grown` a share of the longest."""

    prompt_token_s: float = 0.001
    grown: float = 1.0
    _steps: _Line = field(default_factory=_Line)

    def read_prompts(self, tokens: int, seconds: float) -> None:
        """Note how long so many tokens of prompts took, those that were kept included."""
        if tokens:
            self.prompt_token_s += (1 - _FORGET_PROMPTS) * (seconds / tokens - self.prompt_token_s)

    def took_step(self, rows: int, seconds: float) -> None:
        """Note how long a token for each of so many rows took."""
        if rows:
            self._steps.add(rows, seconds)

    def ended(self, steps: int, longest: int) -> None:
        """Note after how many of its longest number of tokens a decoding ended."""
        self.grown += (1 - _FORGET_LENGTHS) * (steps / longest - self.grown)

    def prompt_s(self, tokens: float) -> float:
        """Return how long so many tokens of prompts take."""
        return tokens * self.prompt_token_s

    def step_s(self, rows: float) -> float:
        """Return how long a token for each of so many rows takes."""
        return self._steps.at(rows)

    def steps(self, longest: int, had: int = 0) -> float:
        """Return how many more tokens a decoding is expected to draw, of `had` and at most so many.

        One that has grown beyond what is expected has half of the rest before it.
        """
        left = self.grown * longest - had
        return left if left >= 1 else max(1.0, (longest - had) / 2)
