/**
 * Load time and peak memory of a large model with one edited weight, compared with the original and with a model that is passed as one buffer.
 * Arguments: gigabytes (1), and `wasm` to time WebAssembly as well. Each case runs in a separate process.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { filesOfModel, totalBytes } from "../src/app/cli/files/file-paths.ts";
import { parseModel } from "../src/core/graph/text.ts";
import { bytes, duration } from "../src/core/numbers.ts";
import { open, save } from "../src/core/onnx/index.ts";
import { random } from "../src/core/tensor/random.ts";
import type { Tensor } from "../src/core/tensor/types.ts";
import { runJob } from "../src/runtime/job/run.ts";
import type loadJob from "./lib/load-job.ts";
import type { LoadInput } from "./lib/load-job.ts";
import { heading, line, table } from "./lib/print.ts";

const words = process.argv.slice(2);
const gigabytes = Number(words.find((word) => Number(word) > 0) ?? 1);
/** A square matrix of this width has 64 MiB. */
const width = 4096;
const layers = Math.round(gigabytes * 16);

/** Creates a weight whose values are computed when they are read, so that no weight stays in memory. */
function made(seed: number): Tensor {
  const dims = [width, width];
  const read = async () => {
    const numbers = random(seed, "weights");
    // Each row is the same random row, rotated by the row index: fast, and no two rows are equal.
    const row = Float32Array.from({ length: width }, () => numbers.normal() / Math.sqrt(width));
    const data = new Float32Array(width * width);
    for (let at = 0; at < width; at++) {
      data.set(row.subarray(at), at * width);
      data.set(row.subarray(0, at), at * width + width - at);
    }
    return { type: "float32" as const, dims, data };
  };
  return { type: "float32", dims, bytes: 4 * width * width, small: undefined, stored: undefined, read };
}

const numbers = Array.from({ length: layers }, (_, index) => index);
const model = parseModel(`opset 21
graph (x: float32[batch, ${width}]) -> (y: float32[batch, ${width}]) {
${numbers.map((index) => `  w${index}: float32[1, ${width}] = zeros`).join("\n")}
${numbers.map((index) => `  h${index} = MatMul(${index === 0 ? "x" : `a${index - 1}`}, w${index})\n  a${index} = Tanh(h${index})`).join("\n")}
  y = Identity(a${layers - 1})
}
`);
for (const index of numbers) {
  const value = model.graph.value(`w${index}`);
  if (value !== undefined) value.tensor = made(index + 1);
}

const folder = await mkdtemp(join(tmpdir(), "pith-bench-"));
try {
  const path = join(folder, "large.onnx");
  await save(model, path, gigabytes >= 2 ? { externalData: true } : {});
  heading(`A model of ${bytes(await totalBytes(filesOfModel(await open(path), path)))}, ${layers} products`, 1);
  const edit = `w${layers >> 1}`;
  const cases: [name: string, input: LoadInput][] = [
    ["the original", { path, width }],
    ["edited in one weight", { path, width, edit }],
    ...(gigabytes < 2
      ? [["edited, handed over whole", { path, width, edit, whole: true }] as [string, LoadInput]]
      : []),
    ...(words.includes("wasm")
      ? [["edited, in WebAssembly", { path, width, edit, runtime: "wasm" }] as [string, LoadInput]]
      : []),
  ];
  const rows: string[][] = [];
  const answers = new Map<string, number>();
  for (const [name, input] of cases) {
    const measurement = await runJob<typeof loadJob>(new URL("./lib/load-job.ts", import.meta.url), input, { name });
    answers.set(name, measurement.first);
    rows.push([
      name,
      duration(measurement.open),
      duration(measurement.load),
      duration(measurement.run),
      bytes(measurement.peak),
    ]);
  }
  table(["", ">open", ">load", ">first run", ">peak memory"], rows);
  line(
    "Peak memory is what the process took over a runtime without a model; a part of the file that is mapped counts once it was read.",
  );
  const [inPlace, copied] = [answers.get("edited in one weight"), answers.get("edited, handed over whole")];
  if (copied !== undefined)
    line(`Both edited models answer the same: ${inPlace === copied ? "yes" : `NO, ${inPlace} and ${copied}`}.`);
} finally {
  await rm(folder, { recursive: true });
}
