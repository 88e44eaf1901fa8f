// A part of the session, chosen on the time strip: moments and transcript show that part alone.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const bars = document.querySelector(".strip .bars");
  const turns = [...document.querySelectorAll("#transcript .turn")];
  if (!bars || turns.length < 2) return;
  const [from, to, all, said] = ["brush-from", "brush-to", "brush-all", "brush-said"].map($);
  const placeOf = new Map(turns.map((turn, place) => [turn.id, place]));
  const moments = [...document.querySelectorAll("#moments .moment")];
  const links = [...document.querySelectorAll("#strip .index li")];
  const last = turns.length - 1;
  const shade = document.createElement("div");
  const share = (value) => parseFloat(value) / 100;

  // Where each turn stands across the strip, 0 to 1, by its bar.
  const spans = turns.map((turn) => {
    const bar = bars.querySelector('a[href="#' + turn.id + '"] rect');
    if (!bar) return null;
    const start = share(bar.getAttribute("x"));
    return [start, start + share(bar.getAttribute("width"))];
  });

  function inMoment(moment, first, final) {
    return moment.dataset.turns.split(" ").some((index) => {
      const place = placeOf.get("turn-" + index);
      return place !== undefined && place >= first && place <= final;
    });
  }

  function name(turn) {
    const when = turn.querySelector(".when");
    return (when && when.textContent.trim()) || say("turn", { number: turn.id.slice(5) });
  }

  function show(first, final) {
    const isAll = first === 0 && final === last;
    turns.forEach((turn, place) => { turn.hidden = place < first || place > final; });
    moments.forEach((moment, place) => {
      moment.hidden = !isAll && !inMoment(moment, first, final);
      if (links[place]) links[place].hidden = moment.hidden;
    });
    from.value = String(first);
    to.value = String(final);
    from.setAttribute("aria-valuetext", name(turns[first]));
    to.setAttribute("aria-valuetext", name(turns[final]));
    all.disabled = isAll;
    shade.hidden = isAll;
    const left = (spans[first] || [0])[0];
    shade.style.left = 100 * left + "%";
    shade.style.width = 100 * ((spans[final] || [0, 1])[1] - left) + "%";
  }

  let telling = 0;
  function tell(first, final) {
    clearTimeout(telling);
    telling = setTimeout(() => {
      if (first === 0 && final === last) { said.textContent = say("all_shown"); return; }
      said.textContent = say("part_turns", {
        from: name(turns[first]),
        to: name(turns[final]),
        moments: say("n_moments", { n: moments.filter((one) => !one.hidden).length }),
        turns: say("n_turns", { n: final - first + 1 }),
      });
    }, 150);
  }

  function choose(one, other) {
    const [first, final] = [Math.min(one, other), Math.max(one, other)];
    show(first, final);
    tell(first, final);
  }

  function clear() {
    if (!all.disabled) choose(0, last);
  }

  for (const end of [from, to]) {
    end.max = String(last);
    end.addEventListener("input", () => {
      // An end stops where the other is.
      if (end === from) choose(Math.min(Number(from.value), Number(to.value)), Number(to.value));
      else choose(Number(from.value), Math.max(Number(from.value), Number(to.value)));
    });
  }
  all.addEventListener("click", () => { clear(); from.focus(); });

  // -- dragging: a click still follows the bar's own link ----------------------------------

  function at(event) {
    const box = bars.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    let best = 0;
    spans.forEach((span, place) => { if (span && span[0] <= x) best = place; });
    return best;
  }

  let start = null;
  let dragged = false;
  bars.addEventListener("dragstart", (event) => event.preventDefault());
  bars.addEventListener("pointerdown", (event) => {
    if (event.button === 0) { start = { x: event.clientX, place: at(event) }; dragged = false; }
  });
  addEventListener("pointermove", (event) => {
    if (!start || (!dragged && Math.abs(event.clientX - start.x) < 6)) return;
    dragged = true;
    choose(start.place, at(event));
  });
  addEventListener("pointerup", () => { start = null; });
  addEventListener("pointercancel", () => { start = null; });
  bars.addEventListener("click", (event) => {
    if (dragged) { event.preventDefault(); event.stopPropagation(); dragged = false; }
  }, true);

  // -- leaving it ----------------------------------------------------------------------------

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || $("help").open || event.isComposing) return;
    if (!event.target.closest("textarea, select")) clear();
  });
  // A link to what is hidden shows the whole session again, and so does a print.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    const target = link && $(link.getAttribute("href").slice(1));
    if (target && target.hidden) clear();
  }, true);
  addEventListener("beforeprint", clear);

  const shades = document.createElement("div");
  shades.className = "shades";
  shade.className = "shade";
  shades.append(shade);
  bars.parentElement.append(shades);
  $("brush").hidden = false;
  show(0, last);
})();
