"""How a session of 2,000 turns reads in a browser: `python -m service.page_bench`. Asserts nothing.

It starts `rupture serve` on a folder of its own, has a session scored by the rules, opens it in
Debian's chromium (headless, drawn by the CPU) as its clinician would, and scrolls it to its end.
Browser, service and worker are on the same machine.
"""

import json
import os
import platform
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from service.bench import percentile
from service.load import METADATA, Place, Service, a_place, running, transcript

_SCROLL = """
async (steps) => {
  const deltas = [];
  let last = await new Promise(requestAnimationFrame);
  for (let step = 0; step < steps; step += 1) {
    scrollBy(0, 120);
    const now = await new Promise(requestAnimationFrame);
    deltas.push(now - last);
    last = now;
  }
  return deltas;
}
"""
"""Milliseconds from frame to frame, each of which scrolls three lines of a wheel."""

_PAINT = """
() => performance.getEntriesByType('paint')
  .filter((one) => one.name === 'first-contentful-paint').map((one) => one.startTime)[0]
"""


def measure(place: Place, *, n_turns: int, n_frames: int) -> Iterator[str]:
    """Lines of a table, each as soon as it is known."""
    with running(place, 1) as service:
        session_id, cookie = _session(place, service, n_turns)
        url = f"http://{service.where}"
        with _Chromium() as browser:
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            context.add_cookies([{"name": "rupture", "value": cookie, "url": url}])
            page = context.new_page()
            begun = time.perf_counter()
            page.goto(f"{url}/review/sessions/{session_id}", wait_until="load")
            loaded = time.perf_counter() - begun
            page.wait_for_timeout(1000)
            yield _row("first contentful paint", f"{page.evaluate(_PAINT):.0f} ms")
            yield _row("loaded, scripts run", f"{loaded * 1000:.0f} ms")
            n = page.evaluate("document.getElementsByTagName('*').length")
            n_moments = page.locator("#moments .moment").count()
            yield _row("elements, moments among them", f"{n:,}, {n_moments}")
            deltas = page.evaluate(_SCROLL, n_frames)
            context.close()
    middle, slow = statistics.median(deltas), percentile(deltas, 0.95)
    yield _row(
        f"scrolling, {n_frames} frames",
        f"median {middle:.1f} ms ({1000 / middle:.0f} a second), p95 {slow:.1f} ms",
    )


def _session(place: Place, service: Service, n_turns: int) -> tuple[str, str]:
    """A scored session, and the cookie of the clinician whose client it is."""
    consent = {**METADATA["consent"], "scopes": {"analyse": True, "human_review": True}}  # type: ignore[dict-item]
    about = json.dumps({**METADATA, "consent": consent})
    fields = {"Content_Type": "text/vtt", "Rupture_Session": about}
    status, content, _ = service.ask("POST", "/v1/sessions", strained(n_turns), **fields)
    if status != 202:
        raise SystemExit(f"the session was not taken in: {content.decode()}")
    session_id: str = json.loads(content)["id"]
    service.until_done()
    return session_id, _clinician(place, session_id)


_STRAIN = (
    "You did not do the exercise again. You have to do it every evening.",
    "You're not listening to me. I told you two weeks ago that the evenings do not work.",
    "You did not do the exercise again. You have to do it every evening.",
    "No. You never listen. This is not helping me at all, and you do not understand.",
)
"""Said in turn, the therapist first."""


def strained(n_turns: int) -> bytes:
    """An invented session in which the two clash once in a hundred turns."""
    blocks = transcript(n_turns).split(b"\n\n")
    for start in range(51, len(blocks) - len(_STRAIN), 100):
        for place, line in enumerate(_STRAIN, start):
            head, mark, said = blocks[place].rpartition(b"<v ")
            name, end, _ = said.partition(b">")
            blocks[place] = head + mark + name + end + line.encode()
    return b"\n\n".join(blocks)


def _clinician(place: Place, session_id: str) -> str:
    """Makes one who has the session's client, and signs them in; the visit's cookie."""
    import pyotp

    from service import tables, visits
    from service.entrance import Entrance
    from service.house import open_house
    from service.scopes import Role
    from service.settings import Settings
    from service.store import new_id

    house = open_house(Settings(_env_file=None, home=Path(place.home)))  # type: ignore[call-arg]
    try:
        with house.store.system() as tx:
            [row] = tx.select(tables.sessions, tables.sessions.c.id == session_id)
        entrance, words = Entrance(house), "a long way to the sea"
        person_id, enrolled = entrance.add(row["tenant_id"], "bench", words, (Role.CLINICIAN,))
        with house.store.transaction(row["tenant_id"]) as tx:
            tx.add(
                tables.care,
                id=new_id("car"),
                client_id=row["client_id"],
                person_id=person_id,
                role=Role.CLINICIAN.value,
                given_by=person_id,
                created_at=house.clock(),
            )
        code = pyotp.parse_uri(enrolled.uri.value).at(house.clock())  # type: ignore[attr-defined]
        _, visit_id = entrance.sign_in("bench", words, code, "bench")
        return visits.seal_cookie(visit_id, house.signing).value
    finally:
        house.store.close()


class _Chromium:
    """Debian's chromium, driven by Playwright; both are for developing."""

    def __enter__(self) -> Any:
        from playwright.sync_api import sync_playwright

        found = shutil.which("chromium") or shutil.which("chromium-browser")
        if not found:
            raise SystemExit("there is no chromium on this machine: apt-get install chromium")
        self._running = sync_playwright().start()
        arguments = ["--headless", "--no-sandbox", "--disable-gpu"]
        self._browser = self._running.chromium.launch(executable_path=found, args=arguments)
        return self._browser

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._running.stop()


def _row(what: str, measured: str) -> str:
    return f"| {what} | {measured} |"


def command(
    turns: Annotated[int, typer.Option(help="Turns of the session.")] = 2000,
    frames: Annotated[int, typer.Option(help="Frames that are scrolled through.")] = 300,
) -> None:
    """First paint, size, and frames a second while a long session is scrolled."""
    typer.echo(
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; a session of {turns:,} turns, 1280 by 900.\n\n"
        "| what | measured |\n|---|---|"
    )
    with a_place("rules") as place:
        for line in measure(place, n_turns=turns, n_frames=frames):
            typer.echo(line)


if __name__ == "__main__":
    typer.run(command)
