// One sample by itself: its content, its label and who gave it, where it comes from, what a model says.

const pane = document.getElementById("item");
const covers = matchMedia("(max-width: 1080px)"); // the item lies over the list, as in the style sheet

function showItem(state, found) {
  const held = pane.contains(document.activeElement) ? document.activeElement.title : null;
  drawItem(state, found);
  document.body.classList.toggle("has-item", state.item !== null);
  list.inert = document.getElementById("facets").inert = covers.matches && state.item !== null;
  if (held !== null) (state.item === null ? list : [...pane.querySelectorAll("a")].find((link) => link.title === held) ?? pane).focus();
}

function drawItem(state, found) {
  if (state.item === null) {
    pane.replaceChildren(total ? element("p", { class: "empty alone" }, "Choose a sample from the list, or press ", element("kbd", {}, "j"), ".") : "");
    return;
  }
  const i = positions.get(state.item);
  const at = i === undefined ? -1 : found.indexOf(i);
  const bar = barOf(state, found, i, at);
  if (i === undefined) {
    pane.replaceChildren(bar, element("p", { class: "empty alone" }, "This page holds no sample ", element("code", {}, state.item), "."));
    return;
  }
  const content = element("div", { class: "content", dir: "auto" }, fragment(items.html[i]));
  markWithin(content, patternOf(termsOf(state.q)));
  pane.replaceChildren(
    bar,
    element("header", {}, element("h2", {}, labelOf(i)), verdictOf(i)),
    content,
    ...(items.length[i] ? [element("p", { class: "cut" }, `The first ${number(page.limit)} of ${number(items.length[i])} are shown.`)] : []),
    element("h3", {}, "How it was labelled"),
    historyOf(i),
    element("h3", {}, "Where it comes from"),
    provenanceOf(i),
  );
  pane.scrollTop = 0;
}

function barOf(state, found, i, at) {
  const link = (word, title, target) => target === undefined
    ? element("span", { class: "off", "aria-hidden": "true" }, word)
    : element("a", { href: addressOf({ ...state, item: items.id[target] }), title, "aria-label": title, "data-step": "" }, word);
  return element("div", { class: "steps" },
    element("a", { class: "close", href: addressOf({ ...state, item: null, view: "items" }), title: "Back to the list (Esc)" }, "← List"),
    element("span", { class: "soft" }, at >= 0 ? `${number(at + 1)} of ${number(found.length)}` : i === undefined ? "" : "not among the filtered"),
    link("↑", "Previous sample (k)", at > 0 ? found[at - 1] : undefined),
    link("↓", "Next sample (j)", at >= 0 ? found[at + 1] : undefined));
}

function verdictOf(i) {
  const made = element("p", { class: "verdict" });
  if (items.predicted[i] >= 0) {
    const model = items.model[i] >= 0 ? ` by ${names.model[items.model[i]]}` : "";
    made.append(element("span", { class: items.prediction[i] === 1 ? "differs" : "" }, capital(predictionOf(i)) + model));
  }
  const task = taskOf(i);
  if (task) made.append(task);
  return made.childNodes.length ? made : null;
}

function taskOf(i) {
  if (items.task[i] === null || items.project[i] === null || !page.label_studio) return null;
  const href = `${page.label_studio}/projects/${items.project[i]}/data?task=${items.task[i]}`;
  return element("a", { href, target: "_blank", rel: "noopener" }, "Open in Label Studio ↗");
}

function historyOf(i) {
  const all = items.annotations[i];
  if (!all.length) {
    const waits = names.status[items.status[i]] === "waiting";
    return element("p", { class: "empty" }, waits ? "Nobody has answered yet; it waits in Label Studio." : "Nobody has labelled it.");
  }
  const agreement = items.agreement[i];
  const people = new Set(all.filter((one) => !one[7]).map((one) => one[0])).size;
  return element("ol", { class: "history" }, ...all.map((one) => annotationOf(one, i)),
    ...(people > 1 && agreement !== null ? [element("li", { class: "soft" }, `Agreement ${agreement.toFixed(2)} among ${people} labelers`)] : []));
}

function annotationOf([labeler, kind, value, created, updated, seconds, origin, deleted], i) {
  const who = names.labeler[labeler] ?? "unknown";
  const facts = [kind >= 0 && names.kind[kind] !== "person" && names.kind[kind] !== who ? names.kind[kind] : null,
    created === null ? null : moment(created), seconds === null ? null : `${Math.round(seconds)} s`, origin];
  const line = element("small", {});
  facts.filter(Boolean).forEach((fact, n) => line.append(...(n ? [" · "] : []), fact));
  if (updated !== null && created !== null && updated > created) line.append(" · edited ", moment(updated));
  if (deleted) line.append(" · taken back");
  const other = !deleted && items.value[i] >= 0 && value !== items.value[i];
  return element("li", { class: deleted ? "deleted" : null },
    element("span", { class: `answer${other ? " differs" : ""}` }, value >= 0 ? names.value[value] : "no answer"), " ", element("b", {}, who), line);
}

function provenanceOf(i) {
  const made = element("dl", { class: "facts-list" });
  const add = (term, ...value) => made.append(element("div", {}, element("dt", {}, term), element("dd", {}, ...value)));
  add("Source", names.source[items.source[i]] ?? "unknown");
  if (items.origin[i]) add("Origin", items.origin[i]);
  const by = { source: "fixed by its source", hash: "by the hash of its content" }[items.split_by[i]];
  add("Split", names.split[items.split[i]] ?? "unassigned", ...(by ? [element("small", {}, ` ${by}`)] : []));
  if (items.group[i]) add("Group", items.group[i]);
  if (items.collected[i] !== null) add("Collected", moment(items.collected[i]));
  if (items.pushed[i] !== null) {
    const reason = items.reason[i] >= 0 ? ` ${names.reason[items.reason[i]]}` : "";
    add("Asked", moment(items.pushed[i]), element("small", {}, reason));
  }
  for (const [name, value] of columnsOf(i)) add(name, typeof value === "string" ? value : JSON.stringify(value));
  add("Id", element("a", { href: `#item=${items.id[i]}`, title: "Address of this sample" }, element("code", {}, items.id[i])));
  return made;
}

function columnsOf(i) {
  if (!items.columns[i]) return [];
  try {
    const columns = JSON.parse(items.columns[i]);
    return columns && typeof columns === "object" ? Object.entries(columns) : [];
  } catch (error) {
    if (error instanceof SyntaxError) return [["columns", items.columns[i]]];
    throw error;
  }
}
