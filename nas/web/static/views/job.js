// One job: where it stands, and its front, linked to a budget, a table and its neighbours.

import { get, getBytes, part, post, postForBlob, query } from "../api.js";
import { CONFIG, axis, card, layout, loadPlotly, logAxis, token } from "../chart.js";
import { hypervolumes, key, parseCloud, span } from "../cloud.js";
import { CloudLayer } from "../cloudlayer.js";
import { announce, download, h, show } from "../dom.js";
import { bytes, count, duration, moment, percent, quality, quantity, target as readable, words } from "../format.js";
import { follow } from "../live.js";
import { describeLayer, legend, strip } from "../look.js";
import { setState, showFailure, state } from "../main.js";
import { hover, known, label, latencyOf, medianMiss, members, pointTraces, sign, unit, within } from "../points.js";
import { Progress } from "../progress.js";
import { table } from "../table.js";
import { chip, reason } from "./jobs.js";

const REFRESH_MS = 2500;
const VERBS = { queued: ["cancel"], running: ["interrupt", "cancel"], interrupted: ["resume", "cancel"], failed: ["resume", "cancel"], succeeded: [], cancelled: [] };

export async function open(main, id) {
  const view = new JobView(main, await get(`/jobs/${part(id)}`));
  await view.start();
  return { changed: () => view.draw(), close: () => view.close() };
}

class JobView {
  constructor(main, job) {
    Object.assign(this, { job, front: null, cloud: null, closed: false, timer: null });
    this.progress = new Progress(job.stages);
    this.head = h("div");
    this.body = h("div", { class: "job-body" });
    this.why = h("section", { class: "card", hidden: true });
    this.log = h("ol", { class: "log" });
    show(main, this.head, this.body, this.why, h("details", { class: "card" }, h("summary", {}, "What happened"), this.log));
  }

  async start() {
    this.drawHead();
    const loading = [this.loadEvents(), this.loadFront()];
    if (this.job.task) loadPlotly();
    await Promise.all(loading);
    this.follow();
    this.draw().then(() => this.loadCloud());
    this.ticking = setInterval(() => this.drawStages(), 1000);
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    clearInterval(this.ticking);
    this.observer?.disconnect();
  }

  async loadEvents() {
    let after = Math.max(0, this.job.last_event - 800);
    for (;;) {
      const { events } = await get(`/jobs/${part(this.job.id)}/events?after=${after}`);
      for (const event of events) this.take(event);
      if (events.length < 500) break;
      after = events.at(-1).sequence;
    }
  }

  take(event) {
    this.last = event.sequence;
    this.progress.take(event);
    if (event.kind === "progress") return;
    const text = event.kind === "status" ? `is ${event.message}` : event.message;
    this.log.prepend(h("li", {}, h("time", {}, new Date(event.time * 1000).toLocaleTimeString()), h("b", {}, event.stage ?? "job"), h("span", {}, text)));
    while (this.log.childElementCount > 300) this.log.lastChild.remove();
  }

  async loadFront() {
    if (!this.job.task) {
      this.profiles = await get(`/jobs/${part(this.job.id)}/profile`);
      return;
    }
    const { target, view } = state();
    const several = this.job.targets.length > 1;
    const asked = view === "robust" && several ? { robust: 1 } : several && target ? { target } : {};
    this.front = await get(`/jobs/${part(this.job.id)}/front${query(asked)}`);
    this.asked = JSON.stringify(asked);
  }

  async loadCloud() {
    if (!this.front?.evaluated) return;
    try {
      this.cloud = parseCloud(await getBytes(`/jobs/${part(this.job.id)}/cloud`));
    } catch {
      return; // the front is there without it
    }
    if (!this.closed) await this.drawCharts?.();
  }

