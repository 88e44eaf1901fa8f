"""Contrast of the style sheet's colours in both schemes, after WCAG 2.2 AA."""

import re
from importlib.resources import files

import pytest


def _colours(css: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", css))


def _schemes() -> dict[str, dict[str, str]]:
    light, dark = re.split(
        r"@media screen and \(prefers-color-scheme: dark\)",
        (files("detector.page") / "style.css").read_text("utf-8"),
    )
    dark = dark[: dark.index(".k-withdrawal")]
    return {"light": _colours(light), "dark": {**_colours(light), **_colours(dark)}}


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.2, 1..21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_reckoned_as_the_standard_does() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "card"])
@pytest.mark.parametrize("text", ["ink", "muted", "link", "repair"])
def test_text_stands_out_from_its_ground(scheme: str, ground: str, text: str) -> None:
    colours = _schemes()[scheme]
    assert contrast(colours[text], colours[ground]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "card"])
@pytest.mark.parametrize(
    "shape",
    [
        "withdrawal",
        "confrontation",
        "mixed",
        "contribution",
        "strength",
        "focus",
        "bar-therapist",
        "bar-client",
    ],
)
def test_shapes_and_underlines_stand_out_from_their_ground(
    scheme: str, ground: str, shape: str
) -> None:
    colours = _schemes()[scheme]
    assert contrast(colours[shape], colours[ground]) >= 3.0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["withdrawal", "confrontation", "mixed"])
def test_numbers_are_read_inside_their_shapes(scheme: str, kind: str) -> None:
    colours = _schemes()[scheme]
    assert contrast(colours["ink"], colours[f"{kind}-tint"]) >= 4.5
    assert contrast(colours[kind], colours[f"{kind}-tint"]) >= 3.0
