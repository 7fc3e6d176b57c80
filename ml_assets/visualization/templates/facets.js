// The column of filters: each name with how many samples it would leave, and a bar for it.

const facetRows = FACETS.map((facet) => facet.names.map(() => null));

function buildFacets() {
  const column = document.getElementById("facets");
  FACETS.forEach((facet, f) => {
    if (!facet.names.length || (facet.key === "prediction" && !items.predicted.some((code) => code >= 0))) return;
    const list = element("ul");
    facet.names.forEach((name, code) => {
      const box = element("input", { type: "checkbox", name: facet.key, value: name });
      const count = element("span", { class: "count" });
      const bar = element("i");
      const row = element("li", {}, element("label", {}, box, element("span", { class: "word", title: name }, name || "(empty)"), count,
        element("span", { class: "bar", "aria-hidden": "true" }, bar)));
      box.addEventListener("change", () => toggle(facet.key, name, box.checked));
      facetRows[f][code] = { row, box, count, bar };
      list.append(row);
    });
    column.append(element("fieldset", {}, element("legend", {}, facet.title), list));
  });
}

function showFacets(state, counts) {
  FACETS.forEach((facet, f) => {
    const most = Math.max(1, ...counts[f]);
    const chosen = new Set(state.chosen[facet.key]);
    facet.names.forEach((name, code) => {
      const parts = facetRows[f][code];
      if (!parts) return;
      parts.box.checked = chosen.has(name);
      parts.count.textContent = number(counts[f][code]);
      parts.bar.style.width = `${(100 * counts[f][code]) / most}%`;
      parts.row.classList.toggle("none", counts[f][code] === 0 && !chosen.has(name));
    });
  });
}

function toggle(key, name, on) {
  const chosen = state.chosen[key].filter((other) => other !== name);
  go({ ...state, item: null, chosen: { ...state.chosen, [key]: on ? [...chosen, name] : chosen } });
}

// The filters in use, each with a button that takes it away.
function showChosen(state) {
  const chosen = document.getElementById("chosen");
  const chips = FACETS.flatMap((facet) => state.chosen[facet.key].map((name) => {
    const button = element("button", { type: "button", "aria-label": `Remove filter ${facet.title} ${name}` },
      element("span", {}, `${facet.title}: `), name || "(empty)", element("b", { "aria-hidden": "true" }, "×"));
    button.addEventListener("click", () => toggle(facet.key, name, false));
    return element("li", {}, button);
  }));
  if (chips.length || state.q) {
    const clear = element("button", { type: "button", class: "plain" }, "Clear all");
    clear.addEventListener("click", clearFilters);
    chips.push(element("li", {}, clear));
  }
  const held = chosen.contains(document.activeElement);
  chosen.replaceChildren(...chips);
  if (held) list.focus();
}

function clearFilters() {
  go({ ...stateOf("#view=items"), sort: state.sort, item: null });
}
