/**
 * Trains a deep network for a few steps, and prints the peak resident memory in bytes, the peak before the steps, and a hash of the
 * gradients. Argument: "true" to recompute activations.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseModel } from "../../src/core/graph/text.ts";
import { float32 } from "../../src/core/tensor/dense.ts";
import { random } from "../../src/core/tensor/random.ts";
import { meanSquaredError } from "../../src/learn/train/index.ts";
import { createStep } from "../../src/learn/train/step.ts";

const [depth, width, rows] = [48, 128, 4096];
const layers = Array.from({ length: depth }, (_, n) => n);
const model = parseModel(`opset 18
graph (x: float32[N, ${width}]) -> (y) {
${layers.map((n) => `  w${n}: float32[${width}, ${width}] = random(seed ${n})`).join("\n")}
${layers
  .map((n) => {
    const before = n === 0 ? "x" : `c${n - 1}`;
    return `  a${n} = MatMul (${before}, w${n})\n  b${n} = Tanh (a${n})\n  c${n} = Add (b${n}, ${before})`;
  })
  .join("\n")}
  y = Identity (c${depth - 1})
}`);

const draw = random(1);
const noise = (): Float32Array => Float32Array.from({ length: rows * width }, () => draw.uniform() - 0.5);
const batch = { x: float32([rows, width], noise()), label: float32([rows, width], noise()) };
const checkpointing = process.argv[2] === "true";
const step = await createStep(model, batch, { loss: meanSquaredError({ label: "label" }), checkpointing, threads: 1 });
const before = peak();
for (let run = 0; run < 2; run++) await step.run(batch);
const hash = createHash("sha256");
for (const { gradient } of step.parameters)
  hash.update(Uint8Array.from(new Uint8Array(Float64Array.from(gradient).buffer)));
process.stdout.write(JSON.stringify({ before, peak: peak(), gradients: hash.digest("hex") }));

/** Returns the peak memory of this process from VmHWM, because getrusage can report that of the parent process. */
function peak(): number {
  const status = process.platform === "linux" ? readFileSync("/proc/self/status", "utf8") : "";
  const peakKilobytes = /VmHWM:\s*(\d+) kB/.exec(status)?.[1];
  return (peakKilobytes === undefined ? process.resourceUsage().maxRSS : Number(peakKilobytes)) * 1024;
}
