// Subgroups of a population: which cells they hold, and what the cells weigh.

// Levels that are ticked, as a Set of codes for each column.
export function ticks(content, only) {
  return content.columns.map((column, k) => {
    const chosen = only[k];
    return new Set(chosen ?? column.levels.map((_, code) => code));
  });
}

export function cellsWithin(population, columns, allowed) {
  const width = columns.length;
  const out = [];
  for (let c = 0; c < population.n.length; c += 1) {
    let inside = true;
    for (let k = 0; k < width && inside; k += 1) inside = allowed[k].has(population.codes[c * width + k]);
    if (inside) out.push(c);
  }
  return out;
}

// What some cells weigh, out of all weights from `start` on: (cells of the population), summing to one.
function shares(all, start, size, cells) {
  const out = new Array(size).fill(0);
  let total = 0;
  for (const c of cells) total += all[start + c];
  for (const c of cells) out[c] = all[start + c] / total;
  return out;
}

// `weights` are those of the population, `sets` those of each data set where they differ.
export function subgroup(population, cells, key, names, levels) {
  const size = population.n.length;
  const weights = shares(population.weight, 0, size, cells);
  let sets = null;
  if (population.weights) {
    sets = [];
    for (let start = 0; start < population.weights.length; start += size) {
      sets.push(shares(population.weights, start, size, cells));
    }
  }
  let n = 0;
  let weight = 0;
  for (const c of cells) {
    n += population.n[c];
    weight += population.weight[c];
  }
  return { key, names, levels, cells, weights, sets, n, weight };
}

// One subgroup for each combination of the crossed columns that occurs among the ticked cells.
export function crossing(content, population, cross, allowed) {
  const width = content.columns.length;
  const groups = new Map();
  for (const c of cellsWithin(population, content.columns, allowed)) {
    const codes = cross.map((k) => population.codes[c * width + k]);
    const key = codes.map((code, i) => encodeURIComponent(content.columns[cross[i]].keys[code])).join("/");
    if (!groups.has(key)) groups.set(key, { codes, cells: [] });
    groups.get(key).cells.push(c);
  }
  const found = [...groups.entries()].map(([key, { codes, cells }]) => {
    const names = codes.map((code, i) => content.columns[cross[i]].levels[code]);
    return { codes, made: subgroup(population, cells, key, names, codes) };
  });
  found.sort((a, b) => {
    for (let i = 0; i < a.codes.length; i += 1) if (a.codes[i] !== b.codes[i]) return a.codes[i] - b.codes[i];
    return 0;
  });
  return found.map(({ made }) => made);
}

export function everybody(content, population, allowed) {
  const cells = cellsWithin(population, content.columns, allowed);
  return cells.length ? subgroup(population, cells, "", [], []) : null;
}
