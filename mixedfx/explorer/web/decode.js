// The data of the page: numbers as base64, little endian; draws as 16-bit steps between the ends of their column.

const KINDS = { f8: Float64Array, f4: Float32Array, u2: Uint16Array, u1: Uint8Array };

export function numbers(packed) {
  const text = atob(packed.base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  return new KINDS[packed.kind](bytes.buffer);
}

// One column of draws: low + step * whole number.
export function drawsOf(law, column) {
  const { count } = law.draws;
  const out = new Float64Array(count);
  const low = law.draws.low[column];
  const step = law.draws.step[column];
  const start = column * count;
  for (let d = 0; d < count; d += 1) out[d] = low + step * law.draws.steps[start + d];
  return out;
}

function unpackExact(exact) {
  const out = { ...exact };
  for (const name of ["random", "weights", "means", "loadings", "basis", "gap", "cov", "derivatives"]) {
    if (exact[name] != null) out[name] = numbers(exact[name]);
  }
  return out;
}

function unpackPooled(pooled) {
  const out = { ...pooled };
  for (const name of ["random", "means", "mixed", "fixed", "derivatives"]) out[name] = numbers(pooled[name]);
  return out;
}

function unpackLaw(law) {
  const { draws } = law;
  const unpacked = {
    count: draws.count,
    total: draws.total,
    steps: numbers(draws.steps),
    low: numbers(draws.low),
    step: numbers(draws.step),
  };
  return {
    ...law,
    draws: unpacked,
    means: law.means && numbers(law.means),
    lost: numbers(law.lost),
    exact: law.exact && unpackExact(law.exact),
    pooled: law.pooled && unpackPooled(law.pooled),
  };
}

function unpackRaw(raw) {
  const out = { ...raw };
  for (const name of ["codes", "count", "sw", "swy", "swyy", "estimates", "cov"]) {
    if (raw[name] != null) out[name] = numbers(raw[name]);
  }
  if (raw.slope) {
    out.slope = { ...raw.slope };
    for (const name of ["swx", "swxx", "swxy"]) out.slope[name] = numbers(raw.slope[name]);
  }
  return out;
}

export function unpack(content) {
  return {
    ...content,
    populations: content.populations.map((p) => ({
      ...p,
      codes: numbers(p.codes),
      n: numbers(p.n),
      weight: numbers(p.weight),
      weights: p.weights && numbers(p.weights),
      law: unpackLaw(p.law),
    })),
    raw: content.raw.map(unpackRaw),
  };
}
