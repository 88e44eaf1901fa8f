// Live progress: what the service says while a session is scored.
(() => {
  "use strict";
  const steps = document.getElementById("steps");
  const said = document.getElementById("said");
  if (!steps) return;
  const order = ["taken", "queued", "running", "done"];

  function show(status) {
    const at = order.indexOf(status);
    for (const step of steps.children) {
      const place = order.indexOf(step.dataset.step);
      step.className = place < at || status === "done" ? "past" : place === at ? "now" : "";
    }
    said.textContent = say(order.includes(status) ? status : "over");
  }

  show(steps.dataset.status);
  const events = new EventSource(steps.dataset.place + "/progress");
  events.addEventListener("status", (event) => {
    show(event.data);
    if (event.data === "queued" || event.data === "running") return;
    events.close();
    location.replace(steps.dataset.place);
  });
})();
