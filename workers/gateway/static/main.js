// The page: looks around, joins, measures what is leased, and says what keeps it from that.

import { Awake } from "./awake.js";
import { Measuring } from "./measuring.js";
import { fetchModel } from "./models.js";
import { element, note, say, show, warn } from "./screen.js";
import { Refused, Session, getSettings } from "./session.js";
import { lookAround } from "./surroundings.js";

const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 30_000;

const link = location.hash.slice(1);
// The secret is for one use, and not for whoever looks at the address or the history later.
history.replaceState(null, "", location.pathname);

let settings = null;
let describe = null;
let device = null;
let session = null;
let joining = false;
let measuring = null;
let turn = Promise.resolve(); // one lease at a time, whichever session it is of
const leases = new Map(); // by their ids those that are not over yet: what ends the fetching and the measuring of each
let delay = FIRST_DELAY_MS;
let retrying = null;
const awake = new Awake({ hidden: leaveWhileHidden, shown: comeBack, warn: (text) => warn("awake", text) });

async function start() {
  settings = await getSettings();
  const around = await lookAround(settings);
  for (const text of around.warnings) warn(text, text);
  describe = around.describe;
  if (around.obstacles.length) return say("refused", around.obstacles.join(" "));
  if (!link && !settings.admitted) return say("refused", "This page joins with a link that nas phone shows, once and within ten minutes. Scan its code again.");
  say("ready", "Ready to join");
  form();
}

function form() {
  const name = element("input", { id: "device", name: "device", required: true, pattern: "[A-Za-z0-9_.\\-]+", autocomplete: "off", autocapitalize: "off", value: localStorage.getItem("device") ?? settings.device });
  const join = (event) => {
    event.preventDefault();
    device = name.value;
    localStorage.setItem("device", device);
    show();
    enter();
  };
  show(element("form", { onsubmit: join }, element("label", { for: "device" }, "Name by which jobs refer to this device"), name, element("button", {}, "Join"),
    element("p", { class: "muted" }, "Keep this page in front and the screen on; on its charger the device keeps its pace.")));
}

async function enter() {
  if (joining) return;
  joining = true;
  clearTimeout(retrying);
  say("joining", "Joining…");
  try {
    await awake.hold();
    session = await Session.join(await describe(device), link, { welcome, lease, cancel, drain, over });
  } catch (error) {
    if (!(error instanceof Refused)) return again(error.message);
    say("refused", error.message);
    if (error.status !== 403) form();
    return;
  } finally {
    joining = false;
  }
  // Hidden meanwhile, when there was no session yet to leave.
  if (document.visibilityState === "hidden") leaveWhileHidden();
}

function welcome() {
  delay = FIRST_DELAY_MS;
  say("free", `Joined as ${device}: waits for work`);
}

function lease(given) {
  const own = session;
  const stop = new AbortController();
  leases.set(given.lease_id, stop);
  turn = turn.then(() => take(own, given, stop.signal)).finally(() => leases.delete(given.lease_id));
}

async function take(own, given, signal) {
  if (signal.aborted) return;
  say("measuring", `Measures ${given.digest.slice(0, 8)}`);
  const answer = await measured(given, signal);
  if (own.over) return;
  say("free", `Joined as ${device}: waits for work`);
  if (!answer) return;
  tell(given, answer);
  own.answer(given, answer).catch((error) => note(`${given.digest.slice(0, 8)}: ${error.message}`, true));
}

// The answer to a lease; null where it was cancelled, or its session ended, before there was one.
async function measured(given, signal) {
  const files = {};
  try {
    // One at a time and both before anything is timed: while a model is timed the line is quiet.
    for (const name of ["reference", "model"]) files[name] = await fetchModel(given[name], signal);
    if (signal.aborted) return null;
    measuring = new Measuring(given, files, settings);
    signal.addEventListener("abort", () => measuring?.cancel());
    return await measuring.answer;
  } catch (error) {
    return signal.aborted ? null : { failure: { reason: error.message, retryable: true } };
  } finally {
    measuring = null;
  }
}

function tell(given, { measurement, failure }) {
  const what = `${given.digest.slice(0, 8)} · ${given.runtime}, ${given.workload.phase} of ${given.workload.tokens}`;
  if (failure) note(`${what}: ${failure.reason}`, true);
  else note(`${what}: ${measurement.latency_ms.toPrecision(3)} ms${measurement.noisy ? ", noisy" : ""}; ${measurement.conditions}`);
}

function cancel({ lease_id: id }) {
  leases.get(id)?.abort();
}

function drain({ reason }) {
  note(`The service drains: ${reason}`);
}

function over({ reason, again: retry }) {
  for (const stop of leases.values()) stop.abort();
  if (document.visibilityState === "hidden") return say("over", "Hidden: it left, and joins again when it is shown");
  if (retry) return again(reason);
  say("over", `Left: ${reason}`);
  form();
}

function again(reason) {
  say("over", `${reason}; tries again`);
  retrying = setTimeout(enter, delay);
  delay = Math.min(2 * delay, LONGEST_DELAY_MS);
}

// A hidden page is slowed down or stopped: what it measured would be wrong.
async function leaveWhileHidden() {
  if (!session || session.over) return;
  if (measuring) await session.answer(measuring.lease, { failure: { reason: "the page was hidden while it measured", retryable: true } }).catch(() => null);
  session.leave("the page is hidden");
}

function comeBack() {
  if (session?.over && device) enter();
}

addEventListener("pagehide", () => { if (session && !session.over) session.leave("the page was closed"); });
start().catch((error) => say("refused", error.message));
