// The address is the state: every change goes through it, so that each view can be shared and the back button works.

let state = stateOf(location.hash);
let routed = null;
let shown = { key: null, found: [], counts: [] };
const search = document.getElementById("search");
const sort = document.getElementById("sort");

function go(next, { replace = false } = {}) {
  const address = addressOf({ ...next, view: next.view === "overview" ? "overview" : "items" });
  if (address === (location.hash || "#")) return;
  if (replace) location.replace(address);
  else location.hash = address;
  route(); // at once: the event comes later, and until then the next key would start from the old state
}

function route() {
  state = stateOf(location.hash);
  routed = location.hash;
  document.getElementById("overview").hidden = state.view !== "overview";
  document.getElementById("items").hidden = state.view !== "items";
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === state.view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.body.classList.toggle("in-items", state.view === "items");
  if (state.view === "overview") {
    document.title = `${page.project} · dataset report`;
    document.body.classList.remove("has-item");
    window.scrollTo(0, 0);
    return;
  }
  const key = addressOf({ ...state, item: null });
  const fresh = key !== shown.key;
  if (fresh) {
    shown = { key, ...filtered(state) };
    showFacets(state, shown.counts);
    showChosen(state);
    const all = shown.found.length === total;
    document.getElementById("found").textContent = all ? `${number(total)} samples` : `${number(shown.found.length)} of ${number(total)} samples`;
    sort.value = state.sort;
    if (search.value !== state.q) search.value = state.q;
  }
  showItem(state, shown.found);
  showList(state, shown.found, fresh);
  document.title = `${state.item ?? "Samples"} · ${page.project}`;
}

// Steps to another sample take the place of this one in the history: "back" leaves the samples, not the last twenty of them.
function step(by) {
  const at = state.item === null ? -1 : shown.found.indexOf(positions.get(state.item) ?? -1);
  const next = state.item === null ? (by > 0 ? 0 : -1) : at + by;
  if (shown.found[next] === undefined || (state.item !== null && at < 0)) return;
  go({ ...state, item: items.id[shown.found[next]] }, { replace: state.item !== null });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a.row, a[data-step]");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(stateOf(link.hash), { replace: state.item !== null });
  if (link.classList.contains("row")) list.focus({ preventScroll: true });
});

document.addEventListener("keydown", (event) => {
  if (state.view !== "items" || event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.closest?.("input[type=search], select, textarea");
  if (event.key === "Escape" && typing === search) search.blur();
  else if (event.key === "Escape" && state.item !== null) go({ ...state, item: null });
  else if (typing) return;
  else if (event.key === "/") search.focus();
  else if (event.key === "j") step(1);
  else if (event.key === "k") step(-1);
  else if (event.key === "ArrowDown" && event.target === list) step(1);
  else if (event.key === "ArrowUp" && event.target === list) step(-1);
  else return;
  event.preventDefault();
});

search.addEventListener("input", () => go({ ...state, item: null, q: search.value }, { replace: state.q !== "" && search.value !== "" }));
sort.addEventListener("change", () => go({ ...state, sort: sort.value }));
list.addEventListener("scroll", () => drawRows(state, shown.found), { passive: true });
new ResizeObserver(() => { if (state.view === "items" && shown.key !== null) drawRows(state, shown.found); }).observe(list);
document.getElementById("filters").addEventListener("click", (event) => {
  const open = document.body.classList.toggle("filters-open");
  event.currentTarget.setAttribute("aria-expanded", String(open));
});
window.addEventListener("hashchange", () => { if (location.hash !== routed) route(); });

buildFacets();
route();
// the texts that search reads are made in idle moments, so that the first search is as quick as the others
(function prepare(i) {
  if (i < total) requestIdleCallback((idle) => {
    while (i < total && idle.timeRemaining() > 2) loweredOf(i++);
    prepare(i);
  });
})(0);
