// What a coder says of each turn, segment and session: kept at once, one change after the other.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const csrf = document.querySelector("meta[name=csrf]").content;
  const state = JSON.parse($("state").textContent);
  const items = [...document.querySelectorAll(".item")];
  const placeOf = new Map(items.map((one, place) => [one.dataset.item, place]));
  const can = new Set(state.items);
  const panel = $("panel");
  const idleMs = 30_000;
  const wide = matchMedia("(min-width: 62rem)");
  let current = null;
  let scale = 0;
  let marking = null;
  let waiting = 0;
  let queue = Promise.resolve();

  const roleOf = (one) => one.dataset.role;
  const isTurn = (one) => one.classList.contains("turn");
  const said = (item) => state.annotations[item];

  // -- how long an item lies before the coder ------------------------------------------------

  const spent = new Map();
  let actedAt = Date.now();
  let tickedAt = Date.now();
  for (const kind of ["keydown", "pointerdown", "pointermove", "scroll"]) {
    addEventListener(kind, () => { actedAt = Date.now(); }, { passive: true, capture: true });
  }
  function tick() {
    const now = Date.now();
    const passed = Math.min(now - tickedAt, 1000);
    tickedAt = now;
    if (!current || document.hidden || !document.hasFocus() || now - actedAt > idleMs) return;
    const item = current.dataset.item;
    spent.set(item, (spent.get(item) || 0) + passed / 1000);
  }
  setInterval(tick, 250);

  // -- asking the service ----------------------------------------------------------------------

  function tell(words, kind = "") {
    $("saved").textContent = words;
    $("saved").className = kind;
  }

  async function ask(method, place, body) {
    const headers = { "X-CSRF-Token": csrf, Accept: "application/json", "If-Match": '"' + state.version + '"' };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    return fetch(state.at + place, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  }

  function take(told) {
    state.version = told.version;
    state.can_undo = told.can_undo;
    if (told.annotations) {
      state.annotations = told.annotations;
      drawAll();
      return;
    }
    for (const [item, one] of Object.entries(told.changed)) {
      if (one) state.annotations[item] = one;
      else delete state.annotations[item];
      drawItem(items[placeOf.get(item)]);
    }
    drawStatus();
    drawPanel();
  }

  async function refused(answer) {
    if (answer.status === 401) return say("signed_out");
    if (answer.status === 412) {
      const whole = await ask("GET", "/codes");
      if (whole.ok) {
        take(await whole.json());
        return say("overtaken");
      }
    }
    try { return (await answer.json()).detail; } catch { return say("failed"); }
  }

  // `make` sees how the item stands when its turn has come, so quick keys do not overtake another.
  function send(method, place, make, words = "") {
    waiting += 1;
    tell(say("saving"));
    queue = queue.then(async () => {
      const body = make && make();
      const told = make && !body ? null : await tried(method, place, body);
      waiting -= 1;
      if (told) tell(told, "bad");
      else if (!waiting) tell((words ? words + " " : "") + say("saved"));
    });
    return queue;
  }

  // What went wrong, or nothing; then the time that was sent with it counts on.
  async function tried(method, place, body) {
    let wrong = say("unreachable");
    try {
      const answer = await ask(method, place, body);
      if (answer.ok) return take(await answer.json());
      wrong = await refused(answer);
    } catch { /* the service does not answer */ }
    if (body) spent.set(body.item, (spent.get(body.item) || 0) + body.lead_s);
    return wrong;
  }

  function annotate(item, given, words = "") {
    tick();
    return send("PATCH", "/codes", () => {
      const made = typeof given === "function" ? given(said(item) || { markers: [], ratings: {} }) : given;
      const lead_s = Math.min(3600, Math.round(10 * (spent.get(item) || 0)) / 10);
      spent.delete(item);
      return made && { item, given: made, lead_s };
    }, words);
  }

  const undo = () => (state.can_undo ? send("POST", "/undo", null) : tell(say("nothing_to_undo")));

  // -- drawing ---------------------------------------------------------------------------------

  function piece(words, kind) {
    const made = document.createElement("span");
    made.className = kind;
    made.textContent = words;
    return made;
  }

  function chips(one, item) {
    if (!one) return [piece(say("not_coded"), "none")];
    if (item === "session" || item.startsWith("segment-")) {
      return state.ratings.map((name) => piece(state.scales[name] + " " + (one.ratings[name] ?? say("not_rated")), "chip"));
    }
    const made = one.markers.map((id) => piece(state.titles[id], "chip k-" + state.kinds[id]));
    if (!made.length) made.push(piece(say("nothing"), "chip absent"));
    if (one.pillar) made.push(piece(state.pillars[one.pillar], "told"));
    if (one.intensity) made.push(piece(say("strength", { number: one.intensity }), "told"));
    if (one.sure !== null) made.push(piece(say(one.sure ? "sure" : "unsure"), "told"));
    if (one.answers !== null) made.push(piece(say("answers", { number: one.answers }), "told"));
    if (one.start !== null) made.push(piece(say("marked"), "told"));
    return made;
  }

  function drawItem(element) {
    const item = element.dataset.item;
    if (!can.has(item)) return;
    const one = said(item);
    element.querySelector("[data-says]").replaceChildren(...chips(one, item));
    element.classList.toggle("coded", Boolean(one));
    element.classList.toggle("strained", Boolean(one && one.markers.length));
    if (isTurn(element)) drawWords(element, one && one.start !== null ? [one.start, one.end] : null);
  }

  function drawWords(element, marked) {
    const words = element.querySelector(".said");
    const letters = [...words.textContent];
    if (!marked) return words.replaceChildren(letters.join(""));
    const mark = document.createElement("mark");
    mark.textContent = letters.slice(...marked).join("");
    words.replaceChildren(letters.slice(0, marked[0]).join(""), mark, letters.slice(marked[1]).join(""));
  }

  function drawStatus() {
    const n = state.items.filter((item) => said(item)).length;
    $("progress-of").textContent = say("coded", { done: n, n: state.items.length });
    $("undo").disabled = !state.can_undo;
    $("version").value = state.version;
    $("commit-left").textContent = n < state.items.length ? say("coded", { done: n, n: state.items.length }) : say("all_coded");
  }

  function drawAll() {
    items.forEach(drawItem);
    drawStatus();
    drawPanel();
  }

  function press(button, is) {
    button.setAttribute("aria-pressed", String(is));
  }

  function drawPanel() {
    const item = current && current.dataset.item;
    const kind = !current ? "" : !can.has(item) ? "none" : isTurn(current) ? roleOf(current) : "rated";
    for (const part of panel.querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== kind;
    if (!current) return;
    $("panel-of").textContent = current.querySelector(".meta").textContent.trim().replace(/\s+/g, " ");
    if (kind === "none") return;
    const part = panel.querySelector(`[data-for="${kind}"]`);
    const one = said(item);
    if (kind === "rated") return drawRatings(part, one);
    for (const button of part.querySelectorAll("[data-code]")) press(button, Boolean(one && one.markers.includes(button.dataset.code)));
    for (const button of part.querySelectorAll("[data-field]")) press(button, Boolean(one) && String(one[button.dataset.field]) === button.dataset.value);
    press(part.querySelector("[data-nothing]"), Boolean(one && !one.markers.length));
    const choice = part.querySelector("[data-answers]");
    if (!choice) return;
    const first = choice.options[0];
    choice.replaceChildren(first, ...ruptures().map((index) => new Option(turnName(index), index)));
    choice.value = one && one.answers !== null ? String(one.answers) : "";
  }

  function drawRatings(part, one) {
    [...part.querySelectorAll(".scale")].forEach((set, place) => {
      set.classList.toggle("here", place === scale);
      const value = one && one.ratings[set.dataset.scale];
      for (const radio of set.querySelectorAll("input")) radio.checked = radio.value === String(value ?? "");
    });
  }

  // -- going about -----------------------------------------------------------------------------

  function stand(element) {
    if (current === element) return;
    tick();
    if (marking) leaveMarking();
    if (current) {
      current.tabIndex = -1;
      current.classList.remove("here");
    }
    current = element;
    current.tabIndex = 0;
    current.classList.add("here");
    scale = 0;
    drawPanel();
    if (!panel.contains(document.activeElement)) panel.scrollTop = 0;
  }

  function go(element) {
    if (!element) return;
    element.focus({ preventScroll: true });
    stand(element);
    // Where the codes lie over the lower half, the middle is below them.
    element.scrollIntoView({ block: wide.matches ? "center" : "start" });
  }

  function step(by, fits = () => true) {
    let place = current ? items.indexOf(current) : by > 0 ? -1 : items.length;
    do place += by; while (items[place] && !(can.has(items[place].dataset.item) && fits(items[place])));
    go(items[place]);
  }

  const isOpen = (element) => !said(element.dataset.item);

  // -- saying ----------------------------------------------------------------------------------

  function onTurn(act) {
    if (current && isTurn(current) && can.has(current.dataset.item)) return act(current.dataset.item, current);
    return tell(say("go_to"));
  }

  function code(id) {
    onTurn((item, element) => {
      const button = panel.querySelector(`[data-for="${roleOf(element)}"] [data-code="${id}"]`);
      if (wide.matches) button.scrollIntoView({ block: "nearest" });
      const is = Boolean(said(item) && said(item).markers.includes(id));
      annotate(item, (now) => ({
        markers: now.markers.includes(id) ? now.markers.filter((one) => one !== id) : [...now.markers, id],
      }), say(is ? "off" : "on", { name: state.titles[id] }));
    });
  }

  const empty = { markers: [], pillar: null, intensity: null, answers: null, start: null, end: null };

  function nothing() {
    onTurn((item) => { annotate(item, empty); step(1); });
  }

  function clear() {
    if (!current || !can.has(current.dataset.item)) return tell(say("go_to"));
    if (!isTurn(current)) return rate(null);
    if (said(current.dataset.item)) annotate(current.dataset.item, { clear: true });
  }

  function rate(value) {
    const name = state.ratings[scale];
    annotate(current.dataset.item, { ratings: { [name]: value } });
    scale = Math.min(scale + 1, state.ratings.length - 1);
    drawPanel();
  }

  function set(field, value) {
    onTurn((item) => annotate(item, (now) => ({ [field]: now[field] === value ? null : value })));
  }

  function cycle(field, values) {
    onTurn((item) => annotate(item, (now) => ({ [field]: values[values.indexOf(now[field] ?? null) + 1] ?? null })));
  }

  function ruptures() {
    const before = current ? items.indexOf(current) : 0;
    return items.slice(0, before).filter((one) => {
      const its = said(one.dataset.item);
      return its && its.markers.some((id) => ["withdrawal", "confrontation"].includes(state.kinds[id]));
    }).map((one) => Number(one.dataset.item.slice(5))).reverse();
  }

  const turnName = (index) => $("turn-" + index).querySelector(".when").textContent;

  function answer() {
    onTurn((item, element) => {
      if (roleOf(element) !== "therapist") return;
      if (!ruptures().length) return tell(say("no_rupture"));
      cycle("answers", [null, ...ruptures()]);
    });
  }

  // -- marking words, in code points as the service counts ----------------------------------------

  function selected(element) {
    const chosen = getSelection();
    const words = element.querySelector(".said");
    if (chosen.isCollapsed || !chosen.rangeCount || !words.contains(chosen.getRangeAt(0).commonAncestorContainer)) return null;
    const range = chosen.getRangeAt(0);
    const before = document.createRange();
    before.selectNodeContents(words);
    before.setEnd(range.startContainer, range.startOffset);
    const start = [...before.toString()].length;
    return { start, end: start + [...range.toString()].length };
  }

  function mark() {
    onTurn((item, element) => {
      const now = said(item);
      const chosen = selected(element);
      if (chosen) return annotate(item, chosen);
      if (now && now.start !== null) return annotate(item, { start: null, end: null });
      const text = element.querySelector(".said").textContent;
      const words = [...text.matchAll(/\S+/g)].map((found) => {
        const start = [...text.slice(0, found.index)].length;
        return [start, start + [...found[0]].length];
      });
      marking = { item, element, words, first: 0, last: 0 };
      showMarking();
      tell(say("marking"));
    });
  }

  function showMarking() {
    drawWords(marking.element, [marking.words[marking.first][0], marking.words[marking.last][1]]);
  }

  function leaveMarking() {
    const { element } = marking;
    marking = null;
    drawItem(element);
  }

  function whileMarking(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (event.key === "Escape") {
      leaveMarking();
      tell(say("not_marked"));
    } else if (event.key === "Enter") {
      const { item, words, first, last } = marking;
      marking = null;
      annotate(item, { start: words[first][0], end: words[last][1] });
    } else if (by) {
      const most = marking.words.length - 1;
      const name = event.shiftKey ? "last" : "first";
      marking[name] = Math.max(0, Math.min(most, marking[name] + by));
      if (event.shiftKey) marking.last = Math.max(marking.first, marking.last);
      else marking.last = Math.max(marking.first, marking.last);
      showMarking();
    } else return false;
    event.preventDefault();
    return true;
  }

  // -- keys ------------------------------------------------------------------------------------

  function more() {
    press($("more"), panel.classList.toggle("whole"));
  }

  const keys = {
    j: () => step(1),
    k: () => step(-1),
    n: () => step(1, isOpen),
    p: () => step(-1, isOpen),
    " ": nothing,
    0: clear,
    z: () => current && annotate(current.dataset.item, { nothing_up_to: true }),
    g: () => set("pillar", "goal"),
    t: () => set("pillar", "task"),
    b: () => set("pillar", "bond"),
    i: () => cycle("intensity", [null, ...state.intensities]),
    s: () => cycle("sure", [null, true, false]),
    r: answer,
    m: mark,
    d: more,
    u: undo,
    "?": () => $("help").showModal(),
  };

  function digit(event) {
    const found = /^Digit([1-9])$/.exec(event.code);
    if (!found || !current || !can.has(current.dataset.item)) return false;
    if (!isTurn(current)) {
      if (event.shiftKey || found[1] > "5") return false;
      rate(Number(found[1]));
      return true;
    }
    const key = (event.shiftKey ? "shift+" : "") + found[1];
    const own = Object.entries(state.codes[roleOf(current)]).find(([, its]) => its === key);
    if (!own) return false;
    code(own[0]);
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if ($("help").open || $("committing").open) return;
    const target = event.target;
    if (marking && whileMarking(event)) return;
    if (event.key === "Escape" && current) return current.focus();
    if (target.closest("select, input:not([type=radio])")) return;
    if (event.key === " " && target.closest("button, a, input, summary")) return;
    if (!$("use-keys").checked) return;
    if (digit(event)) return event.preventDefault();
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  });

  // -- buttons ---------------------------------------------------------------------------------

  document.addEventListener("focusin", (event) => {
    const at = event.target.closest(".item");
    if (at) stand(at);
  });
  // Pressing a button of the panel must not take a selection of words away.
  panel.addEventListener("mousedown", (event) => { if (event.target.closest("button")) event.preventDefault(); });
  panel.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const of = button.dataset;
    if (of.code) code(of.code);
    else if ("nothing" in of) onTurn((item) => annotate(item, empty));
    else if ("clear" in of) clear();
    else if ("mark" in of) mark();
    else if ("upTo" in of) keys.z();
    else if (button.id === "more") more();
    else if (of.field) set(of.field, of.field === "intensity" ? Number(of.value) : of.field === "sure" ? of.value === "true" : of.value);
  });
  panel.addEventListener("change", (event) => {
    const field = event.target;
    if (field.dataset.rating) {
      scale = state.ratings.indexOf(field.dataset.rating);
      annotate(current.dataset.item, { ratings: { [field.dataset.rating]: field.value ? Number(field.value) : null } });
    } else if ("answers" in field.dataset) {
      annotate(current.dataset.item, { answers: field.value === "" ? null : Number(field.value) });
    }
  });
  $("undo").addEventListener("click", undo);
  $("show-help").addEventListener("click", () => $("help").showModal());
  $("commit").addEventListener("click", () => queue.then(() => $("committing").showModal()));
  $("commit-leave").addEventListener("click", () => $("committing").close());
  addEventListener("focus", () => {
    queue = queue.then(async () => {
      const whole = await ask("GET", "/codes");
      if (!whole.ok) return;
      const told = await whole.json();
      if (told.version !== state.version) take(told);
    }).catch(() => {});
  });

  if (items[0]) items[0].tabIndex = 0;
  drawAll();
})();
