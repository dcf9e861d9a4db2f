// Pictures as SVG that stands alone: colours and sizes are attributes, text is text nodes, nothing is styled outside.

import { count, number } from "./words.js";

const SPACE = "http://www.w3.org/2000/svg";
const FONT = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
// Blue and vermilion of Okabe and Ito: told apart by readers of any colour vision, and by lightness in print.
const BLUE = "#0072B2";
const ORANGE = "#C4520A";
const GREY = "#8a8a8a";
const DIVERGING = ["#A64700", "#D55E00", "#F3C9A8", "#F7F7F7", "#A9D0E8", "#0072B2", "#00466E"];
const RISING = ["#FFFFFF", "#A9D0E8", "#0072B2", "#00375A"];

export function inks() {
  const dark = globalThis.matchMedia?.("(prefers-color-scheme: dark)").matches && !globalThis.matchMedia("print").matches;
  return dark
    ? { ink: "#e8e8e8", soft: "#b0b0b0", rule: "#3a3d42", ground: "#17191c", blue: "#6db9e8", orange: "#f0994f" }
    : { ink: "#1a1a1a", soft: "#595959", rule: "#dddddd", ground: "#ffffff", blue: BLUE, orange: ORANGE };
}

function make(parent, name, attributes, text) {
  const node = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

function canvas(width, height, title) {
  const svg = document.createElementNS(SPACE, "svg");
  const colours = inks();
  for (const [key, value] of Object.entries({
    xmlns: SPACE, width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "font-family": FONT, "font-size": 13,
    fill: colours.ink,
  })) svg.setAttribute(key, String(value));
  svg.setAttribute("aria-label", title);
  make(svg, "title", {}, title);
  make(svg, "rect", { width, height, fill: colours.ground });
  return [svg, colours];
}

let ruler = null;

export function widthOf(text, size = 13) {
  ruler ??= document.createElement("canvas").getContext("2d");
  ruler.font = `${size}px ${FONT}`;
  return ruler.measureText(text).width;
}

function shortened(text, room, size = 13) {
  if (widthOf(text, size) <= room) return text;
  let end = text.length;
  while (end > 1 && widthOf(`${text.slice(0, end)}…`, size) > room) end -= 1;
  return `${text.slice(0, end)}…`;
}

// Round numbers that lie within [low, high], about as many as asked for.
export function tickValues(low, high, about) {
  const rough = (high - low) / Math.max(about, 1);
  if (!(rough > 0)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i += 1) out.push(i * step);
  return out;
}

function axis(svg, colours, scale, low, high, top, bottom, room, label) {
  const values = tickValues(low, high, Math.max(2, Math.floor(room / 75)));
  const digits = Math.max(0, -Math.floor(Math.log10((values[1] ?? values[0] + 1) - values[0]) + 1e-9));
  for (const value of values) {
    make(svg, "line", { x1: scale(value), x2: scale(value), y1: top, y2: bottom, stroke: colours.rule });
    make(svg, "text", {
      x: scale(value), y: bottom + 16, "text-anchor": "middle", fill: colours.soft, "font-size": 12,
    }, number(value, digits));
  }
  make(svg, "text", {
    x: scale((low + high) / 2), y: bottom + 36, "text-anchor": "middle", fill: colours.soft, "font-size": 12,
  }, shortened(label, room + 60, 12));
}

function line(svg, x, top, bottom, colour, dash) {
  make(svg, "line", { x1: x, x2: x, y1: top, y2: bottom, stroke: colour, "stroke-dasharray": dash, "stroke-width": 1.2 });
}

function limits(values, also) {
  const finite = values.filter(Number.isFinite);
  if (finite.length === 0) return [0, 1];
  // A reference line that is far away would squeeze what is to be seen.
  let [low, high] = [Math.min(...finite), Math.max(...finite)];
  for (const x of also.filter(Number.isFinite)) {
    if (x >= low - 1.5 * (high - low) && x <= high + 1.5 * (high - low)) [low, high] = [Math.min(low, x), Math.max(high, x)];
  }
  const pad = 0.04 * (high - low) || 1;
  return [low - pad, high + pad];
}

// rows: {name, n, estimate, wide: [low, high], inner: [low, high], text}
export function forest(rows, { width, label, title, nothing, threshold, raw, head }) {
  const narrow = width < 560;
  const names = Math.min(Math.max(...rows.map((r) => widthOf(r.name)), 40), 0.36 * width) + 14;
  const numbers = Math.max(...rows.map((r) => widthOf(r.text, 12)), widthOf(head, 12)) + 12;
  const counts = Math.max(...rows.map((r) => widthOf(count(r.n), 12)), widthOf("n", 12)) + 12;
  const left = narrow ? 10 : names;
  const right = narrow ? width - 10 : width - numbers - counts;
  const pitch = narrow ? 44 : 26;
  const top = narrow ? 8 : 28;
  const bottom = top + rows.length * pitch;
  const [svg, colours] = canvas(width, bottom + 46, title);
  const values = rows.flatMap((r) => [...r.wide, r.estimate, ...(raw && r.raw ? [r.raw.estimate] : [])]);
  const [low, high] = limits(values, [nothing, threshold]);
  const scale = (x) => left + ((x - low) / (high - low)) * (right - left);
  axis(svg, colours, scale, low, high, top, bottom, right - left, label);
  const within = (x) => Number.isFinite(x) && x >= low && x <= high;
  if (within(nothing)) line(svg, scale(nothing), top, bottom, colours.ink, "none");
  if (within(threshold) && threshold !== nothing) line(svg, scale(threshold), top, bottom, colours.orange, "5 3");
  if (!narrow) {
    make(svg, "text", { x: width - counts, y: 17, "text-anchor": "end", fill: colours.soft, "font-size": 12 }, head);
    make(svg, "text", { x: width - 2, y: 17, "text-anchor": "end", fill: colours.soft, "font-size": 12 }, "n");
  }
  rows.forEach((row, i) => {
    const y = top + i * pitch + (narrow ? 30 : pitch / 2);
    const group = make(svg, "g", {});
    make(group, "title", {}, `${row.name}: ${row.text}, n = ${count(row.n)}`);
    if (narrow) {
      const said = `${row.text}  n ${count(row.n)}`;
      // A rim in the colour of the ground, so that grid lines do not run through letters.
      const rim = { y: y - 13, stroke: colours.ground, "stroke-width": 5, "paint-order": "stroke", "stroke-linejoin": "round" };
      make(group, "text", { ...rim, x: left }, shortened(row.name, width - widthOf(said, 12) - 30));
      make(group, "text", { ...rim, x: right, "text-anchor": "end", "font-size": 12, fill: colours.soft }, said);
    } else {
      make(group, "text", { x: 2, y: y + 4 }, shortened(row.name, names - 14));
      make(group, "text", { x: width - counts, y: y + 4, "text-anchor": "end", "font-size": 12 }, row.text);
      make(group, "text", {
        x: width - 2, y: y + 4, "text-anchor": "end", "font-size": 12, fill: colours.soft,
      }, count(row.n));
    }
    if (raw && row.raw && Number.isFinite(row.raw.estimate)) {
      make(group, "line", {
        x1: scale(row.raw.estimate), x2: scale(row.estimate), y1: y, y2: y, stroke: GREY, "stroke-dasharray": "2 2",
      });
      make(group, "circle", {
        cx: scale(row.raw.estimate), cy: y, r: 4, fill: colours.ground, stroke: colours.orange, "stroke-width": 1.6,
      });
    }
    if (!raw && row.wide.every(Number.isFinite)) {
      const bar = { y1: y, y2: y, stroke: colours.blue };
      make(group, "line", { ...bar, x1: scale(row.wide[0]), x2: scale(row.wide[1]), "stroke-width": 1.6 });
      make(group, "line", { ...bar, x1: scale(row.inner[0]), x2: scale(row.inner[1]), "stroke-width": 4.5 });
    }
    if (Number.isFinite(row.estimate)) {
      make(group, "circle", { cx: scale(row.estimate), cy: y, r: 4.5, fill: colours.blue, stroke: colours.ground });
    }
  });
  return svg;
}

function mixed(palette, t) {
  const at = Math.min(Math.max(t, 0), 1) * (palette.length - 1);
  const i = Math.min(Math.floor(at), palette.length - 2);
  const part = (text, k) => parseInt(text.slice(1 + 2 * k, 3 + 2 * k), 16);
  const rgb = [0, 1, 2].map((k) => {
    const [a, b] = [part(palette[i], k), part(palette[i + 1], k)];
    return Math.round(a + (b - a) * (at - i));
  });
  return { colour: `rgb(${rgb.join(",")})`, light: 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] > 140 };
}

