// All jobs of one space and one task as one front for a target, with the job that each point came from.

import { get, part, query } from "../api.js";
import { CONFIG, axis, card, layout, loadPlotly, logAxis } from "../chart.js";
import { h, show } from "../dom.js";
import { bytes, count, quality, quantity, target as readable, words } from "../format.js";
import { describeLayer, legend, strip } from "../look.js";
import { go, setState, state } from "../main.js";
import { known, latencyOf, members, pointTraces, scoreOf, sign } from "../points.js";
import { table } from "../table.js";

export async function open(main) {
  const jobs = await allJobs();
  const groups = new Map();
  // Jobs that have ended first: what is shown where nothing is chosen should have something to show.
  const found = jobs.filter((each) => each.task).sort((a, b) => (b.status === "succeeded") - (a.status === "succeeded"));
  for (const job of found) {
    const name = `${job.space}/${job.task}`;
    groups.set(name, [...new Set([...(groups.get(name) ?? []), ...job.targets])]);
  }
  const body = h("div");
  const controls = h("div", { class: "controls" });
  let selected = null;

  async function draw() {
    const of = groups.has(state().of) ? state().of : [...groups.keys()][0];
    if (!of) return show(body, h("section", { class: "card empty" }, h("h2", {}, "No job searches yet"), h("p", {}, h("a", { class: "button primary", href: "/new" }, "Submit one"))));
    const targets = groups.get(of);
    const target = targets.includes(state().target) ? state().target : targets[0];
    const choose = (id, name, values, chosen, shown) => h("label", {}, name, h("select", { id, onchange: (event) => setState({ [id]: event.target.value }) }, values.map((each) => h("option", { value: each, selected: each === chosen }, shown(each)))));
    show(controls, choose("of", "Space and task", [...groups.keys()], of, (each) => each), choose("target", "Target", targets, target, (each) => readable(each).short));
    const cut = of.lastIndexOf("/");
    let front;
    try {
      front = await get(`/across${query({ space: of.slice(0, cut), task: of.slice(cut + 1), target })}`);
    } catch (error) {
      return show(body, h("section", { class: "card empty" }, h("h2", {}, "Nothing to show yet"), h("p", {}, error.message)));
    }
    const objective = latencyOf(target);
    const latency = (point) => known(point, objective)?.best ?? null;
    const columns = [
      { key: "layers", label: "layers", value: (point) => point.architecture.layers.length, cell: (point) => strip(point.architecture) },
      { key: "digest", label: "digest", value: (point) => point.digest, cell: (point) => h("a", { href: `/jobs/${part(front.jobs[point.digest])}/points/${point.digest}` }, h("code", {}, point.digest.slice(0, 8))) },
      { key: "job", label: "job", value: (point) => front.jobs[point.digest], cell: (point) => h("a", { href: `/jobs/${part(front.jobs[point.digest])}` }, front.jobs[point.digest]) },
      { key: "quality", label: words(front.quality.metric), number: true, value: (point) => scoreOf(point, front), cell: (point) => quality(scoreOf(point, front)) },
      { key: "latency", label: "latency, ms", number: true, value: latency, cell: (point) => quantity(latency(point), "ms") },
      { key: "parameters", label: "parameters", number: true, value: (point) => point.parameters, cell: (point) => count(point.parameters) },
      { key: "state", label: "state", number: true, value: (point) => point.state_bytes, cell: (point) => bytes(point.state_bytes) },
    ];
    const shown = members(front);
    const chart = card(`Quality over latency, of ${new Set(Object.values(front.jobs)).size} jobs`, {
      name: `${of.replace("/", "-")}-across`, label: `${shown.length} architectures; the table below has the same numbers`,
      rows: () => [columns.filter((column) => column.key !== "layers").map((column) => column.label), ...front.points.map((point) => columns.filter((column) => column.key !== "layers").map((column) => column.value(point)))],
    });
    const box = h("section", { class: "card" });
    const drawTable = () => show(box, table({ caption: "Members of the joint front", columns, rows: shown, id: (point) => point.digest, selected: selected?.digest, text: (point) => [point.digest, front.jobs[point.digest], ...point.architecture.layers.map(describeLayer)].join(" "),
      state: { sort: state().sort ?? "latency", filter: state().filter }, change: (changes, quiet) => { setState(changes, { draw: false }); if (!quiet) drawTable(); }, select: (point) => { selected = point; drawChart(); drawTable(); } }));
    const drawChart = async () => {
      const Plotly = await loadPlotly();
      if (!chart.plot.isConnected) return;
      await Plotly.react(chart.plot, pointTraces(front, objective, { chosen: selected, jobs: front.jobs }), layout({
        xaxis: logAxis("latency, ms", front.points.map(latency)), yaxis: axis(`${words(front.quality.metric)}, ${sign(front) > 0 ? "lower" : "higher"} is better`) }), CONFIG);
      if (!chart.plot.linked) {
        chart.plot.linked = true;
        chart.plot.on("plotly_click", ({ points: [hit] }) => hit.customdata && go(`/jobs/${part(front.jobs[hit.customdata])}/points/${hit.customdata}`));
      }
    };
    show(body, front.left_out.length ? h("p", { class: "note" }, `Left out, of other data or of another space of that name: ${front.left_out.join(", ")}`) : null,
      chart.element, legend(shown.map((point) => point.architecture)), box);
    drawTable();
    await drawChart();
  }

  show(main, h("div", { class: "view-head" }, h("div", {}, h("h1", {}, "Across jobs"), h("p", { class: "muted" }, "What all jobs of one space and task found for one target."))), controls, body);
  await draw();
  return { changed: draw };
}

async function allJobs() {
  const found = [];
  for (let before = ""; found.length < 500; before = found.at(-1).id) {
    const page = await get(`/jobs${query({ before })}`);
    found.push(...page.jobs);
    if (!page.more) break;
  }
  return found;
}
