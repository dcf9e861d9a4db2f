// Normal and t distributions to double precision, mixtures of normal distributions, quantiles of draws.

const ROOT_2PI = Math.sqrt(2 * Math.PI);

function density(x) {
  return Math.exp(-0.5 * x * x) / ROOT_2PI;
}

// P(X > x) for x >= 0: the power series near zero, Legendre's continued fraction in the tail.
function upper(x) {
  if (x > 38) return 0;
  if (x < 3) {
    let term = x;
    let sum = x;
    for (let k = 3; Math.abs(term) > 1e-17 * Math.abs(sum); k += 2) {
      term *= (x * x) / k;
      sum += term;
      if (term === 0) break;
    }
    return 0.5 - density(x) * sum;
  }
  let fraction = x;
  for (let k = 120; k >= 1; k -= 1) fraction = x + k / fraction;
  return density(x) / fraction;
}

export function normalAbove(x) {
  return x >= 0 ? upper(x) : 1 - upper(-x);
}

function logGamma(z) {
  const c = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];
  if (z < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * z)) - logGamma(1 - z);
  const x = z - 1;
  let sum = c[0];
  for (let i = 1; i < 9; i += 1) sum += c[i] / (x + i);
  const t = x + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (x + 0.5) * Math.log(t) - t + Math.log(sum);
}

// Regularised incomplete beta function by Lentz's continued fraction.
function incompleteBeta(a, b, x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(b, a, 1 - x);
  const front = Math.exp(
    logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x),
  ) / a;
  const tiny = 1e-300;
  let c = 1;
  let d = 1 - ((a + b) * x) / (a + 1);
  d = 1 / (Math.abs(d) < tiny ? tiny : d);
  let h = d;
  for (let m = 1; m < 5000; m += 1) {
    let factor = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 + factor * d;
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    c = 1 + factor / c;
    c = Math.abs(c) < tiny ? tiny : c;
    h *= d * c;
    factor = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 + factor * d;
    d = 1 / (Math.abs(d) < tiny ? tiny : d);
    c = 1 + factor / c;
    c = Math.abs(c) < tiny ? tiny : c;
    const change = d * c;
    h *= change;
    if (Math.abs(change - 1) < 1e-15) break;
  }
  return front * h;
}

export function tAbove(t, df) {
  if (!Number.isFinite(df) || df > 1e7) return normalAbove(t);
  const tail = 0.5 * incompleteBeta(df / 2, 0.5, df / (df + t * t));
  return t >= 0 ? tail : 1 - tail;
}

function root(above, q, low, high) {
  for (let i = 0; i < 200 && high - low > 1e-13 * Math.max(1, Math.abs(low) + Math.abs(high)); i += 1) {
    const middle = (low + high) / 2;
    if (1 - above(middle) < q) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

const known = new Map();

// Quantile of t for q > 1/2; of the normal distribution where df is infinite.
export function tQuantile(q, df) {
  const key = `${q}/${df}`;
  if (!known.has(key)) {
    let high = 2;
    while (1 - tAbove(high, df) < q && high < 1e12) high *= 2;
    known.set(key, root((x) => tAbove(x, df), q, 0, high));
  }
  return known.get(key);
}

// P(X > x) under sum_k w_k N(m_k, s_k^2).
export function mixtureAbove(x, weights, means, sds) {
  let total = 0;
  for (let k = 0; k < weights.length; k += 1) {
    if (sds[k] > 0) total += weights[k] * normalAbove((x - means[k]) / sds[k]);
    else if (means[k] > x) total += weights[k];
  }
  return total;
}

// Newton's steps, held inside a bracket by bisection.
export function mixtureQuantile(q, weights, means, sds) {
  const z = q >= 0.5 ? tQuantile(q, Infinity) : -tQuantile(1 - q, Infinity);
  let centre = 0;
  let square = 0;
  let low = Infinity;
  let high = -Infinity;
  for (let k = 0; k < weights.length; k += 1) {
    centre += weights[k] * means[k];
    const at = means[k] + z * sds[k];
    low = Math.min(low, at);
    high = Math.max(high, at);
  }
  for (let k = 0; k < weights.length; k += 1) {
    square += weights[k] * (sds[k] ** 2 + (means[k] - centre) ** 2);
  }
  const unit = Math.sqrt(square);
  if (!(unit > 0) || high - low <= 1e-14 * unit) return (low + high) / 2;
  let x = Math.min(Math.max(centre + z * unit, low), high);
  for (let i = 0; i < 200; i += 1) {
    let gap = -q;
    let slope = 0;
    for (let k = 0; k < weights.length; k += 1) {
      const sd = Math.max(sds[k], 1e-9 * unit);
      const standard = (x - means[k]) / sd;
      gap += weights[k] * (1 - normalAbove(standard));
      slope += (weights[k] * density(standard)) / sd;
    }
    if (gap > 0) high = x;
    else low = x;
    const step = x - gap / slope;
    const inside = step > low && step < high;
    const moved = inside ? step : (low + high) / 2;
    const done = (inside && Math.abs(moved - x) <= 1e-10 * unit) || high - low <= 1e-13 * unit;
    x = moved;
    if (done) break;
  }
  return x;
}

// The linear rule of NumPy and R (type 7), of sorted draws.
export function quantile(sorted, q) {
  const at = (sorted.length - 1) * q;
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  const t = at - below;
  const gap = sorted[above] - sorted[below];
  return t < 0.5 ? sorted[below] + gap * t : sorted[above] - gap * (1 - t);
}

export function shareAbove(draws, x) {
  let count = 0;
  for (let d = 0; d < draws.length; d += 1) if (draws[d] > x) count += 1;
  return count / draws.length;
}

export function meanOf(draws) {
  let sum = 0;
  for (let d = 0; d < draws.length; d += 1) sum += draws[d];
  return sum / draws.length;
}

export function sdOf(draws) {
  const mean = meanOf(draws);
  let square = 0;
  for (let d = 0; d < draws.length; d += 1) square += (draws[d] - mean) ** 2;
  return Math.sqrt(square / (draws.length - 1));
}
