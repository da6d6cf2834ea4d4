// What a model file in ONNX asks for, as workers/runtimes/onnx_states.py has it: `tokens` int64 (B, N), and where
// it decodes `position` int64 () and states `…state_NAME`, which the outputs `…next_NAME` replace after a token.

export class Unusable extends Error {}

const [TOKENS, POSITION] = ["tokens", "position"];

// Fixed pseudo-random numbers in [0, 1), the same for every model of a shape (mulberry32).
export function random(seed = 0) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// declared: the session's inputs, {name, type, shape}; sizes that the file leaves free are the context's.
// The result: {name: {type, data, dims}}.
export function firstInputs(declared, { phase, batch, tokens }, vocabulary) {
  const length = phase === "prefill" ? tokens : 1;
  const draw = random();
  const ids = BigInt64Array.from({ length: batch * length }, () => BigInt(Math.floor(draw() * vocabulary)));
  const found = {};
  for (const { name, type, shape } of declared) {
    if (name === TOKENS && type === "int64" && shape.length === 2) found[name] = { type, data: ids, dims: [batch, length] };
    else if (name === POSITION && type === "int64" && shape.length === 0) found[name] = { type, data: BigInt64Array.of(BigInt(tokens)), dims: [] };
    else if (name !== TOKENS && type === "float32") found[name] = state(type, shape.map((size) => (typeof size === "number" ? size : tokens)), draw);
    else throw new Unusable(`the model's input ${name} is ${type} [${shape}]; accepted: tokens int64 (B, N), position int64 (), and states that are float32`);
  }
  if (!found[TOKENS]) throw new Unusable("the model has no input tokens");
  return found;
}

function state(type, dims, draw) {
  const size = dims.reduce((product, each) => product * each, 1);
  return { type, dims, data: Float32Array.from({ length: size }, draw) };
}

// Of each state that a token hands on to the next, the output that becomes it: [[input, output], …]. One whose
// next has another fixed size cannot be fed on, and begins anew at each token.
export function advancing(inputs, outputs) {
  const shapes = new Map(outputs.map(({ name, shape }) => [name, shape]));
  const handed = [];
  for (const { name, shape } of inputs) {
    const next = name === POSITION ? "next_position" : name.replace(/state_(?!.*state_)/, "next_");
    const after = name === TOKENS || next === name ? undefined : shapes.get(next);
    if (after && (`${after}` === `${shape}` || shape.some((size) => typeof size !== "number"))) handed.push([name, next]);
  }
  return handed;
}
