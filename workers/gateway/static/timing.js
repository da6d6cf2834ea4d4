// The timing protocol of workers/timing.py for a browser: a model's calls interleaved with a reference model's.
// A browser's clock tells what passed, not what the device worked, and it moves in ticks. So each sample is of
// as many calls as last a hundred ticks, and the references around a sample tell whether somebody disturbed it.

const MEDIAN_ERROR = 1.2533; // standard error of the median of normal samples over that of their mean
const HOPELESS = 3; // times min_repeats tried with fewer than min_repeats undisturbed: the device is too busy
const FEWEST_LONG = 4; // calls that count where the time is over before min_repeats
const SLOWED = 1.2; // times that the reference usually takes: others slow the model by another factor than it
const PATIENCE = 2; // times max_seconds that is waited for such a while to pass
const CALIBRATION_SAMPLES = 50; // at least, and for CALIBRATION times max_seconds: neighbours are busy for seconds
const CALIBRATION = 4;
const UNDISTURBED = 0.1; // quantile of the reference's samples that is its nominal time
const BESIDE = 0.1; // of a call of the model, how long the reference is timed beside it
const MOST_CALLS = 256;
const TICKS = 100;
const DISTURBED = 1.1; // of two reference samples, the longer over the shorter
const SETTLE_MS = 1000; // until clock rates, and what the browser compiles of the engine meanwhile, can be relied on
const LOOKS = 5;

// run(calls): makes so many calls in a row; clock: {now(), tick}, milliseconds.
export class Timed {
  constructor(run, calls, clock) {
    Object.assign(this, { run, calls, clock });
  }

  // Milliseconds that one sample, all of its calls, takes.
  async sample() {
    const began = this.clock.now();
    await this.run(this.calls);
    return this.clock.now() - began;
  }

  // The second of two: the first finds caches full of the other model's weights. Of several after the first the
  // median.
  async again(samples = 1) {
    await this.run(this.calls);
    const times = [];
    while (times.length < samples) times.push(await this.sample());
    return percentile(times.sort(ascending), 0.5);
  }

  // Warmed up, and as many calls as last so long: a power of two, so that another try hardly ever finds another
  // number.
  static async lasting(run, clock, milliseconds) {
    const single = new Timed(run, 1, clock);
    for (const began = clock.now(); clock.now() - began < SETTLE_MS;) await single.sample();
    const times = [];
    for (let look = 0; look < LOOKS; look++) times.push(await single.sample());
    const one = percentile(times.sort(ascending), 0.5);
    const least = Math.max(milliseconds, TICKS * clock.tick);
    let calls = 1;
    while (calls < MOST_CALLS && calls * one < least) calls *= 2;
    return new Timed(run, calls, clock);
  }
}

// What one call of the undisturbed reference takes, milliseconds.
export async function calibrate(reference, protocol) {
  const [times, { clock }] = [[], reference];
  const [began, most] = [clock.now(), 1000 * CALIBRATION * protocol.max_seconds];
  while (times.length < CALIBRATION_SAMPLES || clock.now() - began < most) times.push(await reference.again());
  return percentile(times.sort(ascending), UNDISTURBED) / reference.calls;
}

// The model's sample over a call of the reference: {ratio, spread, error, wall_ms, reference_ms, repeats,
// rejected, noisy, slowed}; times are of one call. usual_ms: what one of the reference takes while nobody else
// slows the device down; slowed: it did not become as fast as that while it was waited for.
export async function timeInterleaved(model, reference, protocol, usual_ms = Infinity) {
  const { clock } = model;
  const cold = clock.now();
  let beside = 1;
  for (let warmed = 0; warmed < protocol.warm_up; warmed++) {
    if (warmed && clock.now() - cold >= 1000 * protocol.max_seconds) break; // what takes seconds is warm after one
    const short = await reference.sample();
    const long = await model.sample();
    beside = short ? Math.max(1, Math.floor((BESIDE * long) / short)) : 1;
  }
  const [clean, disturbed] = [[], []];
  let slowed = 0;
  const began = clock.now();
  let before = await reference.again(beside);
  for (;;) {
    const sample = { before, model: await model.sample(), after: await reference.again(beside) };
    before = sample.after;
    const slow = sample.before + sample.after > 2 * SLOWED * usual_ms * reference.calls;
    if (slow) slowed++;
    (slow || isDisturbed(sample) ? disturbed : clean).push(sample);
    const [tried, elapsed] = [clean.length + disturbed.length, clock.now() - began];
    const outOfTime = elapsed >= 1000 * protocol.max_seconds;
    const outOfPatience = elapsed >= (slowed ? PATIENCE : 1) * 1000 * protocol.max_seconds;
    const fewest = outOfTime ? Math.min(FEWEST_LONG, protocol.min_repeats) : protocol.min_repeats;
    if (clean.length >= fewest) {
      const timing = summary(clean, disturbed.length, model, reference, protocol);
      if (!timing.noisy || outOfTime || clean.length >= protocol.max_repeats) return { ...timing, slowed: false };
    } else if ((outOfPatience && tried >= fewest) || tried - slowed >= HOPELESS * protocol.min_repeats) {
      const timing = summary([...clean, ...disturbed], 0, model, reference, protocol);
      return { ...timing, noisy: true, slowed: 2 * slowed > tried };
    }
  }
}

export const isDisturbed = ({ before, after }) => Math.max(before, after) > DISTURBED * Math.min(before, after);

export function summary(samples, rejected, model, reference, protocol) {
  const ratios = samples.map((each) => (2 * each.model * reference.calls) / (each.before + each.after)).sort(ascending);
  const ratio = percentile(ratios, 0.5);
  const spread = (percentile(ratios, 0.84) - percentile(ratios, 0.16)) / 2;
  const error = (MEDIAN_ERROR * spread) / Math.sqrt(ratios.length);
  const middle = (of) => percentile(samples.map(of).sort(ascending), 0.5);
  return {
    ratio, spread, error, rejected, repeats: samples.length, noisy: error > protocol.goal_error * ratio,
    wall_ms: middle((each) => each.model) / model.calls, reference_ms: middle((each) => each.after) / reference.calls,
  };
}

// Linear interpolation between the order statistics of sorted numbers.
export function percentile(ordered, q) {
  const position = q * (ordered.length - 1);
  const low = Math.floor(position);
  const high = Math.min(low + 1, ordered.length - 1);
  return ordered[low] + (position - low) * (ordered[high] - ordered[low]);
}

const ascending = (a, b) => a - b;
