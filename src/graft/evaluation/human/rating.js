"use strict";
// All that models wrote is put on the page as text, never as markup.
const $ = id => document.getElementById(id);
const sheet = JSON.parse($("sheet").textContent);
const CHOICES = {left: "Answer 1", right: "Answer 2", tie: "Equally good", both_bad: "Both bad"};
const KEYS = {"1": "left", "2": "right", "=": "tie", "t": "tie", "b": "both_bad", "0": "both_bad"};
let state = null, questions = [], chosen = null, busy = false, since = 0;

// ---- where judgments go: to graft on this machine, or into this sheet

const server = {
  async ask(path, body) {
    const headers = {"Authorization": "Bearer " + location.hash.slice(1)};
    const options = body === undefined ? {headers} : {method: "POST", headers, body: JSON.stringify(body)};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let answer;
    try { answer = await fetch(path, {...options, cache: "no-store", credentials: "omit"}); }
    catch (error) { throw new Error("graft does not answer. Is it still running in the terminal? Nothing that was saved is lost."); }
    const found = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(found.error || "graft answered " + answer.status);
    return found;
  },
  async begin() { return this.ask("/api/rating"); },
  async at(place) { return this.ask("/api/row" + (place === null ? "" : "?place=" + place)); },
  async judge(judgment) { return this.ask("/api/judgment", judgment); },
};

const offline = {
  said: {},
  memory: sheet && "graft-rating-" + sheet.id + "-" + sheet.rater,
  async begin() {
    try { this.said = JSON.parse(localStorage.getItem(this.memory)) || {}; } catch (error) { this.said = {}; }
    return {questions: sheet.questions};
  },
  async at(place) {
    const items = sheet.items, open = items.findIndex(item => !this.said[item.key]);
    const at = place === null ? (open < 0 ? items.length : open) : Math.max(0, Math.min(place, items.length));
    const item = at < items.length ? {...items[at], said: this.said[items[at].key] || null} : null;
    const done = items.filter(each => this.said[each.key]).length;
    return {rater: sheet.rater, done, total: items.length, place: at, item};
  },
  async judge(judgment) {
    this.said[judgment.item] = judgment;
    try { localStorage.setItem(this.memory, JSON.stringify(this.said)); } catch (error) { /* kept until the page closes */ }
    return this.at(null);
  },
  download() {
    const found = {graft: "judgments", id: sheet.id, rater: sheet.rater, judgments: Object.values(this.said)};
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(found, null, 1)], {type: "application/json"}));
    link.download = "judgments-" + sheet.rater.replace(/[^A-Za-z0-9_-]+/g, "-") + ".json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  },
};
const place = sheet ? offline : server;

// ---- the page

function put(element, text) {
  element.textContent = text === "" ? "(nothing)" : text;
  element.classList.toggle("empty", text === "");
}

function show(found) {
  state = found;
  const item = state.item;
  $("problem").hidden = true;
  $("rater").textContent = state.rater;
  $("count").textContent = state.done + " of " + state.total + " judged";
  $("progress").max = Math.max(1, state.total);
  $("progress").value = state.done;
  $("row").hidden = $("below").hidden = !item;
  $("over").hidden = !!item;
  $("download").hidden = !sheet;
  if (!item) {
    if (sheet) $("then").textContent = "Save the judgments as a file, and send the file back to the person who sent you this page.";
    $("below").hidden = state.total === 0;
    finish();
    return;
  }
  $("title").textContent = "Row " + (state.place + 1) + ": which answer is better?";
  put($("prompt"), item.prompt);
  put($("left").querySelector(".text"), item.answers[0]);
  put($("other").querySelector(".text"), item.answers[1]);
  $("reference").hidden = item.reference === null || item.reference === undefined;
  if (!$("reference").hidden) put($("right"), item.reference);
  $("comment").value = item.said ? item.said.comment : "";
  for (const input of $("questions").querySelectorAll("input")) {
    const given = item.said && item.said.criteria && item.said.criteria[input.dataset.name];
    input.checked = !!given && given[+input.dataset.side] === +input.value;
  }
  $("said").textContent = item.said ? "You said: " + CHOICES[item.said.choice] : "";
  choose(item.said ? item.said.choice : null);
  document.querySelector(".choices").hidden = false;
  $("back").disabled = state.place === 0;
  $("next").hidden = !(questions.length || item.said);
  since = performance.now();
  scrollTo(0, 0);
  $("prompt").scrollTop = 0;
  $("title").focus({preventScroll: true});
  $("status").textContent = state.done + " of " + state.total + " judged";
}