  follow() {
    follow(query({ job: this.job.id, after: this.last ?? 0 }), {
      event: (event) => {
        this.take(event);
        this.drawStages();
        if (event.kind !== "progress") this.refreshJob();
        if (["search", "verify", "finalists"].includes(event.stage)) this.refreshSoon();
      },
      over: () => { this.refreshJob(); this.refreshSoon(); },
    });
  }

  async refreshJob() {
    const before = this.job.status;
    this.job = await get(`/jobs/${part(this.job.id)}`).catch(() => this.job);
    if (before !== this.job.status) announce(`${this.job.id} is ${this.job.status}`);
    if (!this.closed) this.drawHead();
  }

  refreshSoon() {
    if (this.timer || this.closed) return;
    this.timer = setTimeout(async () => {
      this.timer = null;
      try {
        await this.loadFront();
        if (!this.closed) await this.draw();
        await this.loadCloud();
      } catch {
        // The next event tries again.
      }
    }, REFRESH_MS);
  }

  // The head: what the job is, where it stands
  drawHead() {
    const { job } = this;
    const act = (verb) => async () => {
      try {
        this.job = await post(`/jobs/${part(job.id)}/${verb}`);
        if (verb === "resume") this.follow();
        this.drawHead();
      } catch (error) {
        announce(error.message);
        show(this.problem, error.message);
      }
    };
    this.problem = h("p", { class: "problem", role: "alert" });
    this.stages = h("ol", { class: "stages", "aria-label": "Stages" });
    show(this.head,
      h("div", { class: "view-head" },
        h("div", {}, h("h1", {}, job.id, " ", chip(job.status)),
          h("p", { class: "muted" }, `${job.space}${job.task ? ` on ${job.task}` : ", profiling only"} · submitted ${moment(job.created_at)}`)),
        h("div", { class: "actions" },
          VERBS[job.status].map((verb) => h("button", { type: "button", class: verb === "resume" ? "primary" : null, onclick: act(verb) }, verb[0].toUpperCase() + verb.slice(1))))),
      this.problem, reason(job, this.progress), this.stages);
    this.drawStages();
  }

  drawStages() {
    if (this.closed || !this.stages) return;
    const over = this.job.status === "succeeded";
    show(this.stages, [...this.progress.stages.values()].map((stage) => {
      const done = over || stage.ended;
      const live = stage.started && !stage.ended && this.job.status === "running";
      const left = live ? this.progress.remaining(stage) : null;
      const share = done ? 1 : stage.total ? stage.done / stage.total : 0;
      const took = stage.started ? (stage.ended ?? (live ? this.progress.now() : this.progress.at)) - stage.started : null;
      return h("li", { class: done ? "done" : live ? "live" : stage.started ? "stopped" : "waiting", "aria-current": live ? "step" : null },
        h("div", { class: "stage-name" }, h("b", {}, stage.name), h("span", { class: "muted" }, took === null ? "" : duration(Math.max(0, took)))),
        h("progress", { max: 1, value: share, "aria-label": `${stage.name}: ${percent(share)}` }),
        h("div", { class: "stage-note" }, live ? [stage.total ? `${Math.round(stage.done)}/${Math.round(stage.total)} ` : "", left === null ? "" : `· ${duration(left)} left`] : done ? "done" : stage.started ? "stopped" : "waits"));
    }));
  }

  // The body: what it found
  async draw() {
    const { target, view } = state();
    const several = this.job.targets.length > 1;
    const asked = JSON.stringify(view === "robust" && several ? { robust: 1 } : several && target ? { target } : {});
    if (this.front && asked !== this.asked) {
      try {
        await this.loadFront();
      } catch (error) {
        return showFailure(error);
      }
    }
    this.drawCharts = null;
    if (!this.front) return show(this.body, this.profiles ? profileCards(this.profiles) : null);
    if (!this.front.points.length) {
      return show(this.body, h("section", { class: "card empty" }, h("h2", {}, this.front.evaluated ? "Nothing is within what was asked" : "No architecture has been evaluated yet"),
        h("p", { class: "muted" }, this.front.evaluated ? `None of ${this.front.evaluated} candidates meets the bounds.` : "The front appears here as soon as the search begins.")));
    }
    const axes = this.axes();
    const chosen = axes.find((each) => each.id === state().x) ?? axes[0];
    await this.build(axes, chosen);
    this.explainWhenSeen();
  }

