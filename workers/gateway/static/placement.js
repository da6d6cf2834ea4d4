// Where the engine put a model's operators, which it tells in its log and nowhere else.

const NAMED = 6;
const PLACED = /placed on \[(\w+)\]\. Number of nodes: (\d+)/;
const NODE = /\]\s+(\w+) \(.*\)\s*$/;
const heard = [];

// The engine takes these functions when it starts: they are replaced before.
export function listen() {
  for (const name of ["log", "info", "warn", "error", "debug"]) {
    const say = console[name].bind(console);
    console[name] = (...said) => { heard.push(said.join(" ")); if (name === "error") say(...said); };
  }
}

// What `call` gives, and what the engine said meanwhile.
export async function listening(call) {
  heard.length = 0;
  const given = await call();
  return [given, heard.splice(0)];
}

// For people: how many nodes run on the processor, and which; empty where all run on the GPU.
export function elsewhere(said) {
  const counts = { CPUExecutionProvider: 0 };
  const operators = new Set();
  let at = null;
  for (const line of said) {
    const placed = PLACED.exec(line);
    if (placed) [at, counts[placed[1]]] = [placed[1], Number(placed[2])];
    else if (at === "CPUExecutionProvider" && NODE.test(line)) operators.add(NODE.exec(line)[1]);
    else at = null;
  }
  const cpu = counts.CPUExecutionProvider;
  if (!cpu) return "";
  const all = Object.values(counts).reduce((sum, each) => sum + each, 0);
  const names = [...operators].sort();
  return `${cpu} of ${all} nodes run on the processor: ${names.slice(0, NAMED).join(", ")}${names.length > NAMED ? " and others" : ""}`;
}
