// What is known of a combination of cells: an estimate, its standard error, intervals, probabilities and joint draws.
//
// A combination is a weight for each cell of a population: those of a subgroup sum to one, a difference of two
// subgroups has weights of both signs. Of several data sets that are pooled each may have weights of its own (`sets`).
// `series` numbers the contrasts of treatment values and categories.

import { argument, compare, inverse, perUnit, slope } from "./comparisons.js";
import { drawsOf } from "./decode.js";
import { meanOf, mixtureAbove, mixtureQuantile, quantile, sdOf, shareAbove } from "./distributions.js";
import { dot, ofT, quadratic, satterthwaite } from "./forms.js";
import { apart, ofSets } from "./rubin.js";

function used(group) {
  const cells = [];
  const every = group.sets ?? [group.weights];
  for (let c = 0; c < group.weights.length; c += 1) if (every.some((weights) => weights[c] !== 0)) cells.push(c);
  return cells;
}

// Draws of one column of averages or effects, combined over cells; those of a data set by the weights that it has.
function combined(law, series, group, cells) {
  const out = new Float64Array(law.draws.count);
  const block = out.length / law.sets;
  for (const c of cells) {
    const draws = drawsOf(law, series * group.weights.length + c);
    for (let k = 0; k < law.sets; k += 1) {
      const w = (law.sets > 1 && group.sets ? group.sets[k] : group.weights)[c];
      for (let d = k * block; d < (k + 1) * block; d += 1) out[d] += w * draws[d];
    }
  }
  return out;
}

function ofDraws(draws, estimate, shown) {
  const sorted = shown.slice().sort();
  const spread = sorted.length > 1;
  return {
    estimate,
    sd: spread ? sdOf(shown) : NaN,
    interval: (level) =>
      spread ? [quantile(sorted, 0.5 - level / 2), quantile(sorted, 0.5 + level / 2)] : [NaN, NaN],
    above: (x) => (spread ? shareAbove(shown, x) : NaN),
    draws: () => draws,
  };
}

// Random effects: a mixture of normal distributions over nodes of the variance parameters.
function ofNodes(exact, series, size, weights, cells, estimate, draws) {
  const { nodes, rank } = exact;
  const length = (size * (size + 1)) / 2;
  const parts = [];
  for (let r = 0; r < rank; r += 1) {
    parts.push(quadratic(exact.basis, (series * rank + r) * length, size, weights, cells));
  }
  const gap = dot(exact.gap, series * size, weights, cells);
  const means = new Float64Array(nodes);
  const sds = new Float64Array(nodes);
  let centre = 0;
  for (let k = 0; k < nodes; k += 1) {
    means[k] = dot(exact.means, (series * nodes + k) * size, weights, cells);
    centre += exact.weights[k] * means[k];
    let v = gap ** 2;
    for (let r = 0; r < rank; r += 1) v += exact.loadings[(series * nodes + k) * rank + r] * parts[r];
    sds[k] = Math.sqrt(Math.max(v, 0));
  }
  let square = 0;
  for (let k = 0; k < nodes; k += 1) {
    means[k] += estimate - centre;
    square += exact.weights[k] * (sds[k] ** 2 + (means[k] - estimate) ** 2);
  }
  return {
    estimate,
    sd: Math.sqrt(square),
    interval: (level) => [0.5 - level / 2, 0.5 + level / 2].map((q) => mixtureQuantile(q, exact.weights, means, sds)),
    above: (x) => mixtureAbove(x, exact.weights, means, sds),
    draws,
  };
}

// A monotone function of another answer.
function through(curve, base) {
  return {
    estimate: inverse(curve, base.estimate),
    sd: Math.abs(slope(curve, base.estimate)) * base.sd,
    interval: (level) => base.interval(level).map((end) => inverse(curve, end)),
    above: (x) => base.above(argument(curve, x)),
    draws: () => base.draws().map((x) => inverse(curve, x)),
  };
}

function linear(law, series, group, cells) {
  const { weights } = group;
  const size = weights.length;
  if (law.sets > 1) {
    const found = apart(combined(law, series, group, cells), law.sets);
    return ofDraws(found, meanOfSets(law, series, group, cells), found);
  }
  const draws = () => combined(law, series, group, cells);
  const { exact, pooled } = law;
  if (pooled) return ofSets(pooled, series, group, cells, draws);
  const estimate = dot(law.means, series * size, weights, cells);
  if (exact && cells.some((c) => exact.random[series * size + c])) {
    return ofNodes(exact, series, size, weights, cells, estimate, draws);
  }
  if (exact) {
    const length = (size * (size + 1)) / 2;
    const v = Math.max(quadratic(exact.cov, series * length, size, weights, cells), 0);
    const start = series * exact.directions * length;
    const df = satterthwaite(exact.nu, v, exact.derivatives, start, exact.directions, size, weights, cells);
    return ofT(estimate, Math.sqrt(v), df, draws);
  }
  const found = draws();
  return ofDraws(found, estimate, found);
}