  axes() {
    const { front } = this;
    const shown = state().target && front.targets.includes(state().target) ? state().target : front.targets[0];
    if (front.robust) {
      return [{ id: "ratio", objective: { name: "latency_ms", unit: "", target: null }, title: "worst latency ÷ best on that target", of: (point) => front.robust.worst_ratio[point.digest] ?? null, ratio: true }];
    }
    const objectives = [latencyOf(shown), ...front.objectives.filter((o) => o.name !== "quality" && !(o.name.startsWith("latency_ms") && o.target === shown))];
    return objectives.map((objective) => ({
      id: `${objective.name}${objective.target ?? ""}`, objective,
      title: `${label(front, objective)}${objective.unit === "ms" ? ", ms" : objective.unit === "bytes" ? ", bytes" : ""}${objective.target && objective.target !== shown ? ` on ${readable(objective.target).device}` : ""}`,
      of: (point) => known(point, objective)?.best ?? null,
      column: key(objective.name.split("@")[0], objective.target),
    }));
  }

  build(axes, chosen) {
    const { front, job } = this;
    const { objective, of } = chosen;
    const drawn = members(front).filter((point) => of(point) > 0);
    const ends = [Math.min(...drawn.map(of)), Math.max(...drawn.map(of))];
    const asked = front.objectives.find((o) => o.name === objective.name && o.target === objective.target)?.bound ?? null;
    const budget = Number(state().budget) || asked || ends[1];
    const best = within(front.points, of, front, budget);
    const selected = front.points.find((point) => point.digest === state().point) ?? best ?? drawn[0] ?? front.points[0];

    const chart = card(chosen.ratio ? "Quality over the worst latency" : `Quality over ${label(front, objective)}`, {
      name: `${job.id}-front`, height: innerWidth < 700 ? 340 : 440,
      label: `${drawn.length} architectures on the front; the table below has the same numbers`,
      rows: () => this.rows(front.points, axes),
    });
    const details = h("aside", { class: "card details", "aria-label": "Chosen architecture" });
    const log = (value) => Math.log(value);
    const slider = h("input", {
      type: "range", id: "budget", min: 0, max: 1000, step: 1,
      value: ends[1] > ends[0] ? Math.round((1000 * (log(Math.min(Math.max(budget, ends[0]), ends[1])) - log(ends[0]))) / (log(ends[1]) - log(ends[0]))) : 1000,
    });
    const says = h("output", { for: "budget", id: "budget-says" });
    const sayBudget = (at, point) => {
      const text = `${quantity(at, objective.unit)}${unit(objective) ? ` ${unit(objective)}` : ""}`;
      slider.setAttribute("aria-valuetext", `${text}: ${point ? `best ${words(front.quality.metric)} ${quality(point.quality.validation)}` : "nothing is within it"}`);
      show(says, h("b", {}, `≤ ${text}`), point ? ` → ${words(front.quality.metric)} ${quality(point.quality.validation)}` : " → nothing is within it");
    };
    slider.addEventListener("input", () => {
      const at = ends[0] * (ends[1] / ends[0]) ** (slider.value / 1000) * (1 + 1e-9);
      const point = within(front.points, of, front, at);
      sayBudget(at, point);
      setState({ budget: Number(at.toPrecision(5)), point: null }, { draw: false });
      this.mark(chart.plot, at, point, of);
      if (point) this.drawDetails(details, point, axes);
      this.markRow(point?.digest);
    });
    sayBudget(budget, best);

    const choose = (point) => {
      setState({ point: point.digest }, { draw: false });
      this.mark(chart.plot, Number(state().budget) || budget, point, of);
      this.drawDetails(details, point, axes);
      this.markRow(point.digest);
    };
    this.choose = choose;

    const volume = card("Hypervolume over evaluations", { name: `${job.id}-hypervolume`, height: 260, note: `Share of the box that quality and ${label(front, objective)} dominate.`, rows: () => [["candidates", "hypervolume"], ...(this.grown ?? [])] });
    const measured = front.points.filter((point) => known(point, objective)?.measured !== null && !known(point, objective)?.exact && known(point, objective));
    const accuracy = card("Predicted against measured", { name: `${job.id}-predictions`, height: 260, note: measured.length ? "What the predictor said before the device was asked; the band is ±5%." : "Nothing was measured of this yet.",
      rows: () => [["digest", "predicted", "measured"], ...measured.map((point) => [point.digest, known(point, objective).predicted, known(point, objective).measured])] });
    this.tableBox = h("section", { class: "card" });
    show(this.body, this.tiles(chosen), this.controls(axes, chosen),
      h("div", { class: "split" },
        h("div", {}, chart.element, h("div", { class: "card budget" }, h("label", { for: "budget" }, `Budget: ${chosen.ratio ? "worst ratio" : label(front, objective)}`), slider, says)),
        details),
      legend(front.points.map((point) => point.architecture)),
      chosen.ratio ? null : h("div", { class: "pair" }, volume.element, accuracy.element), this.tableBox);
    this.drawTable(axes, selected?.digest);
    if (selected) this.drawDetails(details, selected, axes);
    this.chosen = selected;
    // What comes later, every candidate, changes two of the charts.
    this.drawCharts = async () => {
      await this.drawFront(chart.plot, chosen, Number(state().budget) || budget, this.chosen);
      await this.drawVolume(volume.plot, chosen);
    };
    return this.drawCharts().then(() => this.drawAccuracy(accuracy.plot, objective, measured));
  }

