// The list of samples. Only the rows in sight exist, so that twenty thousand scroll like twenty.

const list = document.getElementById("list");
const rows = document.getElementById("rows");
const BEYOND = 6; // rows kept above and below what is in sight
let rowHeight = 0;
let drawn = { found: null, from: 0, to: 0, item: null };

function showList(state, found, fresh) {
  rowHeight ||= parseFloat(getComputedStyle(list).getPropertyValue("--row")) || 80;
  rows.style.height = `${found.length * rowHeight}px`;
  const nothing = document.getElementById("nothing");
  nothing.hidden = found.length > 0;
  if (!found.length) {
    const clear = element("button", { type: "button" }, "Clear the filters");
    clear.addEventListener("click", clearFilters);
    nothing.replaceChildren(total ? "No sample passes these filters. " : "Nothing has been collected yet.", ...(total ? [clear] : []));
  }
  const at = state.item === null ? -1 : found.indexOf(positions.get(state.item) ?? -1);
  if (fresh) list.scrollTop = 0;
  if (at >= 0) reveal(at);
  drawn.found = null;
  drawRows(state, found);
}

function drawRows(state, found) {
  const from = Math.max(0, Math.floor(list.scrollTop / rowHeight) - BEYOND);
  const to = Math.min(found.length, Math.ceil((list.scrollTop + list.clientHeight) / rowHeight) + BEYOND);
  if (drawn.found === found && drawn.from === from && drawn.to === to && drawn.item === state.item) return;
  const pattern = patternOf(termsOf(state.q));
  const made = [];
  for (let at = from; at < to; at++) made.push(rowOf(state, found, at, pattern));
  rows.replaceChildren(...made);
  const selected = made.find((row) => row.getAttribute("aria-selected") === "true");
  if (selected) list.setAttribute("aria-activedescendant", selected.id);
  else list.removeAttribute("aria-activedescendant");
  drawn = { found, from, to, item: state.item };
}

function rowOf(state, found, at, pattern) {
  const i = found[at];
  const id = items.id[i];
  const row = element("a", {
    class: "row", role: "option", id: `row-${i}`, tabindex: "-1", href: addressOf({ ...state, item: id }),
    "aria-selected": String(state.item === id), "aria-posinset": at + 1, "aria-setsize": found.length,
  }, element("span", { class: "preview", dir: "auto" }, ...preview(i, pattern)), factsOf(i));
  row.style.top = `${at * rowHeight}px`;
  return row;
}

function factsOf(i) {
  const facts = element("span", { class: "facts" });
  facts.append(labelOf(i), element("span", {}, `${names.split[items.split[i]]} split`), element("span", {}, `from ${names.source[items.source[i]]}`));
  if (items.prediction[i] === 1) facts.append(element("span", { class: "differs" }, predictionOf(i)));
  return facts;
}

// The label as one word, or why there is none.
function labelOf(i) {
  const status = names.status[items.status[i]];
  const word = items.value[i] >= 0 ? names.value[items.value[i]] : capital(status);
  return element("span", { class: `label ${status}` }, element("i", { "aria-hidden": "true" }), word || "(empty)");
}

function predictionOf(i) {
  const confidence = items.confidence[i];
  return `predicted ${names.predicted[items.predicted[i]]}${confidence === null ? "" : `, ${shareOf(confidence)}`}`;
}

function reveal(at) {
  const top = at * rowHeight;
  if (top < list.scrollTop) list.scrollTop = top;
  else if (top + rowHeight > list.scrollTop + list.clientHeight) list.scrollTop = top + rowHeight - list.clientHeight;
}
