// A new job: a form whose every field says what is wrong with it, or a whole job file.

import { get, part, post } from "../api.js";
import { announce, h, show } from "../dom.js";
import { go, setState, state } from "../main.js";

const NUMBERS = [
  ["budget.profile.measurements", "Measurements a target", "architectures that teach the latency predictor"],
  ["budget.train.steps", "Training steps", "of the supernet"],
  ["budget.search.evaluations", "Evaluations", "candidates whose quality is asked for"],
  ["budget.finalists.count", "Finalists", "members of the front that are trained alone; 0 for none"],
  ["seed", "Seed", "of everything random"],
];
const DEFAULTS = { "budget.profile.measurements": 48, "budget.train.steps": 1000, "budget.search.evaluations": 160, "budget.finalists.count": 0, seed: 0 };

export async function open(main) {
  const [catalogue, { devices }] = await Promise.all([get("/catalogue"), get("/devices")]);
  const fields = new Map();
  const problems = h("div", { role: "alert" });

  function field(path, label, hint, input) {
    const id = `f-${path.replaceAll(".", "-")}`;
    const said = h("p", { class: "problem", id: `${id}-problem` });
    input.id = id;
    input.setAttribute("aria-describedby", `${id}-hint ${id}-problem`);
    fields.set(path, { input, said });
    return h("div", { class: "field" }, h("label", { for: id }, label), input, h("p", { class: "hint", id: `${id}-hint` }, hint), said);
  }

  const text = (value, extra) => h("input", { value, ...extra });
  const number = (value, extra) => h("input", { type: "number", value, ...extra });
  const select = (values, chosen) => h("select", {}, values.map((each) => h("option", { value: each, selected: each === chosen }, each)));
  const names = [...new Set(["local-cpu", ...devices.map((device) => device.name)])];
  const runtimes = [...new Set(["onnxruntime", "openvino", "torch", ...devices.flatMap((device) => device.capabilities.runtimes.map((each) => each.name))])];
  const choices = (id, values) => h("datalist", { id }, values.map((value) => h("option", { value })));

  const form = h("form", { class: "form", novalidate: true },
    h("fieldset", {}, h("legend", {}, "What"),
      field("name", "Name", "letters, digits, dots and dashes; the job's id begins with it", text("search")),
      field("space", "Space", "what is searched", select(catalogue.spaces.map((each) => each.name), "hybrid-lm")),
      field("task", "Task", "data and metric", select(catalogue.tasks.map((each) => each.name), "text"))),
    h("fieldset", {}, h("legend", {}, "Where"), choices("devices", names), choices("runtimes", runtimes),
      field("targets.0.device", "Device", "a connected one, or local-cpu for the service's own machine", text(names[0], { list: "devices" })),
      field("targets.0.runtime", "Runtime", "the engine that will run the model", text("onnxruntime", { list: "runtimes" })),
      field("targets.0.threads", "Threads", "", number(1, { min: 1 })),
      field("targets.0.phase", "Phase", "", select(["prefill", "decode"], "prefill")),
      field("targets.0.tokens", "Tokens", "of one sequence; context where it decodes", number(1024, { min: 1 }))),
    h("fieldset", {}, h("legend", {}, "Within"),
      field("bounds.latency_ms", "Latency, ms", "a constraint of the search; empty for none", number("", { min: 0, step: "any" })),
      field("bounds.parameters", "Parameters", "an objective too, where it is given", number("", { min: 0 })),
      NUMBERS.map(([path, label, hint]) => field(path, label, hint, number(DEFAULTS[path], { min: 0 })))),
    h("p", { class: "buttons" }, h("button", { class: "primary" }, "Submit")));
  const file = h("textarea", { id: "file", rows: 22, spellcheck: "false", "aria-label": "Job file" },
    "name: search\nspace: hybrid-lm\ntask: text\ntargets:\n  - {device: local-cpu, runtime: onnxruntime, threads: 1, phase: prefill, tokens: 1024}\nobjectives: [quality, latency_ms]\nbounds: {latency_ms: 60}\n");
  const fileForm = h("form", { class: "form" }, h("p", { class: "hint" }, "YAML or JSON, as ", h("code", {}, "nas search"), " reads it."), file, h("p", { class: "buttons" }, h("button", { class: "primary" }, "Submit")));

  function document() {
    const value = (path) => fields.get(path).input.value.trim();
    const numeric = (path) => (value(path) === "" ? undefined : Number(value(path)));
    const bounds = Object.fromEntries(["latency_ms", "parameters"].map((name) => [name, numeric(`bounds.${name}`)]).filter(([, bound]) => bound !== undefined));
    return {
      name: value("name"), space: value("space"), task: value("task"),
      targets: [{ device: value("targets.0.device"), runtime: value("targets.0.runtime"), threads: numeric("targets.0.threads"), phase: value("targets.0.phase"), tokens: numeric("targets.0.tokens") }],
      objectives: ["quality", "latency_ms", ...(bounds.parameters ? ["parameters"] : [])], bounds,
      budget: { profile: { measurements: numeric("budget.profile.measurements") }, train: { steps: numeric("budget.train.steps") }, search: { evaluations: numeric("budget.search.evaluations") }, finalists: { count: numeric("budget.finalists.count") } },
      seed: numeric("seed"),
    };
  }

  function tell(error) {
    const elsewhere = [];
    for (const problem of error.problems) {
      const found = fields.get(problem.path) ?? [...fields].find(([path]) => problem.path && (path.startsWith(`${problem.path}.`) || problem.path.startsWith(`${path}.`)))?.[1];
      if (!found || state().form === "file") {
        elsewhere.push(problem);
        continue;
      }
      found.said.textContent = problem.message;
      found.input.setAttribute("aria-invalid", "true");
    }
    if (!error.problems.length) elsewhere.push({ path: "", message: error.message });
    show(problems, elsewhere.length ? h("ul", { class: "problem" }, elsewhere.map((each) => h("li", {}, each.path ? h("code", {}, each.path) : null, each.path ? ": " : "", each.message))) : null);
    const count = error.problems.length || 1;
    announce(`Not submitted: ${count} ${count === 1 ? "problem" : "problems"}`);
    form.querySelector("[aria-invalid=true]")?.focus();
  }

  const submit = (make) => async (event) => {
    event.preventDefault();
    for (const { input, said } of fields.values()) {
      said.textContent = "";
      input.removeAttribute("aria-invalid");
    }
    const button = event.submitter ?? event.target.querySelector("button");
    button.disabled = true;
    try {
      const job = await post("/jobs", make());
      await go(`/jobs/${part(job.id)}`);
    } catch (error) {
      tell(error);
    }
    button.disabled = false;
  };
  form.addEventListener("submit", submit(document));
  fileForm.addEventListener("submit", submit(() => ({ file: file.value })));

  const body = h("div", { class: "card" });
  const tabs = h("div", { class: "tabs" });
  function draw() {
    const chosen = state().form === "file" ? "file" : "fields";
    show(tabs, [["fields", "Form"], ["file", "Job file"]].map(([name, label]) =>
      h("button", { type: "button", "aria-pressed": String(name === chosen), onclick: () => { setState({ form: name === "file" ? "file" : null }); } }, label)));
    show(problems);
    show(body, chosen === "file" ? fileForm : form);
  }
  draw();
  show(main, h("div", { class: "view-head" }, h("h1", {}, "New job"), tabs), problems, body);
  return { changed: draw };
}