  tiles({ objective, ratio }) {
    const { front } = this;
    const facts = [
      [front.evaluated.toLocaleString(), "evaluated"], [members(front).length, "on the front"],
      ...(ratio ? [] : [[front.points.filter((point) => known(point, objective)?.measured !== null && known(point, objective)).length, "measured"],
        [medianMiss(members(front), objective), "median miss of predictions"]]),
      [percent(front.hypervolume.value, 1), "hypervolume"],
    ];
    return h("dl", { class: "tiles" }, facts.map(([value, name]) => h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, value))));
  }

  controls(axes, chosen) {
    const { job, front } = this;
    const parts = [];
    if (job.targets.length > 1) {
      const value = state().view === "robust" ? "robust" : state().target ?? "";
      parts.push(h("label", {}, "Front for", h("select", {
        id: "target", onchange: (event) => {
          const robust = event.target.value === "robust";
          setState({ view: robust ? "robust" : null, target: robust ? null : event.target.value, budget: null, x: null });
        },
      }, option("", "all targets together", value), job.targets.map((each) => option(each, readable(each).short, value)), option("robust", "robust: the worst of all targets", value))));
    }
    if (axes.length > 1) {
      parts.push(h("label", {}, "Quality over", h("select", { id: "axis", onchange: (event) => setState({ x: event.target.value, budget: null }) },
        axes.map((each) => option(each.id, each.title, chosen.id)))));
    }
    parts.push(h("span", { class: "spacer" }), h("span", { class: "muted" }, "All candidates: "),
      ["csv", "json"].map((kind) => h("a", { class: "button quiet", href: `/api/jobs/${part(job.id)}/front.${kind}`, download: `${job.id}.${kind}` }, kind.toUpperCase())));
    return h("div", { class: "controls" }, parts);
  }

  async drawFront(plot, chosen, budget, selected) {
    const { front, cloud } = this;
    const { objective, of } = chosen;
    const Plotly = await loadPlotly();
    if (this.closed || !plot.isConnected) return;
    const [x, y] = [cloud?.values.get(chosen.column), cloud?.values.get(key("quality"))];
    const traces = pointTraces(front, objective, { x: chosen.ratio ? of : null });
    traces.push(ring(selected, of));
    const values = front.points.map(of).filter((value) => value > 0);
    const qualities = front.points.map((point) => point.quality.validation).filter((value) => value !== null);
    if (x) {
      // The worst candidates would press the front to an edge; zooming out shows them.
      values.push(...(span(x.filter((value) => value > 0), 0.01) ?? []));
      qualities.push(...(span(y, 0.03, sign(front)) ?? []));
    }
    const [low, high] = [Math.min(...qualities), Math.max(...qualities)];
    const room = 0.05 * (high - low || 1);
    const better = sign(front) > 0 ? "lower" : "higher";
    await Plotly.react(plot, traces, layout({
      shapes: [limit(budget)],
      uirevision: `${chosen.id} ${Boolean(x)}`, xaxis: logAxis(chosen.title, values),
      yaxis: axis(`${words(front.quality.metric)}, ${better} is better`, { range: [low - room, high + room] }),
    }), CONFIG);
    if (!plot.cloud) {
      plot.cloud = new CloudLayer(plot, { point: (row) => this.pointAt(plot, row), choose: (row) => this.chooseDigest(this.cloud.digest(row)) });
      plot.on("plotly_click", ({ points: [hit] }) => this.chooseDigest(hit.customdata));
    }
    if (x && plot.cloud.x !== x) plot.cloud.set(x, y);
    plot.dataset.drawn = x ? "cloud" : "front";
  }

  // Moves the budget's line and the ring around what is chosen, once a frame however fast the slider is.
  mark(plot, budget, point, of) {
    this.chosen = point;
    const waiting = this.marking !== undefined;
    this.marking = { budget, point };
    if (waiting) return;
    requestAnimationFrame(async () => {
      const { budget: at, point: chosen } = this.marking;
      this.marking = undefined;
      if (!plot.data || this.closed) return;
      const { x, y } = ring(chosen, of);
      await (await loadPlotly()).update(plot, { x: [x], y: [y] }, { shapes: [limit(at)] }, [plot.data.length - 1]);
    });
  }

  async chooseDigest(digest) {
    if (!digest) return;
    const shown = this.front.points.find((point) => point.digest === digest);
    const point = shown ?? await get(`/jobs/${part(this.job.id)}/points/${digest}`).catch(() => null);
    if (point && !this.closed) this.choose(point);
  }

  // Of the cloud numbers are all that is here: the rest of one point is fetched when it is pointed at.
  async pointAt(plot, row) {
    this.note ??= h("div", { class: "hover-note", "aria-hidden": "true" });
    this.pointed = row;
    if (row === null || this.closed) return this.note.remove();
    plot.parentNode.append(this.note);
    const digest = this.cloud.digest(row);
    show(this.note, `${digest.slice(0, 8)} · ${words(this.front.quality.metric)} ${quality(this.cloud.values.get(key("quality"))[row])}`);
    const point = await get(`/jobs/${part(this.job.id)}/points/${digest}`).catch(() => null);
    if (point && this.pointed === row) show(this.note, strip(point.architecture), ` ${words(this.front.quality.metric)} ${quality(point.quality.validation)} · ${count(point.parameters)} parameters`);
  }

  async drawVolume(plot, chosen) {
    const { cloud, front } = this;
    if (chosen.ratio) return;
    const [x, y] = [cloud?.values.get(chosen.column), cloud?.values.get(key("quality"))];
    if (!x || !y) return;
    const Plotly = await loadPlotly();
    const [xs, ys] = [span(x), span(y)];
    if (!xs || !ys) return;
    const signed = sign(front) > 0 ? ys : [-ys[1], -ys[0]];
    this.grown = hypervolumes(x, y, sign(front), { x: xs, y: signed });
    if (!plot.isConnected) return;
    await Plotly.react(plot, [{ x: this.grown.map(([n]) => n), y: this.grown.map(([, share]) => share), mode: "lines", line: { shape: "hv", color: token("accent"), width: 2 }, fill: "tozeroy", fillcolor: token("tint"), hovertemplate: "after %{x} candidates: %{y:.1%}<extra></extra>" }],
      layout({ showlegend: false, margin: { l: 52, r: 12, t: 8, b: 44 }, xaxis: axis("candidates evaluated", { rangemode: "tozero" }), yaxis: axis("", { tickformat: ".0%", rangemode: "tozero" }) }), CONFIG);
  }

  async drawAccuracy(plot, objective, measured) {
    if (!measured.length || !plot.isConnected) return;
    const Plotly = await loadPlotly();
    if (!plot.isConnected) return;
    const values = measured.map((point) => known(point, objective));
    const all = values.flatMap((value) => [value.predicted, value.measured]);
    const [low, high] = [Math.min(...all) * 0.9, Math.max(...all) * 1.1];
    await Plotly.react(plot, [
      { x: [low, high, high, low], y: [low * 0.95, high * 0.95, high * 1.05, low * 1.05], mode: "lines", fill: "toself", fillcolor: token("tint"), line: { width: 0 }, hoverinfo: "skip" },
      { x: [low, high], y: [low, high], mode: "lines", line: { color: token("muted"), width: 1, dash: "dot" }, hoverinfo: "skip" },
      { x: values.map((value) => value.predicted), y: values.map((value) => value.measured), mode: "markers", hoverinfo: "text", hovertext: measured.map((point) => hover(point, this.front, objective)), customdata: measured.map((point) => point.digest),
        marker: { size: 8, color: measured.map((point) => (point.preset ? token("preset") : token("accent"))), symbol: measured.map((point) => (point.preset ? "star" : "circle")), line: { color: token("surface"), width: 1 } } },
    ], layout({ showlegend: false, margin: { l: 56, r: 12, t: 8, b: 44 }, xaxis: logAxis(`predicted${unit(objective) ? `, ${unit(objective)}` : ""}`, all), yaxis: logAxis("measured", all) }), CONFIG);
    plot.on("plotly_click", ({ points: [hit] }) => this.chooseDigest(hit.customdata));
  }

  columns(axes) {
    const { front } = this;
    const number = { number: true };
    return [
      { key: "layers", label: "layers", value: (point) => point.architecture.layers.length, cell: (point) => strip(point.architecture) },
      { key: "digest", label: "digest", value: (point) => point.digest, cell: (point) => h("a", { href: this.pointUrl(point) }, h("code", {}, point.digest.slice(0, 8))) },
      { key: "design", label: "design", value: (point) => point.preset ?? "~", cell: (point) => [point.preset ? h("span", { class: "star" }, `★ ${point.preset}`) : null, point.on_front ? null : h("span", { class: "muted" }, " off the front")] },
      { key: "quality", label: words(front.quality.metric), value: (point) => point.quality.validation, cell: (point) => quality(point.quality.validation), ...number },
      { key: "test", label: "test", value: (point) => point.quality.test, cell: (point) => quality(point.quality.test), ...number },
      ...axes.map((each) => ({
        key: each.id, label: each.title, value: each.of, ...number,
        cell: (point) => {
          const value = known(point, each.objective);
          const shown = quantity(each.of(point), each.objective.unit);
          return value && !value.exact && value.measured === null && !each.ratio ? h("span", { title: "predicted" }, `~${shown}`) : shown;
        },
      })),
      ...(front.points.some((point) => point.tuned) ? [{ key: "tuned", label: "trained alone, test", value: (point) => point.tuned?.test, cell: (point) => quality(point.tuned?.test), ...number }] : []),
      { key: "parameters", label: "parameters", value: (point) => point.parameters, cell: (point) => count(point.parameters), ...number },
      { key: "state", label: "state", value: (point) => point.state_bytes, cell: (point) => bytes(point.state_bytes), ...number },
    ];
  }

  rows(points, axes) {
    const columns = this.columns(axes).filter((column) => column.key !== "layers");
    return [[...columns.map((column) => column.label || column.key), "on_front", "architecture"],
      ...points.map((point) => [...columns.map((column) => (column.key === "design" ? point.preset : column.value(point))), point.on_front, JSON.stringify(point.architecture)])];
  }

  drawTable(axes, selected) {
    const { front } = this;
    show(this.tableBox, h("div", { class: "card-head" }, h("h2", {}, "Architectures")), table({
      caption: "Architectures on the front, and published designs", columns: this.columns(axes), rows: front.points, id: (point) => point.digest, selected,
      text: (point) => [point.digest, point.preset ?? "", point.on_front ? "front" : "off", ...point.architecture.layers.map(describeLayer)].join(" "),
      state: { sort: state().sort ?? axes[0].id, filter: state().filter },
      change: (changes, quiet) => { setState(changes, { draw: false }); if (!quiet) this.drawTable(axes, state().point); },
      select: (point) => this.choose(point),
    }));
  }

  markRow(digest) {
    for (const row of this.tableBox.querySelectorAll("tr[data-id]")) row.classList.toggle("chosen", row.dataset.id === digest);
  }

  pointUrl(point) {
    return `/jobs/${part(this.job.id)}/points/${point.digest}${query({ target: state().target })}`;
  }

  drawDetails(box, point, axes) {
    const { front, job } = this;
    const facts = [
      [words(front.quality.metric), `${quality(point.quality.validation)}${point.quality.test === null ? "" : `, test ${quality(point.quality.test)}`}`],
      ...axes.map((each) => {
        const value = known(point, each.objective);
        const how = !value || value.exact || each.ratio ? "" : value.measured === null ? " predicted" : ` measured, ${quantity(value.predicted, each.objective.unit)} predicted`;
        return [each.title, `${quantity(each.of(point), each.objective.unit)}${how}`];
      }),
      ...(point.tuned ? [["trained alone", `test ${quality(point.tuned.test)}`]] : []),
      ["parameters", count(point.parameters)], ["state", bytes(point.state_bytes)], ["MACs", count(point.macs)],
    ];
    const button = extractButton(job.id, point.digest);
    show(box, h("h2", {}, point.preset ? h("span", { class: "star" }, `★ ${point.preset}`) : h("code", {}, point.digest.slice(0, 8)),
      point.on_front ? h("span", { class: "chip succeeded" }, "on the front") : null),
      strip(point.architecture), h("p", { class: "muted" }, `width ${point.architecture.width}, ${point.architecture.layers.length} layers`),
      h("dl", { class: "facts-list" }, facts.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])),
      h("p", { class: "buttons" }, h("a", { class: "button", href: this.pointUrl(point) }, "Layers"), button.element), button.problem);
  }

  // Takes seconds to compute: asked for once the reader comes near it.
  explainWhenSeen() {
    if (this.observer || !["succeeded", "failed", "interrupted"].includes(this.job.status)) return;
    this.why.hidden = false;
    show(this.why, h("h2", {}, "Why the front looks as it does"), h("p", { class: "muted" }, "Computed when you get here…"));
    this.observer = new IntersectionObserver(async ([seen]) => {
      if (!seen.isIntersecting) return;
      this.observer.disconnect();
      try {
        show(this.why, h("h2", {}, "Why the front looks as it does"), explained(await get(`/jobs/${part(this.job.id)}/explanation`)));
      } catch (error) {
        show(this.why, h("h2", {}, "Why the front looks as it does"), h("p", { class: "muted" }, error.message));
      }
    });
    this.observer.observe(this.why);
  }
}

