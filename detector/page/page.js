// Keys for reading: the page is whole without them.
(() => {
  "use strict";
  const turns = [...document.querySelectorAll("#transcript .turn")];
  const moments = [...document.querySelectorAll(".moment")];
  const help = document.getElementById("help");
  const useKeys = document.getElementById("use-keys");
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
    if (place === null) return go(turns[step > 0 ? 0 : turns.length - 1]);
    return go(turns[inTranscript ? place + step : place]);
  }

  function stepMoment(step) {
    const at = here();
    if (at && at.matches(".moment")) return go(moments[moments.indexOf(at) + step]);
    const place = turnPlace() ?? (step > 0 ? -1 : Infinity);
    const starts = (moment) => placeOf.get("turn-" + moment.dataset.turn);
    return go(step > 0
      ? moments.find((moment) => starts(moment) > place)
      : moments.findLast((moment) => starts(moment) <= place));
  }

  function leave() {
    if (document.activeElement) document.activeElement.blur();
    current = null;
  }

  const keys = {
    j: () => stepTurn(1),
    k: () => stepTurn(-1),
    n: () => stepMoment(1),
    p: () => stepMoment(-1),
    "?": () => help.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || help.open) return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (event.key === "Escape") return leave();
    if (!useKeys.checked || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
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
