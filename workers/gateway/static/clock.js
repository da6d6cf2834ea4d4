// The browser's clock: milliseconds that pass. Browsers tell no processor time, and they round.

const CHANGES = 25;

export const wall = () => performance.now();

// The step in which the clock moves, milliseconds: 0.005 in an isolated page, 0.1 elsewhere.
export function tick(now = wall) {
  let least = Infinity;
  for (let change = 0, before = now(); change < CHANGES;) {
    const at = now();
    if (at === before) continue;
    least = Math.min(least, at - before);
    before = at;
    change++;
  }
  return least;
}
