// Devices: who is connected, how good the predictors are, and how far devices drift from their own pace.

import { get, query } from "../api.js";
import { CONFIG, axis, card, layout, loadPlotly, token } from "../chart.js";
import { h, show } from "../dom.js";
import { ago, bytes, target as readable } from "../format.js";
import { setState, state } from "../main.js";
import { profileCards } from "../profiles.js";

const REFRESH_MS = 5000;

export async function open(main) {
  const list = h("ul", { class: "devices" });
  const quality = h("div");
  const drift = h("div");
  let found = await get("/devices");

  function drawDevices() {
    show(list, found.devices.length ? found.devices.map(device) : h("li", { class: "card empty" }, h("h2", {}, "No device is connected"),
      h("p", { class: "muted" }, "A job on local-cpu starts a worker on this machine; others join with ", h("code", {}, "nas worker"), ", phones with ", h("code", {}, "nas phone"), ".")));
    show(quality, profileCards(found.profiles));
  }

  async function drawDrift() {
    if (!found.targets.length) return;
    const target = found.targets.includes(state().target) ? state().target : found.targets[0];
    const taken = await get(`/drift${query({ target })}`);
    const chart = card("Drift", {
      name: "drift", height: 280, note: "The reference model beside each measurement, over its pace when the worker began: 1 is steady, and what is above is divided out.",
      rows: () => [["time", "drift", "slowdown", "latency_ms", "noisy"], ...taken.time.map((at, n) => [at, taken.drift[n], taken.slowdown[n], taken.latency_ms[n], taken.noisy[n]])],
    });
    show(drift, h("div", { class: "controls" }, h("label", {}, "Target", h("select", { id: "target", onchange: (event) => setState({ target: event.target.value }) },
      found.targets.map((each) => h("option", { value: each, selected: each === target }, readable(each).short + ` · ${readable(each).threads}`))))), chart.element);
    const Plotly = await loadPlotly();
    if (!chart.plot.isConnected) return;
    const trace = (name, of, symbol, color) => ({ name, mode: "markers", x: taken.time.map((at) => new Date(at * 1000)), y: of, marker: { size: 7, symbol, color }, hovertemplate: "%{y:.3f}<extra></extra>" });
    await Plotly.react(chart.plot, [trace("drift", taken.drift, "circle", token("accent")), trace("slowdown by control models", taken.slowdown, "diamond-open", token("preset"))],
      layout({ xaxis: axis("", { type: "date" }), yaxis: axis("times its own pace") }), CONFIG);
  }

  async function refresh() {
    try {
      const next = await get("/devices");
      if (JSON.stringify(next) !== JSON.stringify(found)) {
        found = next;
        drawDevices();
      }
    } catch {
      // The next look tells.
    }
  }

  drawDevices();
  show(main, h("div", { class: "view-head" }, h("h1", {}, "Devices")), list, quality, drift);
  await drawDrift();
  const timer = setInterval(refresh, REFRESH_MS);
  return { changed: () => { drawDevices(); drawDrift(); }, close: () => clearInterval(timer) };
}

function device({ name, capabilities, connected_since: since, busy }) {
  return h("li", { class: "card" }, h("div", { class: "job-head" }, h("h2", {}, name), h("span", { class: `chip ${busy ? "running" : "succeeded"}` }, busy ? "measuring" : "free")),
    h("p", {}, capabilities.cpu_model, capabilities.accelerators?.length ? ` with ${capabilities.accelerators.map((each) => each.name).join(", ")}` : ""),
    h("p", { class: "muted" }, `${capabilities.system}, ${capabilities.machine} · ${capabilities.threads} threads${capabilities.memory_bytes ? ` · ${bytes(capabilities.memory_bytes)}` : ""} · connected ${ago(since)}`),
    h("ul", { class: "tags" }, capabilities.runtimes.map((runtime) => h("li", { title: `${runtime.dtypes.join(", ")}; ${runtime.phases.join(", ")}` }, `${runtime.name} ${runtime.version}`))));
}
