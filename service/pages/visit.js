// A visit ends where nothing happens: the page goes with it, and somebody who reads keeps it.
(() => {
  "use strict";
  const idleMs = 1000 * Number(document.querySelector("meta[name=idle]").content);
  const csrf = document.querySelector("meta[name=csrf]").content;
  const everyMs = 60_000;
  let actedAt = Date.now();
  let toldAt = Date.now();

  function acted() {
    actedAt = Date.now();
    if (actedAt - toldAt < everyMs) return;
    toldAt = actedAt;
    fetch("/review/alive", { method: "POST", headers: { "X-CSRF-Token": csrf } })
      .then((answer) => { if (answer.status === 401) leave(); })
      .catch(() => {});
  }

  function leave() {
    document.body.hidden = true;
    location.replace("/review/sign-in?over=idle&next=" + encodeURIComponent(location.pathname));
  }

  for (const kind of ["keydown", "pointerdown", "scroll", "pointermove"]) {
    addEventListener(kind, acted, { passive: true, capture: true });
  }
  setInterval(() => { if (Date.now() - actedAt >= idleMs) leave(); }, 5_000);
  // A page that comes back from the browser's memory may be of a visit that is over.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
})();
