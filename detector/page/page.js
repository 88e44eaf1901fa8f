// Keys for reading: the page is whole without them.
(() => {
  "use strict";
  const turns = [...document.querySelectorAll("#transcript .turn")];
  const moments = [...document.querySelectorAll(".moment")];
  const help = document.getElementById("help");
  const useKeys = document.getElementById("use-keys");
  const isShown = (element) => !element.hidden;
  const placeOf = new Map(turns.map((turn, place) => [turn.id, place]));
  let current = null;

  function go(element) {
    if (!element) return;
    current = element;
    element.focus({ preventScroll: true });
    element.scrollIntoView({ block: element.matches(".turn") ? "center" : "start" });
  }

  // Where the reader stands: what was reached by key, or by a link since.
  function here() {
    const focused = document.activeElement && document.activeElement.closest(".turn, .moment");
    return focused || current;
  }

  function turnPlace() {
    const at = here();
    if (!at) return null;
    return placeOf.get(at.matches(".turn") ? at.id : "turn-" + at.dataset.turn) ?? null;
  }

  function stepTurn(step) {
    const place = turnPlace();
    const inTranscript = here() && here().matches(".turn");
    if (place === null) return go(step > 0 ? turns.find(isShown) : turns.findLast(isShown));
    let next = inTranscript ? place + step : place;
    while (turns[next] && !isShown(turns[next])) next += step;
    return go(turns[next]);
  }

  function stepMoment(step) {
    const at = here();
    const own = moments.filter(isShown);
    if (at && at.matches(".moment")) return go(own[own.indexOf(at) + step]);
    const place = turnPlace() ?? (step > 0 ? -1 : Infinity);
    const starts = (moment) => placeOf.get("turn-" + moment.dataset.turn);
    return go(step > 0
      ? own.find((moment) => starts(moment) > place)
      : own.findLast((moment) => starts(moment) <= place));
  }

  function leave() {
    if (document.activeElement) document.activeElement.blur();
    current = null;
  }

  const acts = {
    next_turn: () => stepTurn(1),
    previous_turn: () => stepTurn(-1),
    next_moment: () => stepMoment(1),
    previous_moment: () => stepMoment(-1),
    help: () => help.showModal(),
  };
  const keys = { j: "next_turn", k: "previous_turn", n: "next_moment", p: "previous_moment", "?": "help" };
  // The review page lets a person choose other keys.
  const actionOf = (key) => (typeof keymap === "object" ? keymap.actionOf(key) : keys[key]);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || help.open) return;
    if (event.target.closest("input:not([type=range]), textarea, select, [contenteditable]")) return;
    if (event.key === "Escape") return leave();
    const action = actionOf(event.key);
    if (!useKeys.checked || !Object.hasOwn(acts, action ?? "")) return;
    event.preventDefault();
    acts[action]();
  });

  // In a notebook's frame the page has no address of its own, so links are followed by hand.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    const target = link && document.getElementById(link.getAttribute("href").slice(1));
    if (!target) return;
    current = target.matches(".turn, .moment") ? target : null;
    if (location.protocol !== "about:") return;
    event.preventDefault();
    go(target);
  });

  const showHelp = document.getElementById("show-help");
  showHelp.hidden = false;
  showHelp.addEventListener("click", () => help.showModal());
})();
