// Finding a session while one types: nothing is sent, so no name is in an address or a log.
(() => {
  "use strict";
  const find = document.getElementById("find");
  const found = document.getElementById("found");
  const list = document.getElementById("list");
  if (!find || !list) return;
  const cards = [...list.querySelectorAll(".card")];

  find.addEventListener("input", () => {
    const wanted = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    for (const card of cards) {
      card.hidden = !wanted.every((word) => card.dataset.words.includes(word));
      if (!card.hidden) n += 1;
    }
    found.textContent = say("found", { n });
  });
  find.addEventListener("keydown", (event) => {
    if (event.key === "Enter") event.preventDefault();
    if (event.key === "Escape") find.blur();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    find.focus();
  });
})();
