// The page's data, and the address that says what of it is shown.

const page = JSON.parse(document.getElementById("data").textContent);
const items = page.items;
const names = page.names;
const total = items.id.length;
const positions = new Map(items.id.map((id, i) => [id, i]));

items.labeler = items.annotations.map((all) => [...new Set(all.filter((one) => !one[7]).map((one) => one[0]))].filter((code) => code >= 0));

const FACETS = [
  { key: "status", title: "Status", column: "status", names: names.status },
  { key: "class", title: "Class", column: "classes", names: names.class },
  { key: "prediction", title: "Prediction", column: "prediction", names: names.prediction },
  { key: "split", title: "Split", column: "split", names: names.split },
  { key: "source", title: "Source", column: "source", names: names.source },
  { key: "labeler", title: "Labeler", column: "labeler", names: names.labeler },
];
const SORTS = ["newest", "surest", "unsurest"];

// State of the page as it stands in the address: #class=a&class=b&split=test&q=words&sort=newest&item=<id>
function stateOf(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = { q: given.get("q") ?? "", item: given.get("item"), sort: "", chosen: {} };
  if (SORTS.includes(given.get("sort"))) state.sort = given.get("sort");
  for (const { key } of FACETS) state.chosen[key] = [...new Set(given.getAll(key))];
  state.view = [...given.keys()].length ? "items" : "overview";
  return state;
}

function addressOf(state) {
  const parts = new URLSearchParams();
  for (const { key } of FACETS) for (const name of state.chosen[key]) parts.append(key, name);
  if (state.q) parts.set("q", state.q);
  if (state.sort) parts.set("sort", state.sort);
  if (state.item) parts.set("item", state.item);
  return "#" + (parts.toString() || (state.view === "items" ? "view=items" : ""));
}

// The text of each item, without the markup in which the modality shows it; made once, when it is first needed.
const ENTITIES = { "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'", "&#39;": "'", "&amp;": "&" };
const texts = new Array(total);
function textOf(i) {
  return (texts[i] ??= (items.html[i] ?? "").replace(/<[^>]*>/g, " ").replace(/&(?:lt|gt|quot|amp|#x27|#39);/g, (e) => ENTITIES[e]).trim());
}
const lowered = new Array(total);
function loweredOf(i) {
  return (lowered[i] ??= textOf(i).toLowerCase());
}

// Words that must all occur; "words in quotes" must occur together.
function termsOf(query) {
  return [...query.matchAll(/"([^"]+)"|[^\s"]+/g)].map((m) => (m[1] ?? m[0]).toLowerCase());
}

let searched = { query: "", hits: null };
function hitsOf(query) {
  if (query === searched.query) return searched.hits;
  const terms = termsOf(query);
  let hits = null;
  if (terms.length) {
    hits = new Uint8Array(total);
    const id = /^[0-9a-f]{8,}$/.test(query) ? query : null;
    for (let i = 0; i < total; i++) {
      if (terms.every((term) => loweredOf(i).includes(term)) || (id && items.id[i].startsWith(id))) hits[i] = 1;
    }
  }
  searched = { query, hits };
  return hits;
}

// The items that pass every filter, and for each facet how many would pass with each of its names chosen alone.
function filtered(state) {
  const hits = hitsOf(state.q.trim());
  const counts = FACETS.map((facet) => new Uint32Array(facet.names.length));
  const columns = FACETS.map((facet) => items[facet.column]);
  const wanted = FACETS.map((facet) => {
    const chosen = state.chosen[facet.key];
    return chosen.length ? new Set(chosen.map((name) => facet.names.indexOf(name)).filter((code) => code >= 0)) : null;
  });
  const found = [];
  for (let i = 0; i < total; i++) {
    if (hits && !hits[i]) continue;
    let failed = -1;
    let fails = 0;
    for (let f = 0; f < columns.length && fails < 2; f++) {
      if (!wanted[f]) continue;
      const code = columns[f][i];
      if (typeof code === "number" ? !wanted[f].has(code) : !code.some((one) => wanted[f].has(one))) {
        fails++;
        failed = f;
      }
    }
    if (fails > 1) continue;
    if (fails === 0) found.push(i);
    for (let f = fails ? failed : 0; f < (fails ? failed + 1 : columns.length); f++) {
      const code = columns[f][i];
      if (typeof code !== "number") for (const one of code) counts[f][one]++;
      else if (code >= 0) counts[f][code]++;
    }
  }
  return { found: sorted(found, state.sort), counts };
}

function sorted(found, sort) {
  if (sort === "newest") return found.sort((a, b) => (items.collected[b] ?? 0) - (items.collected[a] ?? 0) || a - b);
  if (!sort) return found;
  const sign = sort === "surest" ? -1 : 1;
  const last = sort === "surest" ? -1 : 2;
  return found.sort((a, b) => sign * ((items.confidence[a] ?? last) - (items.confidence[b] ?? last)) || a - b);
}
