// A job's status, and why it waits or failed, in words.

import { h } from "./dom.js";

export const chip = (status) => h("span", { class: `chip ${status}` }, status);

export function reason(job, progress) {
  if (job.error && job.status === "failed") return h("p", { class: "reason" }, job.error);
  if (job.status === "queued") return h("p", { class: "note" }, progress?.note || "Waits for a process that has room for it.");
  if (job.status === "interrupted") return h("p", { class: "note" }, "Stopped; it goes on from its last completed unit of work when it is resumed.");
  if (job.status === "running" && progress?.note) return h("p", { class: "note" }, progress.note);
  return null;
}
