"""The keys of a session's page, by what each does. A person may choose others in the browser."""

from collections.abc import Mapping

KEYS: Mapping[str, str] = {
    "next_moment": "n",
    "previous_moment": "p",
    "next_turn": "j",
    "previous_turn": "k",
    "agree": "a",
    "disagree": "x",
    "unsure": " ",
    "weigh_1": "1",
    "weigh_2": "2",
    "weigh_3": "3",
    "weigh_4": "4",
    "weigh_5": "5",
    "edit": "e",
    "repair": "r",
    "add": "m",
    "note": "c",
    "undo": "u",
    "help": "?",
}
"""As the page comes; a key is what a browser calls it in `KeyboardEvent.key`."""