function ring(point, of) {
  const there = point && of(point) > 0;
  return {
    x: [there ? of(point) : null], y: [there ? point.quality.validation : null], mode: "markers", hoverinfo: "skip", showlegend: false,
    marker: { size: 24, symbol: "circle-open", color: token("ink"), line: { width: 2.5, color: token("ink") } },
  };
}

const limit = (budget) => ({ type: "line", x0: budget, x1: budget, yref: "paper", y0: 0, y1: 1, line: { color: token("muted"), width: 1.2, dash: "dash" } });

const option = (value, text, chosen) => h("option", { value, selected: value === chosen }, text);

export function extractButton(job, digest) {
  const problem = h("p", { class: "problem", role: "alert" });
  const element = h("button", { type: "button", class: "primary" }, "Extract and download");
  element.addEventListener("click", async () => {
    element.disabled = true;
    element.textContent = "Cutting it out, checking it…";
    show(problem);
    try {
      download(`${job}-${digest.slice(0, 8)}.zip`, await postForBlob(`/jobs/${part(job)}/points/${digest}/extract`));
      announce("The model is downloaded");
    } catch (error) {
      show(problem, error.message);
    }
    element.disabled = false;
    element.textContent = "Extract and download";
  });
  return { element, problem };
}

export function profileCards(profiles) {
  if (!profiles.length) return h("section", { class: "card empty" }, h("h2", {}, "Nothing was profiled yet"));
  return h("section", { class: "card" }, h("h2", {}, "Predictors, on architectures that they never saw"), h("div", { class: "wide", role: "region", tabindex: "0", "aria-label": "Predictors" }, h("table", {},
    h("thead", {}, h("tr", {}, ["target", "space", "predictor", "measured", "held out", "mean error", "±10%", "±5%", "Spearman", "90% interval"].map((name, at) => h("th", { scope: "col", class: at > 2 ? "number" : null }, name)))),
    h("tbody", {}, profiles.map((each) => h("tr", {}, h("th", { scope: "row" }, readable(each.target).short), h("td", {}, each.space ?? ""), h("td", {}, each.predictor),
      [each.measured, each.held_out, percent(each.mape, 1), percent(each.within_10), percent(each.within_5), each.spearman.toFixed(3), percent(each.coverage_90)].map((value) => h("td", { class: "number" }, value))))))));
}

