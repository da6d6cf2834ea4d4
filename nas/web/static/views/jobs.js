// All jobs, newest first, as they change.

import { get, part, query } from "../api.js";
import { announce, h, show } from "../dom.js";
import { ago, duration, moment, percent, target } from "../format.js";
import { follow } from "../live.js";
import { Progress } from "../progress.js";
import { chip, reason } from "../status.js";

const LAST_EVENTS = 120;

export async function open(main) {
  const jobs = new Map();
  const extras = new Map();
  const list = h("ul", { class: "jobs" });
  const more = h("p", { class: "more" });
  const first = await get("/jobs");

  const place = (job) => {
    const before = jobs.get(job.id);
    if (before && before.status !== job.status) announce(`${job.id} is ${job.status}`);
    jobs.set(job.id, job);
    enrich(job);
  };

  async function enrich(job) {
    const known = extras.get(job.id) ?? {};
    extras.set(job.id, known);
    try {
      if (job.last_event) {
        const after = Math.max(0, job.last_event - LAST_EVENTS);
        const { events } = await get(`/jobs/${part(job.id)}/events?after=${after}`);
        known.progress = new Progress(job.stages);
        events.forEach((event) => known.progress.take(event));
      }
      if (job.stages.includes("search") && ["search", "verify", "finalists", null].includes(job.stage)) {
        const front = await get(`/jobs/${part(job.id)}/front`);
        Object.assign(known, { hypervolume: front.hypervolume.value, members: front.points.filter((p) => p.on_front).length, evaluated: front.evaluated });
      }
    } catch {
      // The list says what it knows; the job's own page says why the rest is not there.
    }
    draw();
  }

  function draw() {
    const ordered = [...jobs.values()].sort((a, b) => b.created_at - a.created_at);
    show(list, ordered.map((job) => row(job, extras.get(job.id) ?? {})));
    if (!ordered.length) {
      show(list, h("li", { class: "empty" }, h("h2", {}, "No jobs yet"), h("p", {}, "A job searches a space of architectures for a task and a device."),
        h("p", {}, h("a", { class: "button primary", href: "/new" }, "Submit the first one"))));
    }
  }

  async function older() {
    const last = [...jobs.values()].sort((a, b) => a.created_at - b.created_at)[0];
    const page = await get(`/jobs${query({ before: last.id })}`);
    page.jobs.forEach(place);
    showMore(page.more);
    draw();
  }

  function showMore(there) {
    show(more, there ? h("button", { type: "button", onclick: older }, "Older jobs") : null);
  }

  first.jobs.forEach(place);
  showMore(first.more);
  draw();
  show(main, h("div", { class: "view-head" }, h("h1", {}, "Jobs"), h("a", { class: "button primary", href: "/new" }, "New job")), list, more);
  follow("", { jobs: (changed) => { changed.forEach(place); if (changed.length) draw(); } });
  return { changed: draw };
}

function row(job, { progress, hypervolume, members, evaluated }) {
  const running = job.status === "running" ? progress?.running() : null;
  const left = running ? progress.remaining(running) : null;
  return h("li", { class: "card job" },
    h("div", { class: "job-head" }, h("a", { class: "job-name", href: `/jobs/${part(job.id)}` }, job.id), chip(job.status),
      h("time", { class: "muted", title: moment(job.created_at) }, ago(job.created_at))),
    h("p", { class: "muted" }, `${job.space}${job.task ? ` on ${job.task}` : ", profiling only"} · `, job.targets.map((each) => target(each).short).join(", ")),
    running ? h("div", { class: "job-progress" },
      h("progress", { max: running.total || 1, value: running.done, "aria-label": `${running.name} of ${job.id}` }),
      h("span", {}, `${running.name} ${running.total ? `${Math.round(running.done)}/${Math.round(running.total)}` : ""}`),
      left === null ? null : h("span", { class: "muted" }, `${duration(left)} left in this stage`)) : null,
    reason(job, progress),
    evaluated ? h("p", { class: "facts" }, h("span", {}, `${evaluated.toLocaleString()} evaluated`), h("span", {}, `${members} on the front`),
      h("span", {}, `hypervolume ${percent(hypervolume, 1)}`)) : null);
}
