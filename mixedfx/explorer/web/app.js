// The page: controls, the answer in a sentence, pictures and tables, all drawn anew from one state.

import { unpack } from "./decode.js";
import { answer, difference, ranks } from "./laws.js";
import { forest, heatMap, rankMap, savePng, saveSvg, saveText } from "./pictures.js";
import { pooling, rawEstimate } from "./raw.js";
import { fromFragment, toFragment } from "./state.js";
import { crossing, everybody, ticks } from "./subgroups.js";
import { count, csv, intervalText, nameOf, number, percent, places, share } from "./words.js";

const MOST_LINES = 150;
const MOST_RANKS = 40;

const content = unpack(JSON.parse(document.getElementById("data").textContent));
let state = fromFragment(content, window.location.hash);
let memory = new Map();

const byId = (id) => document.getElementById(id);

function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null) node.setAttribute(key, String(value));
  }
  node.append(...children);
  return node;
}

function fill(id, ...children) {
  byId(id).replaceChildren(...children);
}

function remembered(key, make) {
  if (!memory.has(key)) memory.set(key, make());
  return memory.get(key);
}

// ---- what is asked

function series() {
  return state.contrast * content.categories.length + state.category;
}

function population() {
  return content.populations.find((p) => p.name === state.people);
}

function answerOf(group) {
  const key = `${state.people}/${series()}/${group.cells.join(",")}`;
  return remembered(key, () => {
    const found = answer(population().law, series(), group);
    return { ...found, wide: found.interval(content.level), inner: found.interval(0.5) };
  });
}

function rawOf(group, allowed) {
  const own = allowed.map((set) => new Set(set));
  state.cross.forEach((k, i) => {
    if (group.levels.length) own[k] = new Set([group.levels[i]]);
  });
  const key = `raw/${state.people}/${series()}/${group.key}/${state.only.map((o) => o ?? "").join(";")}`;
  return remembered(key, () => rawEstimate(content, series(), group, own));
}

function ordered(rows) {
  if (state.sort === "name") return rows;
  const value = state.sort === "n" ? (r) => r.group.n : (r) => r.found.estimate;
  return [...rows].sort((a, b) => (value(b) || -Infinity) - (value(a) || -Infinity));
}

function view() {
  const allowed = ticks(content, state.only);
  const all = everybody(content, population(), allowed);
  const groups = all ? crossing(content, population(), state.cross, allowed) : [];
  const rows = groups.map((group) => ({ group, found: answerOf(group), raw: rawOf(group, allowed) }));
  const sds = rows.map((r) => r.found.sd).filter((sd) => sd > 0).sort((a, b) => a - b);
  const digits = places(sds[Math.floor((sds.length - 1) / 2)]);
  return { allowed, all, groups, rows: ordered(rows), digits };
}

// ---- controls

function box(kind, name, label, checked, change) {
  return element("label", { class: "choice" }, element("input", { type: kind, name, checked, onchange: change }), label);
}

function controls() {
  fill("cross", ...content.columns.map((column, k) => box("checkbox", "cross", column.label, state.cross.includes(k), (e) => {
    const others = state.cross.filter((j) => j !== k);
    update({ cross: e.target.checked ? [...others, k].sort((a, b) => a - b) : others, first: null, second: null });
  })));
  fill("columns", ...content.columns.map((column, k) => {
    const boxes = column.levels.map((level, code) => {
      const checked = state.only[k] === null || state.only[k].includes(code);
      return box("checkbox", `only.${column.name}`, level, checked, () => tick(k));
    });
    const every = element("button", { type: "button", class: "plain", onclick: () => tickAll(k) }, "all");
    every.setAttribute("aria-label", `all of ${column.label}`);
    const list = element("div", { class: column.levels.length > 8 ? "levels many" : "levels" }, ...boxes);
    return element("fieldset", { class: "column", "data-column": column.name }, element("legend", {}, column.label, " ", every), list);
  }));
  fill("people", ...content.populations.map((p) => box("radio", "people", p.label, p.name === state.people, () => update({ people: p.name }))));
  byId("people-field").hidden = content.populations.length < 2;
  choices("contrast", content.contrasts, state.contrast, (i) => update({ contrast: i }));
  choices("category", content.categories, state.category, (i) => update({ category: i }));
  const base = remembered("range", () => range());
  for (const id of ["threshold", "threshold-number"]) {
    const input = byId(id);
    if (id === "threshold") [input.min, input.max] = base.ends.map(String);
    input.step = id === "threshold" ? String(base.step) : "any";
    if (Number(input.value) !== state.threshold || input.value === "") input.value = String(state.threshold);
  }
}