function explained({ importance, shared, members: best, evaluations }) {
  const objectives = Object.keys(importance);
  const genes = [...new Set(objectives.flatMap((name) => Object.keys(importance[name])))];
  genes.sort((a, b) => Math.max(...objectives.map((o) => importance[o][b] ?? 0)) - Math.max(...objectives.map((o) => importance[o][a] ?? 0)));
  return [
    h("p", { class: "muted" }, `Follows from ${evaluations} evaluations: the share of each gene in how much an objective changes.`),
    h("div", { class: "wide", role: "region", tabindex: "0", "aria-label": "Importance of genes" }, h("table", {}, h("thead", {}, h("tr", {}, ["gene", ...objectives.map(words)].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, genes.map((gene) => h("tr", {}, h("th", { scope: "row" }, words(gene)), objectives.map((name) => h("td", {}, h("span", { class: "meter" }, h("i", { style: { width: percent(importance[name][gene] ?? 0) } })), percent(importance[name][gene] ?? 0)))))))),
    h("ul", {}, shared.slice(0, 8).map((each) => h("li", {}, `${words(each.gene)}${each.layer === null ? "" : ` of layer ${each.layer}`} is ${each.option} in ${percent(each.on_front)} of the front (${percent(each.elsewhere)} elsewhere)`))),
    h("ul", {}, best.slice(0, 8).map((each) => h("li", {}, h("code", {}, each.digest.slice(0, 8)), each.best_in.length ? ` best in ${each.best_in.map(words).join(", ")};` : "", ` ${percent(each.contribution, 1)} of the hypervolume is its alone`))),
  ];
}