function meanOfSets(law, series, group, cells) {
  const size = group.weights.length;
  const columns = law.means.length / law.sets;
  let total = 0;
  for (let k = 0; k < law.sets; k += 1) {
    total += dot(law.means, k * columns + series * size, group.sets ? group.sets[k] : group.weights, cells);
  }
  return total / law.sets;
}

// Averages are compared within each draw; the estimate is the median.
function compared(law, series, group, cells) {
  const { rule } = law;
  const categories = rule.categories;
  const [high, low] = rule.pairs[Math.floor(series / categories)];
  const k = series % categories;
  const above = combined(law, high * categories + k, group, cells);
  const below = combined(law, low * categories + k, group, cells);
  for (let d = 0; d < above.length; d += 1) {
    if (rule.increments) above[d] = below[d] + rule.units * above[d];
    if (rule.back) {
      above[d] = inverse(rule.back, above[d]);
      below[d] = inverse(rule.back, below[d]);
    }
    above[d] = perUnit(rule.name, compare(rule.name, above[d], below[d]), rule.units);
  }
  const found = apart(above, law.sets);
  return ofDraws(found, quantile(found.slice().sort(), 0.5), found);
}

const NOTHING = {
  estimate: NaN, sd: NaN, interval: () => [NaN, NaN], above: () => NaN, draws: () => new Float64Array(0), lost: true,
};

// Average over a subgroup, whose weights sum to one.
export function answer(law, series, group) {
  const size = group.weights.length;
  const cells = used(group);
  if (cells.length === 0 || cells.some((c) => law.lost[series * size + c])) return NOTHING;
  if (law.form === "compared") return compared(law, series, group, cells);
  const base = linear(law, series, group, cells);
  return law.curve ? through(law.curve, base) : base;
}

function less(first, second) {
  return first.map((w, c) => w - second[c]);
}

// First subgroup minus second.
export function difference(law, series, first, second) {
  if (law.form === "linear" && !law.curve) {
    const sets = first.sets && first.sets.map((weights, k) => less(weights, second.sets[k]));
    return answer(law, series, { weights: less(first.weights, second.weights), sets });
  }
  const [a, b] = [answer(law, series, first), answer(law, series, second)];
  if (a.lost || b.lost) return NOTHING;
  const others = b.draws();
  const draws = a.draws().map((x, d) => x - others[d]);
  return ofDraws(draws, quantile(draws.slice().sort(), 0.5), draws);
}

// Columns that are one effect by construction are made one column: sixteen bits would rank their rounding.
function sameWhereEqual(columns) {
  const out = columns.map((column) => column.slice());
  let low = Infinity;
  let high = -Infinity;
  for (const column of out) {
    for (const x of column) {
      if (x < low) low = x;
      if (x > high) high = x;
    }
  }
  const close = (4 * (high - low)) / 65535;
  const order = out.map((_, j) => j).sort((a, b) => meanOf(out[a]) - meanOf(out[b]));
  for (let i = 1; i < order.length; i += 1) {
    const [before, column] = [out[order[i - 1]], out[order[i]]];
    if (column.every((x, d) => Math.abs(x - before[d]) <= close)) column.set(before);
  }
  return out;
}

// Ranks within each draw, 1 the best; ties share their places. Returns for each its share of first places, mean,
// median and interval of the rank, and the shares of all ranks.
export function ranks(given, best, level) {
  const columns = sameWhereEqual(given);
  const s = columns.length;
  const D = columns[0].length;
  const sign = best === "highest" ? -1 : 1;
  const all = columns.map(() => new Float64Array(D));
  const first = new Float64Array(s);
  const places = columns.map(() => new Float64Array(s));
  const order = Array.from({ length: s }, (_, j) => j);
  for (let d = 0; d < D; d += 1) {
    order.sort((a, b) => sign * (columns[a][d] - columns[b][d]));
    for (let i = 0; i < s; ) {
      let end = i + 1;
      while (end < s && columns[order[end]][d] === columns[order[i]][d]) end += 1;
      for (let k = i; k < end; k += 1) {
        const j = order[k];
        all[j][d] = (i + 1 + end) / 2;
        if (i === 0) first[j] += 1 / end;
        for (let p = i; p < end; p += 1) places[j][p] += 1 / (end - i) / D;
      }
      i = end;
    }
  }
  return all.map((values, j) => {
    const sorted = values.slice().sort();
    const at = (q) => sorted[Math.max(Math.ceil(q * D - 1e-9) - 1, 0)];
    return {
      best: first[j] / D,
      mean: meanOf(values),
      median: quantile(sorted, 0.5),
      interval: [at(0.5 - level / 2), at(0.5 + level / 2)],
      places: places[j],
    };
  });
}