// Ends of the slider: where the effects of single cells lie, and the null.
function range() {
  const p = content.populations[0];
  const ends = [content.null ?? NaN];
  const size = p.n.length;
  // Of a few hundred cells at most: the ends need not be exact.
  for (let c = 0; c < size; c += Math.ceil(size / 200)) {
    const weights = new Array(size).fill(0);
    weights[c] = 1;
    const found = answer(p.law, 0, { weights, sets: null });
    ends.push(...found.interval(content.level), found.estimate);
  }
  const known = ends.filter(Number.isFinite);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const step = 10 ** Math.floor(Math.log10((high - low) / 100 || 1));
  return { ends: [Math.floor(low / step) * step, Math.ceil(high / step) * step], step };
}

function choices(id, names, chosen, change) {
  byId(`${id}-field`).hidden = names.length < 2;
  const list = byId(id);
  list.replaceChildren(...names.map((name, i) => element("option", { value: i, selected: i === chosen }, name)));
  list.onchange = () => change(Number(list.value));
}

function tick(k) {
  const inputs = [...byId("columns").querySelectorAll("fieldset")[k].querySelectorAll("input")];
  const codes = inputs.map((input, code) => (input.checked ? code : -1)).filter((code) => code >= 0);
  const only = [...state.only];
  only[k] = codes.length === inputs.length ? null : codes;
  update({ only });
}

function tickAll(k) {
  const only = [...state.only];
  only[k] = null;
  update({ only });
}

// ---- the parts of the page

function whom(all) {
  const limits = content.columns
    .map((column, k) => (state.only[k] === null ? "" : `${column.label} ${state.only[k].map((code) => column.levels[code]).join(" or ") || "nobody"}`))
    .filter(Boolean);
  return limits.length ? limits.join(", ") : `everybody (${count(all ? all.n : 0)} ${content.counted})`;
}

function sentence(now) {
  const { all, allowed } = now;
  if (!all) {
    fill("answer", element("p", {}, "Nobody is ticked, or no such people occur: tick a category of every column."));
    return;
  }
  const found = answerOf(all);
  if (found.lost) {
    fill("answer", element("p", {}, `For ${whom(all)}: the data do not determine this number.`));
    return;
  }
  const digits = places(found.sd);
  const raw = rawOf(all, allowed);
  const unit = content.unit ? ` ${content.unit}` : "";
  const [low, high] = found.wide;
  fill(
    "answer",
    element("p", { class: "whom" }, `For ${whom(all)}`),
    element("p", { class: "number" }, element("strong", { id: "estimate" }, number(found.estimate, digits)), unit,
      Number.isFinite(low) ? element("span", { class: "interval" }, ` ${percent(content.level)} interval `,
        element("span", { id: "lower" }, number(low, digits)), " to ", element("span", { id: "upper" }, number(high, digits)))
        : element("span", { class: "interval" }, " (a point, without an interval)")),
    element("p", {}, `${content.quantity}${content.contrasts.length > 1 ? `, ${content.contrasts[state.contrast]}` : ""}: n = `,
      element("span", { id: "n" }, count(all.n)), `; P(> ${state.threshold}) = `,
      element("span", { id: "above" }, share(found.above(state.threshold))),
      raw && Number.isFinite(raw.estimate) ? `; these rows alone say ${number(raw.estimate, digits)} ± ${number(raw.se, digits)}.` : "."),
  );
}

