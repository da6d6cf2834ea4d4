// One architecture, layer by layer and to scale, beside another one where that is asked.

import { get, part, query } from "../api.js";
import { h, show } from "../dom.js";
import { extractButton } from "../extract.js";
import { bytes, count, quality, quantity, target as readable, words } from "../format.js";
import { colour, glyph, legend, strip } from "../look.js";
import { setState, state } from "../main.js";
import { known, label, latencyOf, scoreOf } from "../points.js";

export async function open(main, job, digest) {
  const front = await get(`/jobs/${part(job)}/front`);
  const body = h("div");
  const title = h("h1", {}, digest.slice(0, 8));

  async function draw() {
    const target = front.targets.includes(state().target) ? state().target : front.targets[0];
    const load = (each) => get(`/jobs/${part(job)}/points/${part(each)}${query({ target })}`);
    const point = await load(digest);
    const other = state().compare ? await load(state().compare) : null;
    show(title, point.preset ? `★ ${point.preset}` : point.digest.slice(0, 8));
    const others = front.points.filter((each) => each.digest !== point.digest);
    const chooser = h("label", {}, "Compare with", h("select", { id: "compare", onchange: (event) => setState({ compare: event.target.value }) },
      h("option", { value: "" }, "nothing"),
      others.map((each) => h("option", { value: each.digest, selected: each.digest === other?.digest }, `${each.preset ? `★ ${each.preset}` : each.digest.slice(0, 8)} · ${quality(scoreOf(each, front))}`))));
    const button = extractButton(job, point.digest);
    const shown = other ? [point, other] : [point];
    const scale = {
      hidden: Math.max(...shown.flatMap((each) => each.layers.map((layer) => layer.hidden))),
      state: Math.max(1, ...shown.flatMap((each) => each.layers.map((layer) => layer.state_bytes))),
      width: Math.max(...shown.map((each) => each.architecture.width)),
    };
    show(body,
      h("div", { class: "controls" }, chooser, h("span", { class: "spacer" }), button.element), button.problem,
      h("p", { class: "muted" }, `States as they stand at ${readable(target).tokens} tokens of one sequence, in 4 bytes a number. `, legend(shown.map((each) => each.architecture))),
      h("div", { class: other ? "pair" : null }, shown.map((each, at) => stack(each, shown[1 - at], scale))),
      h("section", { class: "card" }, h("h2", {}, "Numbers"), numbers(shown, front, target)));
  }

  show(main, h("p", {}, h("a", { href: `/jobs/${part(job)}${query({ target: state().target, point: digest })}` }, `← ${job}`)), h("div", { class: "view-head" }, title), body);
  await draw();
  return { changed: draw };
}

function stack(point, other, scale) {
  const bar = (share, text, background, name) => h("span", { class: "bar-row" }, h("span", { class: "bar-name" }, name),
    h("span", { class: "scale" }, h("i", { style: { width: `${Math.max(share > 0 ? 1 : 0, 100 * share)}%`, background } })), h("span", { class: "bar-text" }, text));
  return h("section", { class: "card", "aria-label": `Layers of ${point.preset ?? point.digest}` },
    h("h2", {}, point.preset ? h("span", { class: "star" }, `★ ${point.preset}`) : h("code", {}, point.digest.slice(0, 8)), " ", strip(point.architecture)),
    h("ol", { class: "layers" }, point.layers.map((layer, at) => {
      const same = !other || (other.layers[at] && ["mixer", "heads", "channel", "ratio", "conv", "kv_heads", "width"].every((gene) => layer[gene] === other.layers[at][gene]));
      return h("li", { class: same ? null : "differs" },
        h("span", { class: "layer-number" }, at + 1, same ? null : h("span", { class: "differs-mark", title: "differs from the other" }, "≠")),
        h("span", { class: "layer-mixer" }, h("i", { class: "swatch", style: { background: layer.mixer === "none" ? "var(--faint)" : colour(layer.mixer) } }, glyph(layer.mixer)),
          h("span", {}, layer.mixer === "none" ? "no mixer" : layer.mixer, h("small", { class: "muted" }, layer.heads ? ` ${layer.heads} heads` : "", layer.kv_heads ? `, ${layer.kv_heads} of keys and values` : "", layer.conv ? `, convolutions of ${layer.conv}` : ""))),
        h("span", { class: "layer-bars" },
          bar(layer.hidden / scale.hidden, `${layer.hidden} (×${layer.ratio})`, "var(--accent)", layer.channel ?? "feed-forward"),
          bar(layer.state_bytes / scale.state, bytes(layer.state_bytes), "var(--preset)", "state")));
    })),
    h("p", { class: "muted" }, `width ${point.architecture.width} · ${point.architecture.stem ? `${point.architecture.stem} · ${point.architecture.readout}` : `vocabulary ${point.architecture.vocabulary}`} · ${count(point.parameters)} parameters · ${bytes(point.state_bytes)} of state`));
}

function numbers(shown, front, target) {
  const objectives = [latencyOf(target), ...front.objectives.filter((o) => o.name !== "quality" && !(o.name.startsWith("latency_ms") && o.target === target))];
  const rows = [
    [`${words(front.quality.metric)}, validation`, (point) => quality(scoreOf(point, front))],
    [`${words(front.quality.metric)}, test`, (point) => quality(scoreOf(point, front, "test"))],
    ...objectives.flatMap((objective) => {
      const name = `${label(front, objective)}${objective.target && objective.target !== target ? ` on ${readable(objective.target).device}` : ""}${objective.unit === "ms" ? ", ms" : ""}`;
      const cell = (field) => (point) => quantity(known(point, objective)?.[field], objective.unit);
      return shown.some((point) => known(point, objective)?.exact) ? [[name, cell("best")]] : [[`${name}, predicted`, cell("predicted")], [`${name}, measured`, cell("measured")]];
    }),
    ["parameters", (point) => count(point.parameters)], ["MACs", (point) => count(point.macs)], ["state", (point) => bytes(point.state_bytes)],
  ];
  return h("div", { class: "wide", role: "region", tabindex: "0", "aria-label": "Numbers" }, h("table", {},
    h("thead", {}, h("tr", {}, h("td"), shown.map((point) => h("th", { scope: "col", class: "number" }, point.preset ?? point.digest.slice(0, 8))))),
    h("tbody", {}, rows.map(([name, cell]) => h("tr", {}, h("th", { scope: "row" }, name), shown.map((point) => h("td", { class: "number" }, cell(point))))))));
}
