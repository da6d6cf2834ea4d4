// What this browser can measure with, and what stands in the way: obstacles keep it from joining, warnings are
// shown for as long as they hold.

import { isFallback } from "./engine.js";

export async function lookAround(settings) {
  const obstacles = [];
  const warnings = [];
  if (!isSecureContext) obstacles.push("This page came over plain HTTP, where browsers have neither threads nor WebGPU nor SHA-256. Open the https:// link that nas phone shows.");
  else if (!globalThis.crypto?.subtle) obstacles.push("This browser has no SHA-256 (crypto.subtle), by which models are checked.");
  if (!globalThis.WebAssembly) obstacles.push("This browser has no WebAssembly.");
  if (!crossOriginIsolated) warnings.push("This page is not isolated: it measures with one thread, by a clock of 100 µs.");
  if (!navigator.wakeLock) warnings.push("This browser cannot keep the screen on (no wake lock): keep it on yourself, or measurements fail.");
  const gpu = await webgpu(settings);
  if (gpu.warning) warnings.push(gpu.warning);
  return { obstacles, warnings, describe: (device) => describe(device, settings, gpu.accelerator) };
}

async function webgpu(settings) {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" }).catch(() => null);
  if (!adapter) return { warning: "No WebGPU here: only WebAssembly is measured." };
  const { vendor = "", architecture = "", description = "" } = adapter.info ?? {};
  const name = [vendor, architecture, description].filter(Boolean).join(" ") || "a GPU";
  if (isFallback(adapter) && !settings.fallback_adapters) return { warning: `WebGPU would be computed by the processor here (${name} is a fallback adapter): only WebAssembly is measured.` };
  return { accelerator: { name, memory_bytes: 0 }, warning: isFallback(adapter) ? `WebGPU is computed by the processor here: ${name}.` : null };
}

// As workers/capabilities.py has it. Browsers keep the processor's name to themselves: the device's model, or the
// system, stands for it.
async function describe(device, { engine: version }, accelerator) {
  const said = await navigator.userAgentData?.getHighEntropyValues(["architecture", "model", "platformVersion"]).catch(() => null) ?? {};
  const platform = said.platform || navigator.platform || "unknown";
  const system = `${platform} ${said.platformVersion ?? ""}`.trim();
  const runtimes = [{ name: "onnxruntime-web", version, dtypes: ["fp32"], phases: ["prefill", "decode"] }];
  if (accelerator) runtimes.push({ name: "onnxruntime-webgpu", version, dtypes: ["fp32"], phases: ["prefill"] });
  return {
    device, runtimes, accelerators: accelerator ? [accelerator] : [],
    threads: crossOriginIsolated ? navigator.hardwareConcurrency || 1 : 1,
    // Without its version: an update makes no other machine of it.
    cpu_model: said.model || `a browser on ${platform}`, machine: said.architecture || "unknown", system,
    memory_bytes: Math.round((navigator.deviceMemory ?? 0) * 2 ** 30),
    versions: { browser: browser() },
  };
}

function browser() {
  const brand = navigator.userAgentData?.brands.find(({ brand: name }) => !/not.a.brand/i.test(name));
  return brand ? `${brand.brand} ${brand.version}` : navigator.userAgent;
}
