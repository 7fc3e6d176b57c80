// From values to elements. Text only ever becomes text nodes; a modality's markup passes a list of what is allowed.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null && value !== undefined) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const TAGS = new Set(("A ABBR AUDIO B BDI BR CODE DD DIV DL DT EM FIGCAPTION FIGURE I IMG LI MARK OL P PRE S SMALL SOURCE SPAN STRONG " +
  "SUB SUP TABLE TBODY TD TH THEAD TR U UL VIDEO WBR").split(" "));
const ATTRIBUTES = new Set("alt class colspan controls dir height lang loading preload rowspan src style title type width".split(" "));

function fragment(html) {
  // a parsed document is inert: nothing in it runs or loads before it is adopted
  const parsed = new DOMParser().parseFromString(html ?? "", "text/html");
  for (const node of [...parsed.body.querySelectorAll("*")]) {
    if (!TAGS.has(node.tagName)) {
      node.remove();
      continue;
    }
    for (const { name, value } of [...node.attributes]) {
      if (!ATTRIBUTES.has(name) || (name === "src" && !/^(data:(image|audio|video)\/|blob:|https?:|[^:]*$)/i.test(value))) node.removeAttribute(name);
    }
  }
  const made = document.createDocumentFragment();
  made.append(...parsed.body.childNodes);
  return made;
}

function patternOf(terms) {
  if (!terms.length) return null;
  const escaped = [...terms].sort((a, b) => b.length - a.length).map((term) => term.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(escaped.join("|"), "gi");
}

function marked(text, pattern) {
  if (!pattern) return [text];
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(text.slice(end, match.index), element("mark", {}, match[0]));
    end = match.index + match[0].length;
  }
  return [...parts, text.slice(end)];
}

function markWithin(root, pattern) {
  if (!pattern) return;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) found.push(walker.currentNode);
  for (const node of found) node.replaceWith(...marked(node.data, pattern));
}

// Two lines of an item: its text, from shortly before the first match, or what the modality shows where it has none.
function preview(i, pattern) {
  const text = textOf(i);
  if (!text) return [fragment(items.html[i])];
  const first = pattern ? text.search(pattern) : -1;
  const from = first > 60 ? text.lastIndexOf(" ", first - 30) + 1 || first - 30 : 0;
  return [...(from ? ["… "] : []), ...marked(text.slice(from, from + 400), pattern)];
}

const number = (value) => value.toLocaleString("en");
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
function moment(seconds) {
  const at = new Date(seconds * 1000);
  const two = (value) => String(value).padStart(2, "0");
  const day = `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${at.getUTCFullYear()}`;
  return element("time", { datetime: at.toISOString() }, `${day}, ${two(at.getUTCHours())}:${two(at.getUTCMinutes())} UTC`);
}

const shareOf = (value) => (value > 0.99 && value < 1 ? "> 99 %" : value > 0 && value < 0.01 ? "< 1 %" : `${Math.round(100 * value)} %`);
const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);
