"""What people type for places in a picture: boxes with what is to be seen there, and edges."""

from __future__ import annotations

from sfumato.errors import PromptError

BOX = 4  # numbers


def region(text: str) -> tuple[str, tuple[float, ...], float]:
    """A region of a request: "PROMPT@LEFT,TOP,RIGHT,BOTTOM", then if wanted ":WEIGHT"; PromptError when it is none."""
    prompt, sign, rest = text.rpartition("@")
    box, _, weight = rest.partition(":")
    try:
        numbers = tuple(float(number) for number in box.split(","))
        if not sign or len(numbers) != BOX:
            raise ValueError
        return prompt.strip(), numbers, float(weight or 1)
    except ValueError:
        raise PromptError(
            f'--region takes a prompt and its box in parts of the sides, such as "a red cat@0,0,0.5,1", not {text!r}.'
        ) from None


def edges(text: str) -> tuple[int, ...]:
    """Pixels at the left, the top, the right and the bottom; PromptError when it is something else."""
    try:
        numbers = tuple(int(number) for number in text.split(","))
        if len(numbers) != BOX:
            raise ValueError
    except ValueError:
        raise PromptError(f"--extend takes LEFT,TOP,RIGHT,BOTTOM in pixels such as 64,0,64,0, not {text!r}.") from None
    return numbers
