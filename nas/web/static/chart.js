// Charts: Plotly's script, which comes out of the Python package, in this page's colours.

import { announce, download, h } from "./dom.js";
import { isDark } from "./look.js";

let loading = null;

export function loadPlotly() {
  loading ??= new Promise((done, failed) => {
    const script = h("script", { src: "/static/plotly.min.js" });
    script.addEventListener("load", () => done(window.Plotly));
    script.addEventListener("error", () => failed(new Error("Plotly's script did not load; reload the page")));
    document.head.append(script);
  });
  return loading;
}

export const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export function axis(title, extra = {}) {
  return {
    title: { text: title, standoff: 10, font: { size: 12.5 } },
    gridcolor: token("grid"), linecolor: token("line"), zeroline: false, automargin: true,
    ticks: "outside", ticklen: 4, tickcolor: token("line"), tickfont: { size: 12 }, ...extra,
  };
}

const LEADS = [1, 2, 5];

// Round numbers on a logarithmic axis, few enough to be read.
export function logAxis(title, values, extra = {}) {
  const positive = values.filter((value) => value > 0);
  if (!positive.length) return axis(title, extra);
  let [low, high] = [Math.min(...positive), Math.max(...positive)];
  if (high / low < 1.2) [low, high] = [low * 0.9, high * 1.1];
  const room = (high / low) ** 0.05;
  [low, high] = [low / room, high * room];
  const ticks = [];
  for (let decade = Math.floor(Math.log10(low)); decade <= Math.ceil(Math.log10(high)); decade++) {
    const leads = high / low < 4 ? [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9] : high / low < 100 ? [1, 1.5, 2, 3, 5, 7] : LEADS;
    for (const lead of leads) {
      const tick = lead * 10 ** decade;
      if (tick >= low && tick <= high) ticks.push(Number(tick.toPrecision(3)));
    }
  }
  return axis(title, { type: "log", range: [Math.log10(low), Math.log10(high)], tickvals: ticks, ticktext: ticks.map((tick) => `${tick}`), ...extra });
}

export function layout(extra) {
  const ink = token("ink");
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: token("font"), size: 13, color: ink }, margin: { l: 56, r: 16, t: 12, b: 48 },
    hoverlabel: { bgcolor: token("raised"), bordercolor: token("line"), align: "left", font: { color: ink, size: 12.5 } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 12 }, itemsizing: "constant" },
    hovermode: "closest", dragmode: "zoom", showlegend: true, ...extra,
  };
}

export const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false, doubleClick: "reset" };

// A chart with its title and its downloads; `rows` gives its numbers, the first row the names.
export function card(title, { rows, label, name, note, height = 420 }) {
  const plot = h("div", { class: "plot", role: "img", "aria-label": label ?? title, style: { height: `${height}px` } });
  const saved = (kind) => () => save(kind, plot, rows?.() ?? [], name);
  const element = h("section", { class: "card chart", "aria-label": title },
    h("div", { class: "card-head" }, h("h2", {}, title),
      h("div", { class: "downloads" }, ["SVG", "CSV", "JSON"].map((kind) =>
        h("button", { type: "button", class: "quiet", "aria-label": `${title} as ${kind}`, onclick: saved(kind) }, kind)))),
    note ? h("p", { class: "note" }, note) : null, plot);
  return { element, plot };
}

export async function save(kind, plot, rows, name) {
  if (kind === "SVG") {
    const { data, layout: drawn } = plot;
    const images = plot.cloud ? [plot.cloud.image()] : [];
    const image = await (await loadPlotly()).toImage({ data, layout: { ...drawn, images, paper_bgcolor: token("surface") } }, { format: "svg", width: 1000, height: 560 });
    download(`${name}.svg`, decodeURIComponent(image.slice(image.indexOf(",") + 1)), "image/svg+xml");
  } else if (kind === "CSV") {
    download(`${name}.csv`, rows.map((row) => row.map(cell).join(",")).join("\n") + "\n", "text/csv");
  } else {
    const [names, ...rest] = rows;
    const documents = rest.map((row) => Object.fromEntries(names.map((key, at) => [key, row[at] ?? null])));
    download(`${name}.json`, JSON.stringify(documents, null, 1), "application/json");
  }
  announce(`${name} saved as ${kind}`);
}

function cell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export const grey = () => (isDark() ? "rgba(160,172,186,0.35)" : "rgba(120,132,146,0.35)");
