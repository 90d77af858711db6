/** Experiment "latency": the speedup from fewer channels and fewer multiply-accumulates, relative to the original in the same run. */
import { type Model, open } from "pith";
import { type PruneOptions, prune } from "pith/prune";
import { cost } from "../../src/core/analysis/cost.ts";
import { infer } from "../../src/core/analysis/infer.ts";
import { createEngine } from "../../src/core/engine/index.ts";
import { latency as timed } from "../../src/judge/index.ts";
import { operationCountOf } from "../../src/judge/record/operation-count.ts";
import { shared } from "../../test/shared.ts";
import { heading, line, table, target } from "../lib/print.ts";
import { runnable } from "../lib/random-inputs.ts";
import type { Settings } from "./settings.ts";

const seed = 0;

const files = ["resnet56.onnx", "mobilenetv2.onnx", "squeezenet1.0_deepcompression.onnx", "ultraface_slim320.onnx"];

/** Settings of the run in bench/logs. */
const evenly = { scope: "uniform", importance: "magnitude" } as const;

const ways: Readonly<Record<string, PruneOptions>> = {
  "half of the channels": { ...evenly, structured: 0.5, roundTo: 1 },
  "the same, multiples of 16": { ...evenly, structured: 0.5, roundTo: 16 },
  "half of the MACs": { ...evenly, structured: true, macs: 0.5 },
  "half of the weights, as zeros": { amount: 0.5 },
};

/** Minimum speedup of the two largest networks with half of their channels or multiply-accumulates. */
const fast = 1.6;

export async function latencies({ smoke, threads }: Settings): Promise<boolean> {
  heading("What is faster with less", seed);
  const engine = createEngine();
  const rows: string[][] = [];
  const best: { readonly macs: number; readonly speed: number }[] = [];
  for (const file of files) {
    const path = shared(`data/models/${file}`);
    if (path === undefined) {
      line(`${file}: not measured, the shared folder (../shared, or PITH_SHARED) does not have it`);
      continue;
    }
    const original = await open(path);
    const session = await engine.load(original);
    const feeds = await runnable(session, original, seed);
    await session.release();
    if (typeof feeds === "string") throw new Error(`${file}: ${feeds}`);
    const nets: Model[] = [original];
    for (const options of Object.values(ways)) {
      const net = await open(path);
      await prune(net, options, { engine, seed });
      nets.push(net);
    }
    const { models } = await timed(engine, nets, feeds, { threads: Number(threads), rounds: smoke ? 3 : 30 });
    const all = macsOf(original);
    for (const [at, way] of Object.keys(ways).entries()) {
      const net = nets[at + 1] ?? original;
      const { median, low, high } = models[at + 1]?.speedup ?? { median: Number.NaN, low: 0, high: 0 };
      const share = macsOf(net) / all;
      rows.push([
        at === 0 ? file : "",
        way,
        (1 / share).toFixed(2),
        `${median.toFixed(2)} (${low.toFixed(2)} … ${high.toFixed(2)})`,
      ]);
    }
    const speeds = models.slice(1, 4).map(({ speedup }) => speedup.median);
    best.push({ macs: all, speed: Math.max(...speeds) });
  }
  table(["", "", ">times fewer MACs", ">times as fast"], rows);
  const largest = best.toSorted((a, b) => b.macs - a.macs).slice(0, 2);
  const met = largest.every(({ speed }) => speed >= fast);
  line(`  ${target(`the two with most MACs ${fast} times as fast`, met, true)}`);
  return met;
}

/** Returns the multiply-accumulates of one sample. */
function macsOf(model: Model): number {
  const { macs } = cost(model, infer(model));
  return operationCountOf(macs)?.count ?? Number.NaN;
}