// cells[i][j]: {estimate, sure, text, n} or null; `sure` from 0 to 1 is how certain the side of the null is.
export function heatMap(cells, rowNames, columnNames, { width, title, nothing, rowLabel, columnLabel }) {
  const left = Math.min(Math.max(...rowNames.map((t) => widthOf(t, 12)), widthOf(rowLabel, 12)) + 12, 0.34 * width);
  const side = Math.min((width - left - 4) / columnNames.length, 120);
  const height = Math.min(Math.max(side * 0.6, 34), 64);
  const top = 42;
  const [svg, colours] = canvas(width, top + rowNames.length * height + 6, title);
  const known = cells.flat().filter((c) => c && Number.isFinite(c.estimate));
  const middle = Number.isFinite(nothing) ? nothing : known.reduce((s, c) => s + c.estimate, 0) / known.length;
  const most = Math.max(...known.map((c) => Math.abs(c.estimate - middle)), 1e-300);
  const small = { fill: colours.soft, "font-size": 12 };
  make(svg, "text", { x: left + 2, y: 14, ...small, "font-weight": 600 }, shortened(columnLabel, width - left, 12));
  make(svg, "text", { x: 2, y: 32, ...small, "font-weight": 600 }, shortened(rowLabel, left - 8, 12));
  columnNames.forEach((name, j) => make(svg, "text", {
    x: left + (j + 0.5) * side, y: 32, "text-anchor": "middle", ...small,
  }, shortened(name, side - 6, 12)));
  rowNames.forEach((name, i) => {
    const y = top + i * height;
    make(svg, "text", { x: 2, y: y + height / 2 + 4, fill: colours.ink, "font-size": 12 }, shortened(name, left - 8, 12));
    columnNames.forEach((other, j) => {
      const cell = cells[i][j];
      const x = left + j * side;
      const group = make(svg, "g", {});
      if (!cell || !Number.isFinite(cell.estimate)) {
        make(group, "title", {}, `${name}, ${other}: nobody`);
        make(group, "rect", { x: x + 1, y: y + 1, width: side - 2, height: height - 2, fill: "none", stroke: colours.rule });
        return;
      }
      const { colour, light } = mixed(DIVERGING, 0.5 + (cell.estimate - middle) / most / 2);
      make(group, "title", {}, `${name}, ${other}: ${cell.text}, n = ${count(cell.n)}`);
      make(group, "rect", { x: x + 1, y: y + 1, width: side - 2, height: height - 2, fill: colour });
      const ink = { "text-anchor": "middle", fill: light ? "#1a1a1a" : "#ffffff" };
      make(group, "text", { x: x + side / 2, y: y + height / 2 + (cell.sure === null ? 4 : -1), ...ink }, cell.short);
      if (cell.sure !== null) {
        make(group, "text", { x: x + side / 2, y: y + height / 2 + 13, ...ink, "font-size": 11 }, cell.sure);
      }
    });
  });
  return svg;
}

