// onnxruntime-web in the worker that loads this: on the processor by WebAssembly, or on the GPU and nowhere else.

import { Unusable, advancing, firstInputs } from "./inputs.js";
import { elsewhere, listening } from "./placement.js";

const ENGINE = "/engine/";
const SCRIPTS = { "onnxruntime-web": "ort.wasm.min.mjs", "onnxruntime-webgpu": "ort.webgpu.min.mjs" };

export async function loadEngine(runtime, threads, { fallbackAdapters }) {
  const script = SCRIPTS[runtime];
  if (!script) throw new Unusable(`this page has no runtime ${runtime}; accepted: ${Object.keys(SCRIPTS).join(", ")}`);
  if (threads > 1 && !self.crossOriginIsolated) {
    throw new Unusable(`${threads} threads were asked for, and this page is not isolated: the engine would quietly use one`);
  }
  const ort = await import(ENGINE + script);
  Object.assign(ort.env.wasm, { wasmPaths: new URL(ENGINE, location.href).href, numThreads: threads, proxy: false });
  ort.env.logLevel = "error";
  if (runtime === "onnxruntime-web") return new Engine(ort, { executionProviders: ["wasm"] }, threads);
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw new Unusable("this browser has no WebGPU adapter any more");
  if (isFallback(adapter) && !fallbackAdapters) throw new Unusable("WebGPU would be computed by the processor here (a fallback adapter)");
  ort.env.webgpu.adapter = adapter;
  return new GpuEngine(ort, { executionProviders: ["webgpu"], preferredOutputLocation: "gpu-buffer" }, threads);
}

export const isFallback = (adapter) => adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false;

class Engine {
  constructor(ort, options, threads) {
    Object.assign(this, { ort, options, threads });
  }

  async load(bytes, workload, vocabulary) {
    const [session, elsewhere] = await this.session(bytes, workload);
    if (this.ort.env.wasm.numThreads !== this.threads) {
      throw new Unusable(`the engine took ${this.ort.env.wasm.numThreads} threads, not ${this.threads}`);
    }
    return new Model(this.ort, session, workload, vocabulary, elsewhere);
  }

  // A session, and for people what of the model it runs elsewhere than where it was asked to.
  async session(bytes) {
    return [await this.create(bytes), ""];
  }

  async create(bytes, options = {}) {
    try {
      return await this.ort.InferenceSession.create(bytes, { graphOptimizationLevel: "all", ...this.options, ...options });
    } catch (error) {
      throw new Unusable(`onnxruntime-web does not load the model: ${error.message ?? error}`);
    }
  }
}

// Left alone the engine moves operators that it has no shader for to the processor, and says nothing.
class GpuEngine extends Engine {
  async session(bytes, { phase, batch, tokens }) {
    // With sizes known the shapes are constants, which nobody computes.
    const sizes = { freeDimensionOverrides: { batch, length: phase === "prefill" ? tokens : 1 } };
    try {
      return [await this.create(bytes, { ...sizes, extra: { session: { disable_cpu_ep_fallback: "1" } } }), ""];
    } catch (error) {
      if (!/CPU EP/.test(error.message)) throw error;
    }
    const [looked, said] = await listening(() => this.create(bytes, { ...sizes, logSeverityLevel: 0 }));
    await looked.release();
    return [await this.create(bytes, sizes), elsewhere(said)];
  }
}

class Model {
  constructor(ort, session, workload, vocabulary, elsewhere) {
    Object.assign(this, { ort, session, elsewhere });
    this.first = {};
    for (const [name, { type, data, dims }] of Object.entries(firstInputs(session.inputMetadata, workload, vocabulary))) this.first[name] = new ort.Tensor(type, data, dims);
    this.handed = workload.phase === "decode" ? advancing(session.inputMetadata, session.outputMetadata) : [];
  }

  // So many calls, one after another; where they decode, each from the states that the one before left.
  async run(calls) {
    const feeds = { ...this.first };
    let outputs = null;
    for (let call = 0; call < calls; call++) {
      if (outputs) free(outputs);
      outputs = await this.once(feeds);
      for (const [input, output] of this.handed) feeds[input] = outputs[output];
    }
    await this.settle(outputs);
  }

  async once(feeds) {
    try {
      return await this.session.run(feeds);
    } catch (error) {
      throw new Unusable(`onnxruntime-web does not run the model: ${error.message ?? error}`);
    }
  }

  // Work that a GPU was given is not done yet.
  async settle(outputs) {
    if (!Object.values(outputs).some(onGpu)) return;
    await (await this.ort.env.webgpu.device).queue.onSubmittedWorkDone();
    free(outputs);
  }
}

const onGpu = (tensor) => tensor.location === "gpu-buffer";

function free(outputs) {
  for (const tensor of Object.values(outputs).filter(onGpu)) tensor.dispose();
}
