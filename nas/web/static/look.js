// One visual language: a hue, a letter and a mark for each token mixer; an architecture as a strip of cells.

import { h } from "./dom.js";

const MARKS = ["circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "hexagon", "octagon",
  "cross", "x", "triangle-left", "triangle-right", "star-triangle-up", "star-square", "star-diamond"];
const UNKNOWN = { glyph: "?", colour: "#7a7f87" };
let looks = {};
let names = [];

export function setLooks(found) {
  looks = found;
  names = Object.keys(found);
}

export const family = (option) => option.split(":")[0];
export const isDark = () => document.documentElement.dataset.theme === "dark";

export function colour(option) {
  const plain = (looks[family(option)] ?? UNKNOWN).colour;
  return isDark() ? lighter(plain, 0.38) : plain;
}

export const glyph = (option) => (option === "none" ? "·" : (looks[family(option)] ?? UNKNOWN).glyph);
export const mark = (option) => MARKS[Math.max(0, names.indexOf(family(option))) % MARKS.length];

function lighter(hex, share) {
  const parts = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  return `#${parts.map((part) => Math.round(part + (255 - part) * share).toString(16).padStart(2, "0")).join("")}`;
}

// The mixer that most layers have; the first among equals.
export function dominant(architecture) {
  const seen = new Map();
  for (const { mixer } of architecture.layers) {
    if (mixer !== "none") seen.set(family(mixer), (seen.get(family(mixer)) ?? 0) + 1);
  }
  let best = "none";
  for (const [name, times] of seen) if (times > (seen.get(best) ?? 0)) best = name;
  return best;
}

export function describeLayer(layer) {
  const heads = layer.heads ? `, ${layer.heads} heads` : "";
  const taps = layer.conv ? `, convolutions of ${layer.conv}` : "";
  return `${layer.mixer}${heads}${taps}, ${layer.channel ?? "ffn"} ×${layer.ratio}`;
}

// Cells, first layer first: the letter says the mixer, the height of the colour the feed-forward ratio.
export function strip(architecture, highest = 4) {
  const label = architecture.layers.map((layer, at) => `${at + 1}: ${describeLayer(layer)}`).join("; ");
  return h("span", { class: "strip", role: "img", "aria-label": label, title: label },
    architecture.layers.map((layer) => h("span", { class: "cell" },
      h("i", { style: { height: `${Math.max(12, Math.min(100, (100 * layer.ratio) / highest))}%`, background: layer.mixer === "none" ? "var(--faint)" : colour(layer.mixer) } }),
      h("b", {}, glyph(layer.mixer)))));
}

export function legend(architectures) {
  const seen = new Set(architectures.flatMap((each) => each.layers.map((layer) => family(layer.mixer))));
  return h("p", { class: "legend" }, [...seen].sort().map((name) => h("span", {},
    h("i", { class: "swatch", style: { background: name === "none" ? "var(--faint)" : colour(name) } }, glyph(name)), name === "none" ? "no mixer" : name)),
    h("span", {}, "height: feed-forward ratio"));
}