function table(id, head, rows) {
  fill(id, element("thead", {}, element("tr", {}, ...head.map(([text, side]) => element("th", { scope: "col", class: side }, text)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((text, j) => {
      const cell = element(j === 0 ? "th" : "td", { class: head[j][1] }, text);
      if (j === 0) cell.setAttribute("scope", "row");
      return cell;
    })))));
}

function names(group) {
  return group.names.length ? group.names : ["everybody ticked"];
}

function headNames() {
  return state.cross.length ? state.cross.map((k) => content.columns[k].label) : ["people"];
}

function numbersTable(now) {
  const { rows, digits } = now;
  const withRaw = rows.some((r) => r.raw);
  const head = [...headNames().map((t) => [t, "left"]), ["n", "right"], [content.short, "right"], ["lower", "right"], ["upper", "right"],
    [`P(> ${state.threshold})`, "right"], ...(withRaw ? [["raw", "right"], ["raw ± ", "right"], ["pooling", "right"]] : [])];
  table("numbers", head, rows.map(({ group, found, raw }) => [
    ...names(group), count(group.n), number(found.estimate, digits), ...found.wide.map((x) => number(x, digits)),
    share(found.above(state.threshold)),
    ...(withRaw ? [number(raw.estimate, digits), number(raw.se, digits), Number.isFinite(found.sd) ? number(pooling(raw, found.sd), 2) : "–"] : []),
  ]));
}

function roomFor(id) {
  return Math.max(Math.min(byId(id).clientWidth || 700, 980), 280);
}

function axisLabel() {
  const contrast = content.contrasts.length > 1 ? ` (${content.contrasts[state.contrast]})` : "";
  const category = content.categories.length > 1 ? `, ${content.categories[state.category]}` : "";
  return `${content.quantity}${category}${contrast}${content.unit ? `, ${content.unit}` : ""}`;
}

function crossed() {
  return state.cross.length ? `by ${state.cross.map((k) => content.columns[k].label).join(", ")}` : "altogether";
}

function lines(now, id, raw) {
  const { rows, digits } = now;
  if (rows.length === 0) return fill(id);
  if (rows.length > MOST_LINES) {
    return fill(id, element("p", {}, `${rows.length} subgroups are too many for one picture: cross fewer columns, or tick fewer categories. The table holds all of them.`));
  }
  const pictured = rows.map(({ group, found, raw: own }) => ({
    name: nameOf(group), n: group.n, estimate: found.estimate, wide: found.wide, inner: found.inner, raw: own,
    text: raw ? (own && Number.isFinite(own.estimate) ? `${number(own.estimate, digits)} → ${number(found.estimate, digits)}` : number(found.estimate, digits))
      : `${number(found.estimate, digits)} (${intervalText(found, content.level, digits)})`,
  }));
  const head = raw ? "raw → model" : `${content.short} (${percent(content.level)} interval)`;
  return fill(id, forest(pictured, {
    width: roomFor(id), label: axisLabel(), title: `${raw ? "Raw and pooled estimates" : content.quantity} ${crossed()}`,
    nothing: content.null, threshold: raw ? null : state.threshold, raw, head,
  }));
}

