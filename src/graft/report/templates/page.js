"use strict";
// The one script of the report: copy buttons, and search and sort of the changed rows. The page can be read without it.
// Its policy allows this text by its hash, and no text becomes markup here: only textContent is set.

const copied = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "hidden";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
};

for (const block of document.querySelectorAll("pre.block, .notice pre")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const done = await copied(block.textContent.trim());
    if (!done) getSelection().selectAllChildren(block);
    button.textContent = done ? "Copied" : "Selected: copy it with the keyboard";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  const frame = document.createElement("div");
  frame.className = "copyable";
  block.replaceWith(frame);
  frame.append(block, button);
}

const changed = document.querySelector(".changed");
if (changed) {
  const folded = (text) => text.normalize("NFKC").toLowerCase();
  const lists = [...changed.querySelectorAll("ol.rows")];
  const rows = [...changed.querySelectorAll("ol.rows > li")];
  const FIRST = 20;  // of each kind, as the page is written
  const isBad = (row) => row.classList.contains("bad");
  const texts = new Map(rows.map((row) => [row, folded(row.textContent)]));
  const more = changed.querySelector("details.more");
  const control = (name) => changed.querySelector(`[data-control="${name}"]`);
  const orders = {
    change: (row) => Number(row.dataset.rank),
    row: (row) => Number(row.dataset.row),
    longest: (row) => -Number(row.dataset.length),
    shortest: (row) => Number(row.dataset.length),
  };
  const update = () => {
    const words = folded(control("search").value).split(/\s+/).filter(Boolean);
    const chosen = ["reference", "before", "after"].map((name) => [name, control(name)?.value ?? ""]).filter((pair) => pair[1]);
    const kind = changed.querySelector('input[name="kind"]:checked').value;
    const fits = (row) =>
      words.every((word) => texts.get(row).includes(word)) && chosen.every(([name, value]) => row.dataset[name] === value);
    const key = orders[control("sort").value];
    const found = rows.filter(fits).sort((one, other) => key(one) - key(other));
    for (const row of rows) row.hidden = true;
    for (const row of found) row.hidden = false;
    const narrowed = words.length > 0 || chosen.length > 0;
    const first = new Set([true, false].flatMap((bad) => found.filter((row) => isBad(row) === bad).slice(0, FIRST)));
    const isShown = (row) => narrowed || lists.length === 1 || first.has(row);
    lists[0].replaceChildren(...found.filter(isShown));
    lists[1]?.replaceChildren(...found.filter((row) => !isShown(row)));
    if (more) more.hidden = narrowed;
    const shown = found.filter((row) => kind === "all" || row.classList.contains(`is-${kind}`)).length;
    control("count").textContent = narrowed ? `${shown} of ${rows.length} rows` : "";
  };
  changed.addEventListener("input", update);
  changed.querySelector(".scripted").hidden = false;
}
