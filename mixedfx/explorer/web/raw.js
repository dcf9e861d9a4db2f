// What the rows of a subgroup say alone: means of its own rows under each value of the treatment, compared.

import { compare, inverse, slope, slopes } from "./comparisons.js";
import { pool } from "./rubin.js";

const NOTHING = { estimate: NaN, se: NaN, n: 0 };

function meanOfArm(raw, at) {
  let [n, sw, swy, swyy] = [0, 0, 0, 0];
  for (const i of at) {
    n += raw.count[i];
    sw += raw.sw[i];
    swy += raw.swy[i];
    swyy += raw.swyy[i];
  }
  if (n === 0) return NOTHING;
  const shifted = swy / sw;
  const mean = raw.centre + shifted;
  let se;
  if (raw.errors === "shares") se = Math.sqrt((mean * (1 - mean)) / sw);
  else if (raw.errors === "known") se = sw ** -0.5;
  else se = n === 1 ? NaN : Math.sqrt(Math.max(swyy - swy * shifted, 0) / (n - 1) / sw);
  if (!raw.back) return { estimate: mean, se, n };
  return { estimate: inverse(raw.back, mean), se: Math.abs(slope(raw.back, mean)) * se, n };
}

// Weighted least-squares slope of the response on a numeric treatment.
function slopeOf(raw, at) {
  let [n, sw, swy, swyy, swx, swxx, swxy] = [0, 0, 0, 0, 0, 0, 0];
  for (const i of at) {
    n += raw.count[i];
    sw += raw.sw[i];
    swy += raw.swy[i];
    swyy += raw.swyy[i];
    swx += raw.slope.swx[i];
    swxx += raw.slope.swxx[i];
    swxy += raw.slope.swxy[i];
  }
  const spread = swxx - swx ** 2 / sw;
  if (n < 3 || !(spread > 1e-12 * swxx)) return { estimate: NaN, se: NaN, n };
  const b = (swxy - (swx * swy) / sw) / spread;
  const left = Math.max(swyy - swy ** 2 / sw - b ** 2 * spread, 0);
  const error = raw.errors === "known" ? 1 : left / (n - 2);
  return { estimate: raw.slope.factor * b, se: Math.abs(raw.slope.factor) * Math.sqrt(error / spread), n };
}

// Estimates that were reported, one for each cell, combined as the model's are.
function reported(raw, series, group) {
  const size = raw.cells;
  let estimate = 0;
  let v = 0;
  for (const i of group.cells) {
    estimate += group.weights[i] * raw.estimates[series * size + i];
    for (const j of group.cells) v += group.weights[i] * group.weights[j] * raw.cov[(series * size + i) * size + j];
  }
  return { estimate, se: Math.sqrt(Math.max(v, 0)), n: group.n };
}

// Raw estimate of one subgroup, over several data sets by Rubin's rules; `allowed` are the levels that it holds, for
// each column.
export function rawEstimate(content, series, group, allowed) {
  if (content.raw.length === 0) return null;
  const every = content.raw.map((raw) => ofDataSet(content, raw, series, group, allowed));
  if (every.length === 1) return every[0];
  const { mean, within, added } = pool(every.map((one) => one.estimate), every.map((one) => one.se ** 2));
  const n = every.reduce((total, one) => total + one.n, 0) / every.length;
  return { estimate: mean, se: Math.sqrt(within + added), n };
}

function ofDataSet(content, raw, series, group, allowed) {
  if (raw.errors === "reported") return reported(raw, series, group);
  const width = content.columns.length;
  const cells = [];
  for (let c = 0; c < raw.cells; c += 1) {
    let inside = true;
    for (let k = 0; k < width && inside; k += 1) inside = allowed[k].has(raw.codes[c * width + k]);
    if (inside) cells.push(c);
  }
  const categories = raw.categories;
  const category = series % categories;
  const arm = (v) => meanOfArm(raw, cells.map((c) => (v * categories + category) * raw.cells + c));
  if (raw.slope) return slopeOf(raw, cells.map((c) => category * raw.cells + c));
  if (!raw.comparison) return arm(0);
  const [h, l] = raw.pairs[Math.floor(series / categories)];
  const [high, low] = [arm(h), arm(l)];
  const n = high.n + low.n;
  const estimate = compare(raw.comparison, high.estimate, low.estimate);
  if (!Number.isFinite(estimate)) return { estimate: NaN, se: NaN, n };
  const [a, b] = slopes(raw.comparison, high.estimate, low.estimate);
  return { estimate, se: Math.hypot(a * high.se, b * low.se), n };
}

// Share of the raw uncertainty that the other subgroups remove.
export function pooling(raw, sd) {
  if (Number.isNaN(raw.se)) return 1;
  if (!(raw.se > 0)) return NaN;
  return Math.min(Math.max(1 - sd ** 2 / raw.se ** 2, 0), 1);
}