function matrix(now) {
  const section = byId("matrix-section");
  section.hidden = content.columns.length < 2;
  if (section.hidden || !now.all) return;
  const [a, b] = state.axes;
  for (const [id, k] of [["rows", a], ["across", b]]) {
    const list = byId(id);
    list.replaceChildren(...content.columns.map((column, i) => element("option", { value: i, selected: i === k }, column.label)));
    list.onchange = () => {
      const axes = [Number(byId("rows").value), Number(byId("across").value)];
      update({ axes });
    };
  }
  if (a === b) {
    fill("matrix", element("p", {}, "Choose two different columns."));
    return;
  }
  const levels = (k) => [...now.allowed[k]].sort((x, y) => x - y);
  const groups = crossing(content, population(), [Math.min(a, b), Math.max(a, b)], now.allowed);
  const at = new Map(groups.map((g) => [g.levels.join("|"), g]));
  const sds = groups.map((g) => answerOf(g).sd).filter((sd) => sd > 0).sort((x, y) => x - y);
  const digits = places(sds[Math.floor((sds.length - 1) / 2)]);
  const cells = levels(a).map((i) => levels(b).map((j) => {
    const group = at.get(a < b ? `${i}|${j}` : `${j}|${i}`);
    if (!group) return null;
    const found = answerOf(group);
    return {
      estimate: found.estimate, n: group.n, short: number(found.estimate, digits),
      sure: Number.isFinite(found.above(state.threshold)) ? `P ${share(found.above(state.threshold))}` : null,
      text: `${number(found.estimate, digits)} (${intervalText(found, content.level, digits)})`,
    };
  }));
  const [first, second] = [content.columns[a], content.columns[b]];
  if (levels(a).length * levels(b).length > 900) {
    fill("matrix", element("p", {}, "Too many squares for one picture: tick fewer categories."));
    return;
  }
  fill("matrix", heatMap(cells, levels(a).map((i) => first.levels[i]), levels(b).map((j) => second.levels[j]), {
    width: roomFor("matrix"), title: `${content.quantity} by ${first.label} and ${second.label}`, nothing: content.null,
    rowLabel: first.label, columnLabel: second.label,
  }));
  byId("matrix-note").textContent = `Blue is above ${content.null === null ? "the middle" : content.null}, orange below; the second line is the probability of more than ${state.threshold}.`;
}

function rankings(now) {
  const rows = now.rows.filter((r) => !r.found.lost);
  const section = byId("ranks-section");
  section.hidden = rows.length < 2 || population().law.draws.count < 2;
  byId("best").value = state.best;
  if (section.hidden) return;
  const found = rankOf(rows);
  const pairs = rows.map((row, i) => ({ row, rank: found[i] })).sort((x, y) => x.rank.mean - y.rank.mean);
  table("ranks", [...headNames().map((t) => [t, "left"]), ["P(best)", "right"], ["rank", "right"], ["median", "right"], [`${percent(content.level)} interval`, "right"]],
    pairs.map(({ row, rank }) => [...names(row.group), share(rank.best), rank.mean.toFixed(1), number(rank.median, rank.median % 1 ? 1 : 0), rank.interval.map((x) => number(x, x % 1 ? 1 : 0)).join(" to ")]));
  if (pairs.length > MOST_RANKS) fill("rank-map");
  else fill("rank-map", rankMap(pairs.map(({ row, rank }) => ({ name: nameOf(row.group), ...rank })), { width: roomFor("rank-map"), title: `Probability of each rank ${crossed()}` }));
}

function rankOf(rows) {
  const key = `ranks/${state.people}/${series()}/${state.best}/${rows.map((r) => r.group.cells.join(",")).join(";")}`;
  return remembered(key, () => ranks(rows.map((r) => r.found.draws()), state.best, content.level));
}

