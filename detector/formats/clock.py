"""Written times: `1:02`, `00:01:02.5`, `0:0:5.320`, `00:00:17,4`, and a caption's two of them."""

import re

ARROW = "-->"
"""What stands between the times of a caption, in WebVTT, SRT and the older Teams export."""

_CLOCK = re.compile(
    r"(-?)(?:([0-9]{1,6}):)?(-?)([0-9]{1,6}):(-?)([0-9]{1,2})(?:[.,]([0-9]{1,9}))?", re.ASCII
)
_SETTING = re.compile(r"[A-Za-z][A-Za-z0-9]*:[^\s:]\S*", re.ASCII)


def parse_clock(text: str) -> float | None:
    """Seconds that a written time stands for, or None where the text is no time.

    Takes missing hours, unpadded fields, a comma or a dot, and 1–9 digits of fraction, read as
    the decimal fraction they are: `17,4` is 17.4 s, not 17.004. A minus before any field makes
    the whole time negative; how Teams writes its negative offsets was not verified.
    """
    found = _CLOCK.fullmatch(text.strip())
    if not found:
        return None
    before, hours, inside, minutes, last, seconds, fraction = found.groups()
    if int(seconds) > 59 or (hours is not None and int(minutes) > 59):
        return None
    if hours is None and len(seconds) < 2:
        return None  # Nobody leaves out hours and padding both: it is a longer time cut off.
    whole = int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)
    # One division, so that 17.4 is the float nearest to 17.4 and not a sum beside it.
    digits = fraction or ""
    scale: int = 10 ** len(digits)
    value = (whole * scale + int(digits or 0)) / scale
    return -value if before or inside or last else value


def parse_timing_line(line: str) -> tuple[float, float] | None:
    """Start and end in seconds of a line such as `00:01.5 --> 00:02 align:start`.

    None where either is no time, or where something else than cue settings follows them:
    speech written on the timing line would otherwise be lost.
    """
    before, arrow, after = line.partition(ARROW)
    words = after.split()
    if not arrow or not words:
        return None
    start, end = parse_clock(before), parse_clock(words[0])
    if start is None or end is None or not all(map(_SETTING.fullmatch, words[1:])):
        return None
    return start, end
