// Every candidate of a job behind a chart's marks, on a canvas of its own: as SVG they would freeze the page,
// and Plotly's WebGL traces compile code as they run, which this page's content policy forbids.

import { thin } from "./cloud.js";
import { h } from "./dom.js";
import { grey } from "./chart.js";

const RADIUS = 2.6;
const REACH = 9; // pixels from a dot within which it is pointed at

export class CloudLayer {
  // point: called with the row that is pointed at, or null; choose: with the row that is clicked.
  constructor(plot, { point, choose }) {
    Object.assign(this, { plot, point, choose, x: null, y: null, dots: [], at: null });
    this.canvas = h("canvas", { class: "cloud", "aria-hidden": "true" });
    plot.append(this.canvas);
    for (const event of ["plotly_afterplot", "plotly_relayouting"]) plot.on(event, () => this.draw());
    plot.on("plotly_hover", () => { this.covered = true; this.tell(null); });
    plot.on("plotly_unhover", () => { this.covered = false; });
    plot.addEventListener("mousemove", (event) => this.moved(event));
    plot.addEventListener("mouseleave", () => this.tell(null));
    plot.addEventListener("click", () => { if (this.at !== null && !this.covered) this.choose(this.at); });
  }

  set(x, y) {
    [this.x, this.y] = [x, y];
    this.draw();
  }

  draw() {
    const { _fullLayout: shown } = this.plot;
    const context = this.canvas.getContext("2d");
    if (!this.x || !shown?.xaxis?.range) return;
    const { l, t, w, h: high } = shown._size;
    const ratio = devicePixelRatio || 1;
    Object.assign(this.canvas, { width: w * ratio, height: high * ratio });
    for (const [name, value] of Object.entries({ left: l, top: t, width: w, height: high })) this.canvas.style[name] = `${value}px`;
    const [left, right] = shown.xaxis.range.map((end) => 10 ** end);
    const [low, up] = shown.yaxis.range;
    const rows = thin(this.x, this.y, { x: [left, right], y: [Math.min(low, up), Math.max(low, up)] });
    const width = w / Math.log(right / left);
    context.scale(ratio, ratio);
    context.fillStyle = grey();
    context.beginPath();
    this.dots = rows.map((row) => {
      const dot = [Math.log(this.x[row] / left) * width, ((up - this.y[row]) / (up - low)) * high, row];
      context.moveTo(dot[0] + RADIUS, dot[1]);
      context.arc(dot[0], dot[1], RADIUS, 0, 7);
      return dot;
    });
    context.fill();
  }

  moved(event) {
    if (this.covered) return;
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let [nearest, distance] = [null, REACH ** 2];
    for (const [dotX, dotY, row] of this.dots) {
      const off = (dotX - x) ** 2 + (dotY - y) ** 2;
      if (off < distance) [nearest, distance] = [row, off];
    }
    this.tell(nearest);
  }

  tell(row) {
    if (row === this.at) return;
    this.at = row;
    this.plot.classList.toggle("pointed", row !== null);
    this.point(row);
  }

  // As an image behind a chart that is saved.
  image() {
    return { source: this.canvas.toDataURL(), xref: "paper", yref: "paper", x: 0, y: 1, sizex: 1, sizey: 1, sizing: "stretch", layer: "below" };
  }
}
