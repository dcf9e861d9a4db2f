// Numbers and names as they are read.

// Decimals that show two significant digits of a standard error.
export function places(sd) {
  if (!Number.isFinite(sd) || !(sd > 0)) return 2;
  return Math.min(Math.max(1 - Math.floor(Math.log10(sd)), 0), 8);
}

export function number(value, digits) {
  if (!Number.isFinite(value)) return "–";
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) !== 0 ? `−${text}` : text;
}

export function share(value) {
  return Number.isFinite(value) ? value.toFixed(3) : "–";
}

export function count(value) {
  return Math.round(value).toLocaleString("en-GB");
}

export function percent(level) {
  return `${Number((100 * level).toFixed(6))} %`;
}

// "Black boys in cities" cannot be guessed; "race Black, gender boy" can be read.
export function nameOf(group, everybody = "everybody ticked") {
  return group.names.length ? group.names.join(", ") : everybody;
}

export function intervalText(found, level, digits) {
  const [low, high] = found.interval(level);
  return `${number(low, digits)} to ${number(high, digits)}`;
}

export function csv(rows) {
  const cell = (value) => {
    let text = String(value);
    // A label that a spreadsheet would take for a formula stays a label.
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}
