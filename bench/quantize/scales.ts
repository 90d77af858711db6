/** Experiment "scales": processor time of the searches of block scales, for several shapes of weights. */
import { parseModel } from "../../src/core/graph/text-parse.ts";
import { quantize } from "../../src/techniques/quantize/index.ts";
import { heading, line, table, target } from "../lib/print.ts";
import type { Settings } from "./static.ts";

const seed = 0;
/** Maximum nanoseconds per weight on a busy processor: 35 seconds for the 134.5 million weights of SmolLM2-135M. */
const most = 260;
const shapes = [
  ["product", 576, 1536],
  ["product", 1536, 576],
  ["product", 2048, 2048],
  ["table", 8192, 576],
] as const;
const variants = [
  ["nearest", {}],
  ["mse", {}],
  ["mse, zero points", { zeroPoints: true }],
] as const;

export async function scales({ smoke }: Settings): Promise<boolean> {
  heading("Searches of scales: nanoseconds of processor time per weight", seed);
  const rounds = smoke ? 1 : 3;
  const rows: string[][] = [];
  let slowest = 0;
  for (const [kind, inputs, columns] of smoke ? shapes.slice(0, 1) : shapes) {
    const times = new Map<string, number>();
    for (let round = 0; round <= rounds; round++)
      for (const [name, options] of variants) {
        const model = parseModel(textOf(kind, inputs, columns));
        const before = process.cpuUsage();
        const [rounder = "nearest"] = name.split(",");
        await quantize(model, { scheme: "weights", bits: 4, rounder: rounder as "nearest", ...options }, { seed });
        const { user, system } = process.cpuUsage(before);
        const time = ((user + system) * 1000) / (inputs * columns);
        // The first round compiles.
        if (round > 0) times.set(name, Math.min(time, times.get(name) ?? Number.POSITIVE_INFINITY));
      }
    slowest = Math.max(slowest, ...times.values());
    rows.push([`${kind} ${inputs} × ${columns}`, ...variants.map(([name]) => (times.get(name) ?? 0).toFixed(0))]);
  }
  table(["weight", ...variants.map(([name]) => `>${name}`)], rows);
  line(target(`${slowest.toFixed(0)} ns per weight, ${most} at most`, slowest <= most, true));
  return slowest <= most;
}

const textOf = (kind: "product" | "table", rows: number, columns: number): string =>
  kind === "product"
    ? `opset 17
graph (x: float32[n, ${rows}]) -> (y: float32[n, ${columns}]) {
  w: float32[${rows}, ${columns}] = random(seed 1)
  y = MatMul(x, w)
}`
    : `opset 17
graph (x: int64[n]) -> (y: float32[n, ${columns}]) {
  w: float32[${rows}, ${columns}] = random(seed 1)
  y = Gather(w, x)
}`;
