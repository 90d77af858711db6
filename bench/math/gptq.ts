/** GPTQ of one layer, 4 bits in blocks of 32 with the same scales, beside PyTorch in turn; what both leave of the layer's answers. */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { infer, layers } from "pith/analysis";
import { createEngine } from "pith/engine";
import { parseModel } from "pith/graph";
import { type Matrix, type Multiply, matrix, subtract, transpose } from "pith/math";
import { gptq, nearest, slicedWeight } from "pith/quantize";
import { random } from "pith/tensor";
import type { Grid } from "../../src/calibrate/solver.ts";
import { engineMultiply } from "../../src/engine/multiply.ts";
import { line, table, target } from "../lib/print.ts";

const peer = fileURLToPath(new URL("../peers/gptq_torch.py", import.meta.url));
const block = 32;
const grid: Grid = { type: "uint4", block, symmetric: true, low: 0, high: 15 };

/** Numbers of which each shares half of its variance with all others. */
function correlated(rows: number, columns: number): Matrix {
  const draw = random(2, "gptq");
  const numbers = matrix(rows, columns);
  for (let row = 0; row < rows; row++) {
    const common = draw.normal();
    for (let column = 0; column < columns; column++) numbers.data[row * columns + column] = draw.normal() + common;
  }
  return numbers;
}

const traceOf = async (change: Matrix, gram: Matrix, multiply: Multiply): Promise<number> => {
  const product = await multiply(change, gram);
  return product.data.reduce((sum, value, at) => sum + value * (change.data[at] ?? 0), 0);
};

const median = (list: readonly number[]): number => list.toSorted((a, b) => a - b)[list.length >> 1] ?? Number.NaN;

export async function compareGptq(
  size: number,
  rounds: number,
  python: string | undefined,
  folder: string,
): Promise<void> {
  const { multiply, release } = engineMultiply(createEngine());
  const draw = random(1, "gptq");
  const weight = matrix(
    size,
    size,
    Float64Array.from({ length: size * size }, () => Math.fround(0.02 * draw.normal())),
  );
  const inputs = correlated(size + size / 4, size);
  const gram = await multiply(transpose(inputs), inputs);
  const sliced = slicedWeight([weight], size, block);
  const scales = nearest.scales(sliced, grid);
  const scale = Float32Array.from(scales, (own) => own.scale);
  const zeroPoint = Int32Array.from(scales, (own) => own.zeroPoint);
  const named = parseModel(`opset 17
graph (x: float32[batch, 1]) -> (y: float32[batch, 1]) {
  layer.weight: float32[1, 1] = [1]
  y = MatMul(x, layer.weight)
}`);
  const [layer] = layers(named, infer(named));
  if (layer === undefined) throw new Error("There is no layer.");
  const evidence = { rows: inputs.rows, groups: [gram] };
  const ours = (): Promise<readonly Matrix[]> =>
    gptq.codes(sliced, { ...grid, scale, zeroPoint }, { layer, evidence, multiply, random: draw });
  const files = ["weight", "gram", "scales", "out"].map((name) => join(folder, name));
  for (const [at, data] of [weight.data, gram.data, Float64Array.from(scale)].entries())
    writeFileSync(files[at] ?? "", new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  const child =
    python === undefined
      ? undefined
      : spawn(python, [peer, `${size}`, `${size}`, ...files], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = child === undefined ? undefined : createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<{ torch?: string; seconds?: number; decomposed?: number }> =>
    JSON.parse((await lines?.next())?.value ?? "{}");
  const versions = await next();
  const times: { own: number; torch: number; decomposed: number }[] = [];
  let codes: readonly Matrix[] = [];
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    codes = await ours();
    const own = (performance.now() - started) / 1000;
    child?.stdin.write("go\n");
    const { seconds = Number.NaN, decomposed = Number.NaN } = await next();
    times.push({ own, torch: seconds, decomposed });
  }
  child?.kill();
  const rounded = matrix(
    size,
    size,
    (codes[0]?.data ?? new Float64Array()).map((code, at) => {
      const slice = sliced.sliceAt(0, Math.floor(at / size), at % size);
      return (code - (zeroPoint[slice] ?? 0)) * (scale[slice] ?? 0);
    }),
  );
  const errorOf = (after: Matrix): Promise<number> => traceOf(subtract(after, weight), gram, multiply);
  const theirs =
    child === undefined
      ? undefined
      : matrix(size, size, new Float64Array(new Uint8Array(readFileSync(files.at(-1) ?? "")).buffer));
  line(`GPTQ of ${size} × ${size}, PyTorch ${versions.torch ?? "missing: --python says where it is"}`);
  const [own, torch] = [median(times.map((one) => one.own)), median(times.map((one) => one.torch))];
  const ratio = median(times.map((one) => one.own / one.torch));
  table(
    ["", ">seconds", ">error of the answers"],
    [
      ["ours, float64", own.toFixed(1), (await errorOf(rounded)).toExponential(4)],
      ["PyTorch, float32", torch.toFixed(1), theirs === undefined ? "–" : (await errorOf(theirs)).toExponential(4)],
    ],
  );
  line(`of PyTorch's, decompositions: ${median(times.map((one) => one.decomposed)).toFixed(1)} s`);
  if (!Number.isNaN(ratio)) line(target(`at most 4 × PyTorch's time (${ratio.toFixed(2)})`, ratio <= 4, true));
  await release();
}
