// What a reviewer says of each moment: kept at once, one change after the other, never over another's.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const csrf = document.querySelector("meta[name=csrf]").content;
  const state = JSON.parse($("state").textContent);
  const base = "/review/sessions/" + state.session;
  const reviewAt = base + "/review/" + state.report;
  const template = $("judge");
  const saved = $("saved");
  const notes = new Map();
  let lastTurn = null;
  let linking = null;
  let queue = Promise.resolve();

  // -- asking the service ------------------------------------------------------------------

  async function ask(method, place, body, version) {
    const headers = { "X-CSRF-Token": csrf, Accept: "application/json" };
    if (version !== undefined) headers["If-Match"] = '"' + version + '"';
    if (body !== undefined) headers["Content-Type"] = "application/json";
    return fetch(place, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  }

  function tell(words, kind = "") {
    saved.textContent = words;
    saved.className = kind;
  }

  async function detail(answer) {
    try { return (await answer.json()).detail; } catch { return say("failed"); }
  }

  function take(told) {
    Object.assign(state, { version: told.version, judgements: told.judgements, can_undo: told.can_undo });
    Object.assign(state.names, told.names);
    draw();
  }

  async function catchUp() {
    const answer = await ask("GET", reviewAt);
    if (answer.ok) take(await answer.json());
    return answer.ok;
  }

  // One at a time, so that quick keys do not overtake each other.
  function change(method, place, body) {
    tell(say("saving"));
    queue = queue.then(async () => {
      try {
        const answer = await ask(method, place, body, state.version);
        if (answer.ok) {
          take(await answer.json());
          return tell(say("saved"));
        }
        if (answer.status === 401) return tell(say("signed_out"), "bad");
        if (answer.status === 412 && await catchUp()) {
          return tell(say("overtaken"), "bad");
        }
        tell(await detail(answer), "bad");
        draw();
      } catch {
        tell(say("unreachable"), "bad");
        draw();
      }
    });
    return queue;
  }

  const judge = (item, given) => change("PATCH", reviewAt, { report: state.report, given: { item, ...given } });
  const undo = () => (state.can_undo ? change("POST", reviewAt + "/undo") : tell(say("nothing_to_undo")));

  // -- drawing -----------------------------------------------------------------------------

  function panels() {
    return [...document.querySelectorAll(".judge[data-item]")];
  }

  function build(panel) {
    const made = template.content.cloneNode(true);
    const item = panel.dataset.item;
    if (panel.classList.contains("only-note")) {
      made.querySelectorAll("h4, .verdicts, .choices, [data-by]").forEach((one) => one.remove());
    }
    for (const place of made.querySelectorAll("kbd[data-key]")) place.textContent = keymap.shown(place.dataset.key);
    made.querySelectorAll("[data-verdict]").forEach((button) => {
      button.addEventListener("click", () => verdict(item, button.dataset.verdict));
    });
    made.querySelectorAll("[data-remove]").forEach((button) => {
      button.hidden = !item.startsWith("turn-");
      button.addEventListener("click", () => judge(item, { remove: true }));
    });
    made.querySelectorAll("select").forEach((choice) => {
      for (const kind of ["focus", "pointerdown"]) choice.addEventListener(kind, () => offerRepairs(choice));
      choice.addEventListener("change", () => {
        const value = choice.value === "" ? null : "number" in choice.dataset ? Number(choice.value) : choice.value;
        judge(item, { [choice.dataset.field]: value });
      });
    });
    const note = made.querySelector("[data-note]");
    note.addEventListener("input", () => { noted(item, note); grow(note); });
    note.addEventListener("blur", () => flush(item));
    panel.append(made);
    drawNotes(panel);
  }

  // The turns that may mend are many: they come when the choice is used, one of them when it is shown.
  function offerRepairs(choice) {
    if (choice.dataset.field !== "repair" || choice.dataset.full) return;
    choice.dataset.full = "yes";
    const chosen = choice.value;
    for (const one of choice.querySelectorAll("[data-alone]")) one.remove();
    choice.append($("repairs").content.cloneNode(true));
    choice.value = chosen;
  }

  function choose(choice, value) {
    if (value !== "" && ![...choice.options].some((one) => one.value === value)) {
      const own = $("repairs").content.querySelector('option[value="' + value + '"]');
      if (own) choice.append(Object.assign(own.cloneNode(true), { value }));
      if (own) choice.lastElementChild.dataset.alone = "yes";
    }
    choice.value = value;
  }

  function draw() {
    drawAdded();
    for (const panel of panels()) drawPanel(panel, state.judgements[panel.dataset.item] || {});
    $("undo").disabled = !state.can_undo;
    const own = panels().filter((one) => one.dataset.item.startsWith("moment-"));
    const done = own.filter((one) => (state.judgements[one.dataset.item] || {}).verdict);
    $("progress-of").textContent = own.length ? say("looked", { n: own.length, done: done.length }) : "";
  }

  function drawPanel(panel, said) {
    for (const button of panel.querySelectorAll("[data-verdict]")) {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === said.verdict));
    }
    for (const choice of panel.querySelectorAll("select")) {
      const value = said[choice.dataset.field];
      choose(choice, value === null || value === undefined ? "" : String(value));
      choice.classList.toggle("said", choice.value !== "");
    }
    const by = panel.querySelector("[data-by]");
    if (!by) return;
    const who = said.by === state.me ? say("you") : state.names[said.by] || say("somebody");
    by.textContent = said.at ? say(said.verdict || "changed", { who, when: say.when(said.at) }) : "";
    const card = panel.closest(".moment");
    if (card) card.dataset.said = said.verdict || "";
  }

  function drawAdded() {
    const list = $("added-list");
    const wanted = Object.keys(state.judgements).filter((item) => item.startsWith("turn-"));
    wanted.sort((a, b) => Number(a.slice(5)) - Number(b.slice(5)));
    for (const card of [...list.children]) {
      if (!wanted.includes(card.dataset.added)) card.remove();
    }
    for (const item of wanted) {
      if (![...list.children].some((card) => card.dataset.added === item)) list.append(added(item));
    }
  }

  function added(item) {
    const turn = $(item);
    const card = document.createElement("article");
    card.className = "moment own";
    card.dataset.added = item;
    card.dataset.turn = item.slice(5);
    card.tabIndex = -1;
    const quote = document.createElement("blockquote");
    quote.dir = "auto";
    const letters = [...turn.querySelector(".said").textContent];
    const { start, end } = state.judgements[item];
    quote.textContent = letters.slice(start ?? 0, end ?? letters.length).join("");
    const head = document.createElement("h3");
    const link = document.createElement("a");
    link.href = "#" + item;
    link.textContent = turn.querySelector(".meta").textContent.trim().replace(/\s+/g, " ");
    head.append(link);
    const panel = document.createElement("section");
    panel.className = "judge";
    panel.dataset.item = item;
    panel.setAttribute("aria-label", say("own_reading"));
    card.append(head, quote, panel);
    build(panel);
    return card;
  }

  // -- notes -------------------------------------------------------------------------------

  for (const one of state.comments) notes.set(one.by + " " + one.item, one);

  function drawNotes(panel) {
    const item = panel.dataset.item;
    const mine = notes.get(state.me + " " + item);
    const note = panel.querySelector("[data-note]");
    note.value = mine ? mine.text : "";
    grow(note);
    for (const one of state.comments) {
      if (one.item !== item || one.by === state.me || !one.text) continue;
      const line = document.createElement("p");
      line.dir = "auto";
      const who = document.createElement("b");
      who.textContent = say("note_by", { who: state.names[one.by] || say("somebody") });
      line.append(who, one.text);
      panel.querySelector(".others").append(line);
    }
  }

  function grow(note) {
    note.style.height = "auto";
    note.style.height = note.scrollHeight + 2 + "px";
  }

  const waiting = new Map();

  function noted(item, note) {
    tell(say("note_waits"));
    clearTimeout((waiting.get(item) || {}).timer);
    waiting.set(item, { note, timer: setTimeout(() => flush(item), 800) });
  }

  function flush(item) {
    const one = waiting.get(item);
    if (!one) return;
    clearTimeout(one.timer);
    waiting.delete(item);
    const key = state.me + " " + item;
    queue = queue.then(async () => {
      const before = notes.get(key) || { version: 0 };
      try {
        const answer = await ask("PUT", base + "/comment", { item, text: one.note.value }, before.version);
        if (!answer.ok) {
          const words = answer.status === 412 ? say("note_overtaken") : await detail(answer);
          return tell(words, "bad");
        }
        notes.set(key, { version: (await answer.json()).version, text: one.note.value });
        tell(say("note_saved"));
      } catch {
        noted(item, one.note);
        tell(say("note_unreachable"), "bad");
      }
    });
  }

  addEventListener("beforeunload", (event) => { if (waiting.size) event.preventDefault(); });

  // -- keys --------------------------------------------------------------------------------

  function verdict(item, word) {
    const now = (state.judgements[item] || {}).verdict;
    return judge(item, { verdict: now === word ? null : word });
  }

  // The panel of where the reader stands: a card, or a turn that is in one moment.
  function panelHere() {
    const at = document.activeElement && document.activeElement.closest(".moment, .turn");
    if (!at) return null;
    if (at.matches(".moment")) return at.querySelector(".judge");
    const link = at.querySelector(".margin .in a");
    const card = link ? $(link.getAttribute("href").slice(1)) : document.querySelector('[data-added="' + at.id + '"]');
    return card && card.querySelector(".judge");
  }

  function onPanel(act) {
    const panel = panelHere();
    if (panel) act(panel);
    else tell(say("go_to_moment", { key: keymap.shown("next_moment") }));
  }

  function turnHere() {
    const at = document.activeElement && document.activeElement.closest("#transcript .turn");
    if (at) lastTurn = at;
    return at || lastTurn;
  }

  function selection(turn) {
    const chosen = getSelection();
    const said = turn.querySelector(".said");
    if (chosen.isCollapsed || !chosen.rangeCount || !said.contains(chosen.getRangeAt(0).commonAncestorContainer)) return null;
    const range = chosen.getRangeAt(0);
    const before = document.createRange();
    before.selectNodeContents(said);
    before.setEnd(range.startContainer, range.startOffset);
    // In code points, as the service counts.
    const start = [...before.toString()].length;
    return { start, end: start + [...range.toString()].length };
  }

  function add() {
    const chosen = getSelection().anchorNode;
    const around = chosen && (chosen.parentElement || chosen).closest("#transcript .turn");
    const turn = (around && !getSelection().isCollapsed && around) || turnHere();
    if (!turn) return tell(say("go_to_turn", { key: keymap.shown("next_turn") }));
    return judge(turn.id, { verdict: "agree", ...(selection(turn) || {}) }).then(() => {
      const card = document.querySelector('[data-added="' + turn.id + '"]');
      if (card) tell(say("added"));
    });
  }

  function link(panel) {
    linking = { item: panel.dataset.item, from: panel.closest(".moment") };
    tell(say("link", { next: keymap.shown("next_turn"), previous: keymap.shown("previous_turn") }));
    const turn = $("turn-" + linking.from.dataset.turn);
    if (turn) { turn.focus({ preventScroll: true }); turn.scrollIntoView({ block: "center" }); }
  }

  function linked(turn) {
    const { item, from } = linking;
    linking = null;
    judge(item, { repair: Number(turn.id.slice(5)) });
    from.focus({ preventScroll: true });
    from.scrollIntoView({ block: "start" });
  }

  const acts = {
    agree: () => onPanel((panel) => verdict(panel.dataset.item, "agree")),
    disagree: () => onPanel((panel) => verdict(panel.dataset.item, "disagree")),
    unsure: () => onPanel((panel) => verdict(panel.dataset.item, "unsure")),
    edit: () => onPanel((panel) => panel.querySelector("select").focus()),
    note: () => onPanel((panel) => panel.querySelector("[data-note]").focus()),
    repair: () => onPanel(link),
    add,
    undo,
  };
  for (const weight of "12345") {
    acts["weigh_" + weight] = () => onPanel((panel) => judge(panel.dataset.item, { intensity: Number(weight) }));
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || $("help").open) return;
    const target = event.target;
    if (event.key === "Escape") {
      if (linking) { linking = null; tell(say("not_linked")); }
      const field = target.closest("textarea, select");
      if (field && field.closest(".judge")) (field.closest(".moment") || field.closest(".judge")).focus();
      return;
    }
    if (target.closest("input:not([type=range]), textarea, select")) return;
    if (linking && event.key === "Enter" && target.matches("#transcript .turn")) {
      event.preventDefault();
      return linked(target);
    }
    if (event.key === " " && target.closest("button, a, summary")) return;
    const action = keymap.actionOf(event.key);
    if (!$("use-keys").checked || !Object.hasOwn(acts, action ?? "")) return;
    event.preventDefault();
    acts[action]();
  });

  document.addEventListener("focusin", turnHere);
  $("add").addEventListener("mousedown", (event) => event.preventDefault());
  $("add").addEventListener("click", add);
  $("undo").addEventListener("click", undo);
  addEventListener("focus", () => { if (!waiting.size) queue = queue.then(catchUp).catch(() => {}); });

  for (const panel of panels()) build(panel);
  draw();
})();
