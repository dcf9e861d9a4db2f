// Linear and quadratic forms of a combination of cells, and t with the degrees of freedom that follow from them.

import { tAbove, tQuantile } from "./distributions.js";

// The (i, j) of a symmetric matrix kept as its upper triangle, row by row.
export function quadratic(triangle, start, size, weights, cells) {
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

export function dot(values, start, weights, cells) {
  let total = 0;
  for (const c of cells) total += weights[c] * values[start + c];
  return total;
}

// Satterthwaite's degrees of freedom of a combination of fixed effects with variance v; infinite where nu is null.
export function satterthwaite(nu, v, derivatives, start, directions, size, weights, cells) {
  const length = (size * (size + 1)) / 2;
  let squares = 0;
  for (let m = 0; m < directions; m += 1) {
    squares += quadratic(derivatives, start + m * length, size, weights, cells) ** 2;
  }
  const inverse = (nu === null ? 0 : 1 / nu) + (v > 0 ? squares / v ** 2 : 0);
  return inverse > 0 ? 1 / inverse : Infinity;
}

export function ofT(estimate, se, df, draws) {
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
