// The keys of this page, by what they do, and a person's own choice of them. It is kept in this
// browser under an id that means nothing elsewhere; nothing is sent.
const keymap = (() => {
  "use strict";
  const given = JSON.parse(document.getElementById("keymap").textContent);
  const kept = "rupture-keys-" + given.person;
  let own = read();

  function read() {
    try {
      const found = JSON.parse(localStorage.getItem(kept) || "{}");
      return Object.fromEntries(Object.entries(found).filter(([action, key]) =>
        Object.hasOwn(given.keys, action) && typeof key === "string"));
    } catch { return {}; }
  }

  const keyOf = (action) => own[action] ?? given.keys[action];
  const actionOf = (key) => Object.keys(given.keys).find((action) => keyOf(action) === key);
  const shown = (action) => (keyOf(action) === " " ? given.space : keyOf(action));

  function show() {
    for (const place of document.querySelectorAll("kbd[data-key]")) place.textContent = shown(place.dataset.key);
  }

  function keep(changed) {
    own = changed;
    try {
      if (Object.keys(own).length) localStorage.setItem(kept, JSON.stringify(own));
      else localStorage.removeItem(kept);
    } catch { /* a browser that keeps nothing: the choice holds until the page goes */ }
    show();
  }

  show();
  return {
    actionOf,
    shown,
    show,
    change: (action, key) => keep({ ...own, [action]: key }),
    reset: () => keep({}),
  };
})();

// In the help: another key for an action. A key that does something else already is refused.
(() => {
  "use strict";
  const list = document.getElementById("own-keys");
  if (!list) return;
  const said = document.getElementById("own-keys-said");
  let waiting = null;

  function ask(button) {
    if (waiting) waiting.removeAttribute("aria-pressed");
    waiting = button;
    button.setAttribute("aria-pressed", "true");
    said.textContent = say("press_key", { action: button.dataset.name });
  }

  function leave(words) {
    if (waiting) waiting.removeAttribute("aria-pressed");
    waiting = null;
    said.textContent = words;
  }

  list.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-action]");
    if (button) ask(button);
  });
  document.getElementById("reset-keys").addEventListener("click", () => {
    keymap.reset();
    leave(say("keys_reset"));
  });
  list.addEventListener("keydown", (event) => {
    if (!waiting || ["Tab", "Shift"].includes(event.key)) return;
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    const { action, name } = waiting.dataset;
    if (event.key === "Escape") return leave(say("key_kept", { action: name, key: keymap.shown(action) }));
    if ([...event.key].length !== 1) { said.textContent = say("key_unfit"); return; }
    const other = keymap.actionOf(event.key);
    if (other && other !== action) {
      const taken = list.querySelector('[data-action="' + other + '"]').dataset.name;
      said.textContent = say("key_taken", { key: keymap.shown(other), action: taken });
      return;
    }
    keymap.change(action, event.key);
    leave(say("key_changed", { action: name, key: keymap.shown(action) }));
  }, true);
})();