function finish() {
  document.querySelector(".choices").hidden = $("next").hidden = true;
  $("said").textContent = "";
  $("back").disabled = false;
  $("thanks").focus({preventScroll: true});
}

function choose(choice) {
  chosen = choice;
  for (const button of document.querySelectorAll("[data-choice]")) {
    button.classList.toggle("chosen", button.dataset.choice === choice);
    button.setAttribute("aria-pressed", String(button.dataset.choice === choice));
  }
  $("left").classList.toggle("chosen", choice === "left");
  $("other").classList.toggle("chosen", choice === "right");
  $("next").disabled = choice === null;
}

function grades() {
  const found = {};
  for (const input of $("questions").querySelectorAll("input:checked")) {
    found[input.dataset.name] = found[input.dataset.name] || [null, null];
    found[input.dataset.name][+input.dataset.side] = +input.value;
  }
  return found;
}

async function during(work) {
  if (busy) return;
  busy = true;
  try { show(await work()); }
  catch (error) { $("problem").textContent = error.message; $("problem").hidden = false; scrollTo(0, 0); }
  finally { busy = false; }
}

function pick(choice) {
  if (busy || !state || !state.item) return;
  choose(choice);
  if (!questions.length) save();
}

function save() {
  if (!state || !state.item || chosen === null) return;
  const again = state.item.said, at = state.place;
  const judgment = {item: state.item.key, choice: chosen, criteria: grades(), comment: $("comment").value,
    seconds: Math.round((performance.now() - since) / 100) / 10};
  during(async () => {
    const found = await place.judge(judgment);
    return again ? place.at(at + 1) : found;  // someone who went back goes on from there
  });
}

function back() {
  if (state && state.place > 0) during(() => place.at(state.place - 1));
}

function asked(question) {
  const box = document.createElement("fieldset"), legend = document.createElement("legend");
  legend.textContent = question.question;
  box.append(legend);
  const ends = (question.labels || []).filter(text => text);
  if (ends.length === 2) {
    const line = document.createElement("p");
    line.className = "ends";
    line.textContent = question.low + ": " + question.labels[0] + " … " + question.high + ": " + question.labels[1];
    box.append(line);
  }
  for (const side of [0, 1]) {
    const row = document.createElement("div"), name = document.createElement("span");
    row.className = "scale";
    name.textContent = "Answer " + (side + 1);
    row.append(name);
    for (let grade = question.low; grade <= question.high; grade++) {
      const label = document.createElement("label"), input = document.createElement("input"), text = document.createElement("span");
      Object.assign(input, {type: "radio", name: question.name + "-" + side, value: String(grade)});
      Object.assign(input.dataset, {name: question.name, side: String(side)});
      input.setAttribute("aria-label", question.question + " Answer " + (side + 1) + ": " + grade);
      text.textContent = String(grade);
      label.append(input, text);
      row.append(label);
    }
    box.append(row);
  }
  return box;
}

for (const button of document.querySelectorAll("[data-choice]")) button.addEventListener("click", () => pick(button.dataset.choice));
$("next").addEventListener("click", save);
$("back").addEventListener("click", back);
$("download").addEventListener("click", () => offline.download());
addEventListener("hashchange", () => location.reload());
addEventListener("keydown", event => {
  const writing = event.target === $("comment");
  if (writing && event.key === "Escape") { $("comment").blur(); return; }
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); save(); return; }
  if (writing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const onControl = event.target.closest && event.target.closest("button, input");
  if (KEYS[event.key]) { event.preventDefault(); pick(KEYS[event.key]); }
  else if (event.key === "c") { event.preventDefault(); $("comment").focus(); }
  else if (event.key === "Enter" && !(onControl && onControl.tagName === "BUTTON")) { event.preventDefault(); save(); }
  else if (event.key === "Backspace" || (event.key === "ArrowLeft" && !onControl)) { event.preventDefault(); back(); }
});
during(async () => {
  const found = await place.begin();
  questions = found.questions;
  $("questions").replaceChildren(...questions.map(asked));
  return place.at(null);
});
