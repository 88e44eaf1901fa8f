// Uploading: the file stays here until it is known who is who; what it says is only ever text.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const csrf = document.querySelector("meta[name=csrf]").content;
  const known = JSON.parse($("known").textContent);
  const roles = [["", "choose …"], ["therapist", "therapist"], ["client", "client"], ["other", "somebody else"]];
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
      return ["It did not go through (" + answer.status + ")."];
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
    $("file-said").textContent = "Looking at " + file.name + " …";
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
    const n = looked.n_turns;
    $("file-said").textContent = file.name + ": " + n + (n === 1 ? " turn" : " turns") + ".";
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
      row.append(element("p", "“" + one.first.join("” · “") + "”", { className: "hint quote-of", dir: "auto" }));
      return row;
    }));
    const told = { labelled: "As the file says. Please check.", inferred: "A guess from the talk. Please check: if it is swapped, the whole report is wrong." };
    $("speakers-hint").textContent = told[looked.source] || "The file does not say who is the therapist. Please say it.";
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
      const yes = Object.entries(kept.scopes).filter(([, said]) => said).map(([name]) => name.replace("_", " "));
      $("standing-said").textContent = "The consent of " + kept.given_at.slice(0, 10) + " holds (" + yes.join(", ") + "): use it";
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
    if (!file || !looked) lines.push("Choose a transcript that can be read.");
    const choices = [...document.querySelectorAll("#speaker-list select")];
    if (choices.some((one) => !one.value)) lines.push("Say of each speaker who it is.");
    if (!$("client").value.trim()) lines.push("Say which client.");
    if (isNew && !($("analyse").checked && $("human_review").checked)) {
      lines.push("Without the client's yes to both of the first questions nothing can be shown here.");
    }
    if (isNew && !$("given_at").value) lines.push("Say when the consent was given.");
    if (isNew && !/^[A-Za-z]{2}(-[A-Za-z0-9]{1,3})?$/.test($("jurisdiction").value.trim())) {
      lines.push("Say where the client is, such as DE or US-CA.");
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
    $("sending").textContent = "Sending …";
    try {
      const answer = await fetch("/review/upload", { method: "POST", headers: { "X-CSRF-Token": csrf }, body: form });
      if (answer.ok) return location.assign((await answer.json()).place);
      problems(await refused(answer));
    } catch {
      problems(["It did not go through: the service does not answer. Nothing was lost; try again."]);
    }
    $("send").disabled = false;
    $("sending").textContent = "";
  });
  showConsent();
})();