// rows: {name, places, best, mean}
export function rankMap(rows, { width, title }) {
  const left = Math.min(Math.max(...rows.map((r) => widthOf(r.name, 12))) + 12, 0.4 * width);
  const side = Math.min((width - left - 4) / rows.length, 44);
  const height = 24;
  const top = 24;
  const [svg, colours] = canvas(width, top + rows.length * height + 26, title);
  rows.forEach((row, i) => {
    const y = top + i * height;
    make(svg, "text", { x: 2, y: y + 16, "font-size": 12 }, shortened(row.name, left - 8, 12));
    row.places.forEach((p, j) => {
      const group = make(svg, "g", {});
      const { colour, light } = mixed(RISING, Math.sqrt(p));
      make(group, "title", {}, `${row.name}: place ${j + 1} with probability ${p.toFixed(3)}`);
      make(group, "rect", {
        x: left + j * side + 0.5, y: y + 0.5, width: side - 1, height: height - 1, fill: colour, stroke: colours.rule,
      });
      if (side >= 30 && p >= 0.005) {
        make(group, "text", {
          x: left + (j + 0.5) * side, y: y + 16, "text-anchor": "middle", "font-size": 11,
          fill: light ? "#1a1a1a" : "#ffffff",
        }, p.toFixed(2).replace(/^0/, ""));
      }
    });
  });
  const every = Math.max(1, Math.ceil(24 / side));
  rows.forEach((_, j) => {
    if (j % every === 0) {
      make(svg, "text", {
        x: left + (j + 0.5) * side, y: 15, "text-anchor": "middle", "font-size": 12, fill: colours.soft,
      }, String(j + 1));
    }
  });
  make(svg, "text", {
    x: left, y: top + rows.length * height + 18, "font-size": 12, fill: colours.soft,
  }, "place, 1 the best; darker is more probable");
  return svg;
}

function offer(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export function saveText(text, name, kind) {
  offer(new Blob([text], { type: `${kind};charset=utf-8` }), name);
}

export function saveSvg(svg, name) {
  saveText(new XMLSerializer().serializeToString(svg), name, "image/svg+xml");
}

export function savePng(svg, name) {
  const [width, height] = [Number(svg.getAttribute("width")), Number(svg.getAttribute("height"))];
  const image = new Image();
  image.onload = () => {
    const surface = document.createElement("canvas");
    [surface.width, surface.height] = [2 * width, 2 * height];
    surface.getContext("2d").drawImage(image, 0, 0, surface.width, surface.height);
    surface.toBlob((blob) => offer(blob, name), "image/png");
  };
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(svg))}`;
}
