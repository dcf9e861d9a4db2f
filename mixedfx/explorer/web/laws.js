// What is known of a combination of cells: an estimate, its standard error, intervals, probabilities and joint draws.
//
// A combination is a weight for each cell of a population: those of a subgroup sum to one, a difference of two
// subgroups has weights of both signs. `series` numbers the contrasts of treatment values and categories.

import { argument, compare, inverse, perUnit, slope } from "./comparisons.js";
import { drawsOf } from "./decode.js";
import {
  meanOf, mixtureAbove, mixtureQuantile, quantile, sdOf, shareAbove, tAbove, tQuantile,
} from "./distributions.js";

function used(weights) {
  const cells = [];
  for (let c = 0; c < weights.length; c += 1) if (weights[c] !== 0) cells.push(c);
  return cells;
}

// Draws of one column of averages or effects, combined over cells.
function combined(law, series, size, weights, cells) {
  const out = new Float64Array(law.draws.count);
  for (const c of cells) {
    const draws = drawsOf(law, series * size + c);
    const w = weights[c];
    for (let d = 0; d < out.length; d += 1) out[d] += w * draws[d];
  }
  return out;
}

// The (i, j) of a symmetric matrix kept as its upper triangle, row by row.
function quadratic(triangle, start, size, weights, cells) {
  let total = 0;
  for (let a = 0; a < cells.length; a += 1) {
    const i = cells[a];
    const row = start + i * size - (i * (i - 1)) / 2 - i;
    let inner = 0;
    for (let b = a + 1; b < cells.length; b += 1) inner += weights[cells[b]] * triangle[row + cells[b]];
    total += weights[i] * (weights[i] * triangle[row + i] + 2 * inner);
  }
  return total;
}

function dot(values, start, weights, cells) {
  let total = 0;
  for (const c of cells) total += weights[c] * values[start + c];
  return total;
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

// Fixed effects alone: t with Satterthwaite's degrees of freedom of this combination.
function ofT(exact, series, size, weights, cells, estimate, draws) {
  const length = (size * (size + 1)) / 2;
  const v = Math.max(quadratic(exact.cov, series * length, size, weights, cells), 0);
  let squares = 0;
  for (let m = 0; m < exact.directions; m += 1) {
    squares += quadratic(exact.derivatives, (series * exact.directions + m) * length, size, weights, cells) ** 2;
  }
  const inverseDf = (exact.nu === null ? 0 : 1 / exact.nu) + (v > 0 ? squares / v ** 2 : 0);
  const df = inverseDf > 0 ? 1 / inverseDf : Infinity;
  const se = Math.sqrt(v);
  return {
    estimate,
    sd: se,
    interval: (level) => {
      const half = se > 0 ? se * tQuantile(0.5 + level / 2, df) : 0;
      return [estimate - half, estimate + half];
    },
    above: (x) => (se > 0 ? tAbove((x - estimate) / se, df) : Number(estimate > x)),
    draws,
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

function linear(law, series, size, weights, cells) {
  const estimate = dot(law.means, series * size, weights, cells);
  const draws = () => combined(law, series, size, weights, cells);
  const { exact } = law;
  if (exact && cells.some((c) => exact.random[series * size + c])) {
    return ofNodes(exact, series, size, weights, cells, estimate, draws);
  }
  if (exact) return ofT(exact, series, size, weights, cells, estimate, draws);
  const found = draws();
  return ofDraws(found, estimate, found);
}

// Averages are compared within each draw; the estimate is the median.
function compared(law, series, size, weights, cells) {
  const { rule } = law;
  const categories = rule.categories;
  const [high, low] = rule.pairs[Math.floor(series / categories)];
  const k = series % categories;
  const above = combined(law, high * categories + k, size, weights, cells);
  const below = combined(law, low * categories + k, size, weights, cells);
  for (let d = 0; d < above.length; d += 1) {
    if (rule.increments) above[d] = below[d] + rule.units * above[d];
    if (rule.back) {
      above[d] = inverse(rule.back, above[d]);
      below[d] = inverse(rule.back, below[d]);
    }
    above[d] = perUnit(rule.name, compare(rule.name, above[d], below[d]), rule.units);
  }
  return ofDraws(above, quantile(above.slice().sort(), 0.5), above);
}

const NOTHING = {
  estimate: NaN, sd: NaN, interval: () => [NaN, NaN], above: () => NaN, draws: () => new Float64Array(0), lost: true,
};

// Average over a subgroup: (cells) weights that sum to one.
export function answer(law, series, weights) {
  const size = weights.length;
  const cells = used(weights);
  if (cells.length === 0 || cells.some((c) => law.lost[series * size + c])) return NOTHING;
  if (law.form === "compared") return compared(law, series, size, weights, cells);
  const base = linear(law, series, size, weights, cells);
  return law.curve ? through(law.curve, base) : base;
}

// First subgroup minus second, each given by its weights.
export function difference(law, series, first, second) {
  if (law.form === "linear" && !law.curve) {
    return answer(law, series, first.map((w, c) => w - second[c]));
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
