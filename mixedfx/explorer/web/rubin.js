// Rubin's rules: what several completed data sets say of one number, with Barnard and Rubin's degrees of freedom.

import { meanOf } from "./distributions.js";
import { dot, ofT, quadratic, satterthwaite } from "./forms.js";

export function pool(estimates, variances) {
  const m = estimates.length;
  const mean = meanOf(estimates);
  let between = 0;
  for (const x of estimates) between += (x - mean) ** 2 / (m - 1);
  return { mean, within: meanOf(variances), added: (1 + 1 / m) * between };
}

// `complete` is what complete data would give.
function barnardRubin(m, share, complete) {
  const imputed = (m - 1) / share ** 2;
  const observed = complete === Infinity ? Infinity : ((complete + 1) / (complete + 3)) * complete * (1 - share);
  return 1 / (1 / imputed + 1 / observed);
}

// A combination of cells that data set k estimates, with the weights that it has there.
export function ofSets(pooled, series, group, cells, draws) {
  const m = pooled.sets;
  const size = group.weights.length;
  const length = (size * (size + 1)) / 2;
  const columns = pooled.means.length / m;
  const J = columns / size;
  const estimates = [];
  const variances = [];
  const complete = [];
  for (let k = 0; k < m; k += 1) {
    const weights = group.sets ? group.sets[k] : group.weights;
    const at = k * columns + series * size;
    const random = cells.some((c) => pooled.random[at + c]);
    const start = (k * J + series) * length;
    const v = Math.max(quadratic(random ? pooled.mixed : pooled.fixed, start, size, weights, cells), 0);
    estimates.push(dot(pooled.means, at, weights, cells));
    variances.push(v);
    const from = start * pooled.directions;
    complete.push(random ? Infinity
      : satterthwaite(pooled.nu[k], v, pooled.derivatives, from, pooled.directions, size, weights, cells));
  }
  const { mean, within, added } = pool(estimates, variances);
  const share = added > 0 ? added / (within + added) : 0;
  return ofT(mean, Math.sqrt(within + added), barnardRubin(m, share, meanOf(complete)), draws);
}

// Draws of m data sets, one after the other, with the mean of each moved away from that of all: their variance is then
// that of the rules.
export function apart(draws, m) {
  if (m === 1) return draws;
  const block = draws.length / m;
  const means = [];
  for (let k = 0; k < m; k += 1) means.push(meanOf(draws.subarray(k * block, (k + 1) * block)));
  const centre = meanOf(means);
  const further = Math.sqrt((m + 1) / (m - 1)) - 1;
  return draws.map((x, d) => x + further * (means[Math.floor(d / block)] - centre));
}
