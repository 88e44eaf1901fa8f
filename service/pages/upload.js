// Uploading: the file stays here until it is known who is who; what it says is only ever text.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const csrf = document.querySelector("meta[name=csrf]").content;
  const known = JSON.parse($("known").textContent);
  const roles = [["", say("choose")], ...["therapist", "client", "other"].map((one) => [one, say(one)])];
  let file = null;
  let looked = null;

  function element(name, words, more = {}) {
    const made = document.createElement(name);
    made.textContent = words;
    return Object.assign(made, more);
  }

  async function refused(answer) {
    try {
      const told = await answer.json();
      return [told.detail, ...(told.errors || []).map((one) => one.message)];
    } catch {
      return [say("failed", { status: answer.status })];
    }
  }

  function problems(lines) {
    $("problems").replaceChildren(...lines.map((line) => element("p", line, { className: "notice bad" })));
    if (lines.length) $("problems").scrollIntoView({ block: "center" });
  }

  async function look(given) {
    file = given;
    looked = null;
    $("speakers").hidden = true;
    if (!file) return;
    $("file-said").textContent = say("looking", { file: file.name });
    const answer = await fetch("/review/upload/look", {
      method: "POST",
      headers: {
        "X-CSRF-Token": csrf,
        "Content-Type": "application/octet-stream",
        "X-File-Name": encodeURIComponent(file.name).slice(0, 1000),
      },
      body: file,
    });
    if (!answer.ok) {
      $("file-said").textContent = (await refused(answer)).join(" ");
      file = null;
      return;
    }
    looked = await answer.json();
    $("file-said").textContent = say("turns", { n: looked.n_turns, file: file.name });
    ask();
  }

  function ask() {
    const list = $("speaker-list");
    list.replaceChildren(...looked.speakers.map((one, place) => {
      const row = document.createElement("li");
      const choice = element("select", "", { id: "role-" + place });
      choice.dataset.name = one.name;
      choice.replaceChildren(...roles.map(([value, words]) => element("option", words, { value })));
      choice.value = roles.some(([value]) => value === one.role) ? one.role : "";
      const label = element("label", one.name, { htmlFor: choice.id });
      label.dir = "auto";
      row.append(label, choice);
      row.append(element("p", say("quoted", { words: one.first.join(say("between")) }), { className: "hint quote-of", dir: "auto" }));
      return row;
    }));
    $("speakers-hint").textContent = say(["labelled", "inferred"].includes(looked.source) ? looked.source : "unlabelled");
    $("speakers").hidden = looked.speakers.length === 0;
  }

  const drop = $("drop");
  $("file").addEventListener("change", () => look($("file").files[0]));
  for (const kind of ["dragover", "dragenter"]) {
    drop.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) look(event.dataTransfer.files[0]);
  });

  function standing() {
    return Object.hasOwn(known, $("client").value) ? known[$("client").value] : null;
  }

  function showConsent() {
    const one = standing();
    const kept = one && one.consent;
    $("standing").hidden = !kept;
    if (kept) {
      const yes = Object.entries(kept.scopes).filter(([, said]) => said).map(([name]) => say("scopes." + name));
      $("standing-said").textContent = say("standing", { day: kept.given_at.slice(0, 10), scopes: yes.join(", ") });
    }
    $("new-consent").hidden = Boolean(kept && $("reuse").checked);
    if (one && one.number && !$("number").value) $("number").value = one.number;
  }
  $("client").addEventListener("input", showConsent);
  $("reuse").addEventListener("change", showConsent);

  function consent() {
    const one = standing();
    if (one && one.consent && $("reuse").checked) return one.consent;
    return {
      id: "con-" + crypto.getRandomValues(new Uint32Array(4)).join("-"),
      scopes: {
        analyse: $("analyse").checked,
        human_review: $("human_review").checked,
        research: $("research").checked,
        train: $("train").checked,
      },
      basis: $("basis").value,
      text_version: $("text_version").value.trim(),
      given_by: $("given_by").value,
      given_at: $("given_at").value + "T00:00:00Z",
      jurisdiction: $("jurisdiction").value.trim().toUpperCase(),
    };
  }

  function lacking() {
    const lines = [];
    const isNew = !$("new-consent").hidden;
    if (!file || !looked) lines.push(say("no_file"));
    const choices = [...document.querySelectorAll("#speaker-list select")];
    if (choices.some((one) => !one.value)) lines.push(say("no_role"));
    if (!$("client").value.trim()) lines.push(say("no_client"));
    if (isNew && !($("analyse").checked && $("human_review").checked)) {
      lines.push(say("no_consent"));
    }
    if (isNew && !$("given_at").value) lines.push(say("no_given_at"));
    if (isNew && !/^[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?$/.test($("jurisdiction").value.trim())) {
      lines.push(say("no_jurisdiction"));
    }
    return lines;
  }

  $("upload").addEventListener("submit", async (event) => {
    event.preventDefault();
    const lines = lacking();
    problems(lines);
    if (lines.length) return;
    const about = { client: $("client").value.trim(), consent: consent(), roles: {} };
    if ($("part2").checked) about.sensitivity = "part2";
    for (const one of document.querySelectorAll("#speaker-list select")) about.roles[one.dataset.name] = one.value;
    if ($("number").value) about.number = Number($("number").value);
    for (const name of ["day", "attendance", "modality"]) if ($(name).value) about[name] = $(name).value;
    const form = new FormData();
    form.append("file", file, file.name);
    form.append("session", JSON.stringify(about));
    $("send").disabled = true;
    $("sending").textContent = say("sending");
    try {
      const answer = await fetch("/review/upload", { method: "POST", headers: { "X-CSRF-Token": csrf }, body: form });
      if (answer.ok) return location.assign((await answer.json()).place);
      problems(await refused(answer));
    } catch {
      problems([say("unreachable")]);
    }
    $("send").disabled = false;
    $("sending").textContent = "";
  });
  showConsent();
})();
