// How two averages become one number, and functions of the outcome that are undone.

const expit = (x) => 1 / (1 + Math.exp(-x));
const positive = (x) => Math.max(x, 0);

// name: [f, the inverse of f, the derivative of the inverse]
const CURVES = {
  log: [Math.log, Math.exp, Math.exp],
  log2: [Math.log2, (x) => Math.exp(x * Math.LN2), (x) => Math.LN2 * Math.exp(x * Math.LN2)],
  log10: [Math.log10, (x) => Math.exp(x * Math.LN10), (x) => Math.LN10 * Math.exp(x * Math.LN10)],
  log1p: [Math.log1p, Math.expm1, Math.exp],
  sqrt: [Math.sqrt, (x) => positive(x) ** 2, (x) => 2 * positive(x)],
  cbrt: [Math.cbrt, (x) => x ** 3, (x) => 3 * x ** 2],
  square: [(x) => x ** 2, (x) => Math.sqrt(positive(x)), (x) => 0.5 / Math.sqrt(positive(x))],
  logit: [(x) => Math.log(x) - Math.log1p(-x), expit, (x) => expit(x) * expit(-x)],
  affine: null,
};

function step([name, shift, factor]) {
  if (name === "affine") return [(y) => (y - shift) / factor, (x) => shift + factor * x, () => factor];
  return CURVES[name];
}

export function inverse(steps, value) {
  return steps.reduce((x, one) => step(one)[1](x), value);
}

export function slope(steps, value) {
  let total = 1;
  let x = value;
  for (const one of steps) {
    total *= step(one)[2](x);
    x = step(one)[1](x);
  }
  return total;
}

// Where the inverse has a value; beyond all its values, the end of the line on that side.
export function argument(steps, value) {
  const found = [...steps].reverse().reduce((x, one) => step(one)[0](x), value);
  if (Number.isFinite(found)) return found;
  return inverse(steps, 0) > value ? -Infinity : Infinity;
}

const oddsRatio = (h, l) => ((h / (1 - h)) * (1 - l)) / l;

// name: [the comparison, its derivatives by the two averages]
const COMPARISONS = {
  difference: [(h, l) => h - l, () => [1, -1]],
  risk_difference: [(h, l) => h - l, () => [1, -1]],
  slope: [(h, l) => h - l, () => [1, -1]],
  ratio: [(h, l) => h / l, (h, l) => [1 / l, -h / l ** 2]],
  lnratio: [(h, l) => Math.log(h) - Math.log(l), (h, l) => [1 / h, -1 / l]],
  lift: [(h, l) => 100 * (h / l - 1), (h, l) => [100 / l, (-100 * h) / l ** 2]],
  odds_ratio: [
    oddsRatio,
    (h, l) => [oddsRatio(h, l) / (h * (1 - h)), -oddsRatio(h, l) / (l * (1 - l))],
  ],
  log_odds_ratio: [(h, l) => Math.log(oddsRatio(h, l)), (h, l) => [1 / (h * (1 - h)), -1 / (l * (1 - l))]],
};

export function compare(name, high, low) {
  return COMPARISONS[name][0](high, low);
}

export function slopes(name, high, low) {
  return COMPARISONS[name][1](high, low);
}

// A comparison over several units as that of one: a part of a difference, a root of a ratio.
export function perUnit(name, value, units) {
  if (units === 1) return value;
  if (name === "ratio" || name === "odds_ratio") return Math.exp(Math.log(value) / units);
  if (name === "lift") return 100 * Math.expm1(Math.log1p(value / 100) / units);
  return value / units;
}
