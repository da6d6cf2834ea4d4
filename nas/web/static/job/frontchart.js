// Quality over latency, or over another objective: the front, published designs, every candidate behind them,
// the budget, and a ring around the architecture that is chosen.

import { get, part } from "../api.js";
import { CONFIG, axis as axisOf, card, layout, loadPlotly, logAxis, token } from "../chart.js";
import { key, span } from "../cloud.js";
import { CloudLayer } from "../cloudlayer.js";
import { h, show } from "../dom.js";
import { count, quality, words } from "../format.js";
import { strip } from "../look.js";
import { members, pointTraces, scoreOf, sign } from "../points.js";
import { axisName } from "./axes.js";

// The worst candidates would press the front to an edge; zooming out shows them.
const [HIDDEN_X, HIDDEN_Y] = [0.01, 0.03];

export class FrontChart {
  // choose: called with the digest that is clicked; rows: gives the numbers to save.
  constructor(job, front, axis, { choose, rows }) {
    Object.assign(this, { job, front, axis, choose, cloud: null, budget: null, chosen: null, marking: false });
    const drawn = members(front).filter((point) => axis.of(point) > 0).length;
    const { element, plot } = card(`Quality over ${axisName(front, axis)}`, {
      name: `${job}-front`, height: innerWidth < 700 ? 340 : 440, rows,
      label: `${drawn} architectures on the front; the table below has the same numbers`,
    });
    Object.assign(this, { element, plot });
  }

  async draw(cloud, budget, chosen) {
    Object.assign(this, { cloud, budget, chosen });
    const { axis, front, plot } = this;
    const Plotly = await loadPlotly();
    if (!plot.isConnected) return;
    const [x, y] = [cloud?.values.get(axis.column), cloud?.values.get(key("quality"))];
    const traces = [...pointTraces(front, axis.objective, { x: axis.ratio ? axis.of : null }), ring(chosen, axis.of, front)];
    await Plotly.react(plot, traces, this.layout(x, y), CONFIG);
    if (!plot.cloud) {
      plot.cloud = new CloudLayer(plot, { point: (row) => this.pointAt(row), choose: (row) => this.choose(this.cloud.digest(row)) });
      plot.on("plotly_click", ({ points: [hit] }) => this.choose(hit.customdata));
    }
    if (x && plot.cloud.x !== x) plot.cloud.set(x, y);
    plot.dataset.drawn = x ? "cloud" : "front";
  }

  layout(x, y) {
    const { axis, budget, front } = this;
    const values = front.points.map(axis.of).filter((value) => value > 0);
    const qualities = front.points.map((point) => scoreOf(point, front)).filter((value) => value !== null);
    if (x) {
      values.push(...(span(x.filter((value) => value > 0), HIDDEN_X) ?? []));
      qualities.push(...(span(y, HIDDEN_Y, sign(front)) ?? []));
    }
    const [low, high] = [Math.min(...qualities), Math.max(...qualities)];
    const room = 0.05 * (high - low || 1);
    const better = sign(front) > 0 ? "lower" : "higher";
    return layout({
      shapes: [limit(budget)], uirevision: `${axis.id} ${Boolean(x)}`, xaxis: logAxis(axis.title, values),
      yaxis: axisOf(`${words(front.quality.metric)}, ${better} is better`, { range: [low - room, high + room] }),
    });
  }

  // Moves the budget's line and the ring, once a frame however fast the slider is.
  mark(budget, chosen) {
    Object.assign(this, { budget, chosen });
    if (this.marking) return;
    this.marking = true;
    requestAnimationFrame(async () => {
      this.marking = false;
      const { plot } = this;
      if (!plot.data || !plot.isConnected) return;
      const { x, y } = ring(this.chosen, this.axis.of, this.front);
      await (await loadPlotly()).update(plot, { x: [x], y: [y] }, { shapes: [limit(this.budget)] }, [plot.data.length - 1]);
    });
  }

  // Of the cloud numbers are all that is here: the rest of one point is fetched when it is pointed at.
  async pointAt(row) {
    this.note ??= h("div", { class: "hover-note", "aria-hidden": "true" });
    this.pointed = row;
    if (row === null || !this.plot.isConnected) return this.note.remove();
    this.plot.parentNode.append(this.note);
    const digest = this.cloud.digest(row);
    const metric = words(this.front.quality.metric);
    show(this.note, `${digest.slice(0, 8)} · ${metric} ${quality(this.cloud.values.get(key("quality"))[row])}`);
    const point = await get(`/jobs/${part(this.job)}/points/${digest}`).catch(() => null);
    if (point && this.pointed === row) show(this.note, strip(point.architecture), ` ${metric} ${quality(scoreOf(point, this.front))} · ${count(point.parameters)} parameters`);
  }
}

function ring(point, of, front) {
  const there = point && of(point) > 0;
  return {
    x: [there ? of(point) : null], y: [there ? scoreOf(point, front) : null], mode: "markers", hoverinfo: "skip", showlegend: false,
    marker: { size: 24, symbol: "circle-open", color: token("ink"), line: { width: 2.5, color: token("ink") } },
  };
}

const limit = (budget) => ({ type: "line", x0: budget, x1: budget, yref: "paper", y0: 0, y1: 1, line: { color: token("muted"), width: 1.2, dash: "dash" } });
