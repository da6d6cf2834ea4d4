// One measurement in a worker that is thrown away: in one that measured before, the same model takes half as
// long again, by what the JavaScript engine has compiled and collected meanwhile.

import { tick, wall } from "./clock.js";
import { loadEngine } from "./engine.js";
import { Unusable } from "./inputs.js";
import { listen } from "./placement.js";
import { Timed, calibrate, timeInterleaved } from "./timing.js";

const REFERENCE_VOCABULARY = 256;

listen();
self.addEventListener("message", async ({ data: { lease, model, reference, usual, fallbackAdapters } }) => {
  try {
    self.postMessage(await measure(lease, model, reference, usual, fallbackAdapters));
  } catch (error) {
    self.postMessage({ failure: { reason: `${error.message ?? error}`, retryable: !(error instanceof Unusable) } });
  }
});

// usual: milliseconds that a call of the reference took lately where others did not slow it down; undefined at first.
// Answered with the measurement, as it is to be kept for the next: clock rates do not stay what they were.
async function measure(lease, modelBytes, referenceBytes, usual, fallbackAdapters) {
  const clock = { now: wall, tick: tick() };
  const engine = await loadEngine(lease.runtime, lease.threads, { fallbackAdapters });
  const beside = await engine.load(referenceBytes, lease.beside, Math.min(lease.vocabulary, REFERENCE_VOCABULARY));
  // Beside calls in a row the reference is called so as well, see workers/measuring.py.
  const least = lease.in_a_row ? lease.protocol.row_ms : 0;
  const reference = await Timed.lasting((calls) => beside.run(calls), clock, least);
  const reference_ms = lease.reference_ms ?? await calibrate(reference, lease.protocol);
  const loaded = await engine.load(modelBytes, lease.workload, lease.vocabulary);
  const model = await Timed.lasting((calls) => loaded.run(calls), clock, least);
  const usual_ms = usual ?? reference_ms;
  const timing = await timeInterleaved(model, reference, lease.protocol, usual_ms);
  const unit_ms = reference_ms / model.calls;
  const drift = timing.reference_ms / reference_ms;
  const measurement = {
    latency_ms: timing.ratio * unit_ms, spread_ms: timing.spread * unit_ms, error_ms: timing.error * unit_ms,
    wall_ms: timing.wall_ms, reference_ms, drift,
    repeats: timing.repeats, rejected: timing.rejected, noisy: timing.noisy, calls: model.calls,
    conditions: [
      `clock ticks of ${Number((1000 * clock.tick).toPrecision(2))} µs`, loaded.elsewhere, beside.elsewhere && `of the reference ${beside.elsewhere}`,
    ].filter(Boolean).join("; "),
  };
  // A device that stays slow is not waited for again and again.
  return { measurement, usual: timing.slowed ? timing.reference_ms : Math.min(usual_ms, timing.reference_ms) };
}
