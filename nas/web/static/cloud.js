// Every candidate of a job as columns of numbers, and what is computed of them.

export function parseCloud(buffer) {
  const bytes = new Uint8Array(buffer);
  const end = bytes.indexOf(10) + 1;
  const { count, columns } = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
  const digests = new BigUint64Array(buffer, end, count);
  const values = new Map();
  columns.forEach(({ kind, target }, at) => {
    values.set(key(kind, target), new Float32Array(buffer, end + 8 * count + 4 * count * at, count));
  });
  return { count, digest: (row) => digests[row].toString(16).padStart(16, "0"), values };
}

export const key = (kind, target) => `${kind}@${target ?? ""}`;

// Rows of those within a range that can be told apart on a screen: the first in each cell of a grid.
export function thin(x, y, range, across = 160, down = 85) {
  const [left, width] = [Math.log(range.x[0]), Math.log(range.x[1] / range.x[0])];
  const [low, height] = [range.y[0], range.y[1] - range.y[0]];
  const taken = new Uint8Array(across * down);
  const rows = [];
  for (let row = 0; row < x.length; row++) {
    const column = Math.floor(((Math.log(x[row]) - left) / width) * across);
    const line = Math.floor(((y[row] - low) / height) * down);
    if (!(column >= 0 && column < across && line >= 0 && line < down) || taken[line * across + column]) continue;
    taken[line * across + column] = 1;
    rows.push(row);
  }
  return rows;
}

// The ends of a column; without the worst `share` at its high or its low end where `sign` says which is worse.
export function span(values, share = 0, sign = 1) {
  const known = Float32Array.from(values).filter(Number.isFinite).sort();
  if (!known.length) return null;
  const cut = Math.floor(share * (known.length - 1));
  return sign > 0 ? [known[0], known[known.length - 1 - cut]] : [known[cut], known[known.length - 1]];
}

// The share of the box that is dominated after so many candidates, wherever it grows: [candidates, share].
export function hypervolumes(x, y, sign, box) {
  const [width, height] = [box.x[1] - box.x[0] || 1, box.y[1] - box.y[0] || 1];
  let stairs = []; // left to right, each better in y than the one before
  let share = 0;
  const grown = [];
  for (let row = 0; row < x.length; row++) {
    const at = [(x[row] - box.x[0]) / width, (sign * y[row] - box.y[0]) / height];
    if (!(at[0] <= 1 && at[1] <= 1) || stairs.some((step) => step[0] <= at[0] && step[1] <= at[1])) continue;
    stairs = stairs.filter((step) => !(at[0] <= step[0] && at[1] <= step[1]));
    stairs.push(at);
    stairs.sort((a, b) => a[0] - b[0]);
    share = 0;
    for (let n = 0; n < stairs.length; n++) {
      const right = n + 1 < stairs.length ? stairs[n + 1][0] : 1;
      share += (right - stairs[n][0]) * (1 - stairs[n][1]);
    }
    grown.push([row + 1, share]);
  }
  if (x.length) grown.push([x.length, share]);
  return grown;
}
