// The view as the fragment of the address, so that it can be linked: names, not numbers, which a new page may move.

export function fromFragment(content, fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const position = (name) => content.columns.findIndex((column) => column.name === name);
  const state = { ...initial(content) };
  if (given.has("cross")) {
    state.cross = [...new Set(given.getAll("cross").map(position))].filter((k) => k >= 0).sort((a, b) => a - b);
  }
  content.columns.forEach((column, k) => {
    const names = given.getAll(`only.${column.name}`);
    const codes = names.map((name) => column.keys.indexOf(name)).filter((code) => code >= 0);
    if (codes.length || names.includes("")) state.only[k] = codes;
  });
  const pick = (name, allowed, fallback) => (allowed.includes(given.get(name)) ? given.get(name) : fallback);
  state.people = pick("people", content.populations.map((p) => p.name), state.people);
  state.sort = pick("sort", ["effect", "n", "name"], state.sort);
  state.best = pick("best", ["highest", "lowest"], state.best);
  const threshold = Number(given.get("above"));
  if (given.has("above") && Number.isFinite(threshold)) state.threshold = threshold;
  const chosen = (name, list) => (given.has(name) ? Math.max(list.indexOf(given.get(name)), 0) : 0);
  state.contrast = chosen("contrast", content.contrasts);
  state.category = chosen("category", content.categories);
  for (const [name, axis] of [["rows", 0], ["columns", 1]]) {
    const k = position(given.get(name));
    if (k >= 0) state.axes[axis] = k;
  }
  for (const name of ["first", "second"]) if (given.has(name)) state[name] = given.get(name);
  return state;
}

export function initial(content) {
  let cells = 1;
  const cross = [];
  content.columns.forEach((column, k) => {
    if (cross.length === 0 || cells * column.levels.length <= 12) {
      cross.push(k);
      cells *= column.levels.length;
    }
  });
  return {
    cross,
    only: content.columns.map(() => null),
    people: content.populations[0].name,
    sort: "name",
    best: "highest",
    threshold: content.threshold,
    contrast: 0,
    category: 0,
    axes: [0, Math.min(1, content.columns.length - 1)],
    first: null,
    second: null,
  };
}

export function toFragment(content, state) {
  const out = new URLSearchParams();
  for (const k of state.cross) out.append("cross", content.columns[k].name);
  if (state.cross.length === 0) out.append("cross", "");
  state.only.forEach((codes, k) => {
    if (codes?.length === 0) out.append(`only.${content.columns[k].name}`, "");
    for (const code of codes ?? []) out.append(`only.${content.columns[k].name}`, content.columns[k].keys[code]);
  });
  const start = initial(content);
  for (const name of ["people", "sort", "best"]) if (state[name] !== start[name]) out.set(name, state[name]);
  if (state.threshold !== start.threshold) out.set("above", String(state.threshold));
  if (state.contrast) out.set("contrast", content.contrasts[state.contrast]);
  if (state.category) out.set("category", content.categories[state.category]);
  if (state.axes[0] !== start.axes[0]) out.set("rows", content.columns[state.axes[0]].name);
  if (state.axes[1] !== start.axes[1]) out.set("columns", content.columns[state.axes[1]].name);
  for (const name of ["first", "second"]) if (state[name] !== null) out.set(name, state[name]);
  return `#${out}`;
}