function pair(now) {
  const section = byId("pair-section");
  section.hidden = !now.all;
  if (!now.all) return;
  const options = [...now.groups, { ...now.all, key: "" }];
  const chosen = ["first", "second"].map((name, i) => options.find((g) => g.key === state[name]) ?? options[Math.min(i, options.length - 1)]);
  ["first", "second"].forEach((name, i) => {
    const list = byId(name);
    list.replaceChildren(...options.map((g) => element("option", { value: g.key, selected: g === chosen[i] }, nameOf(g))));
    list.onchange = () => update({ first: byId("first").value, second: byId("second").value });
  });
  const [a, b] = chosen;
  const key = `pair/${state.people}/${series()}/${a.cells.join(",")}/${b.cells.join(",")}`;
  const found = remembered(key, () => difference(population().law, series(), a, b));
  if (a.key === b.key) {
    fill("pair", element("p", {}, "Choose two different subgroups."));
    return;
  }
  const digits = places(found.sd);
  const [low, high] = found.interval(content.level);
  fill("pair", element("p", {}, `${nameOf(a)} minus ${nameOf(b)}: `, element("strong", { id: "gap" }, number(found.estimate, digits)),
    content.unit ? ` ${content.unit}` : "", `, ${percent(content.level)} interval `, element("span", { id: "gap-lower" }, number(low, digits)), " to ",
    element("span", { id: "gap-upper" }, number(high, digits)), "; P(> 0) = ", element("span", { id: "gap-above" }, share(found.above(0))), "."));
}

// ---- everything

function draw() {
  controls();
  const now = view();
  sentence(now);
  byId("sort").value = state.sort;
  byId("crossed").textContent = crossed();
  lines(now, "forest", false);
  numbersTable(now);
  byId("raw-section").hidden = !now.rows.some((r) => r.raw);
  if (!byId("raw-section").hidden) lines(now, "raw", true);
  matrix(now);
  rankings(now);
  pair(now);
}

function update(change) {
  state = { ...state, ...change };
  const fragment = toFragment(content, state);
  if (window.location.hash !== fragment) window.history.replaceState(null, "", fragment);
  const active = document.activeElement;
  const place = active && byId("controls").contains(active) ? [...byId("controls").querySelectorAll("input, select, button")].indexOf(active) : -1;
  draw();
  if (place >= 0 && !document.contains(active)) byId("controls").querySelectorAll("input, select, button")[place]?.focus();
}

function fileName(what) {
  return `${content.file}-${what}`;
}

function saveNumbers() {
  const now = view();
  const head = [...headNames(), "n", "weight", "estimate", "sd", "lower", "upper", `P(> ${state.threshold})`, "raw", "raw_se"];
  const rows = now.rows.map(({ group, found, raw }) => [
    ...names(group), group.n, group.weight, found.estimate, found.sd, ...found.wide, found.above(state.threshold), raw?.estimate ?? "", raw?.se ?? "",
  ].map((x) => (typeof x === "number" && !Number.isFinite(x) ? "" : x)));
  saveText(csv([head, ...rows]), fileName("numbers.csv"), "text/csv");
}

function buttons() {
  byId("save-csv").onclick = saveNumbers;
  for (const id of ["forest", "raw", "matrix", "rank-map"]) {
    const picture = () => byId(id).querySelector("svg");
    byId(`${id}-svg`).onclick = () => picture() && saveSvg(picture(), fileName(`${id}.svg`));
    byId(`${id}-png`).onclick = () => picture() && savePng(picture(), fileName(`${id}.png`));
  }
  byId("sort").onchange = (e) => update({ sort: e.target.value });
  byId("best").onchange = (e) => update({ best: e.target.value });
  for (const id of ["threshold", "threshold-number"]) {
    byId(id).oninput = (e) => {
      const value = Number(e.target.value);
      if (e.target.value !== "" && Number.isFinite(value)) update({ threshold: value });
    };
  }
  byId("reset").onclick = () => update(fromFragment(content, ""));
}

buttons();
// On a phone the answer comes before a long list of categories.
if (window.innerWidth < 640) byId("only").open = false;
draw();
window.addEventListener("hashchange", () => {
  state = fromFragment(content, window.location.hash);
  draw();
});
let waiting = 0;
window.addEventListener("resize", () => {
  cancelAnimationFrame(waiting);
  waiting = requestAnimationFrame(draw);
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
window.matchMedia("print").addEventListener("change", draw);
document.documentElement.dataset.ready = "true";
