/** The demo's run in the form that reports are made from. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism, cpus, totalmem } from "node:os";
import { contentHash, type Dataset } from "pith/data";
import { brotliQuality, type Goal, type LatencyReport, type Verdict } from "pith/evaluate";
import { type Machine, type Run, runFormat, type Samples, type StepRecord } from "pith/report";
import { disagreements, type Standing } from "./bench.ts";

export interface Attempt {
  readonly name: string;
  readonly steps: readonly StepRecord[];
  readonly standing: Standing;
  readonly verdict: Verdict;
}

export interface Facts {
  readonly date: string;
  readonly seed: number;
  readonly seconds: number;
  readonly source: string;
  readonly train: Dataset;
  readonly calibrate: Dataset;
  readonly test: Dataset;
  readonly goal: Goal;
  readonly original: Standing;
  readonly attempts: readonly Attempt[];
  /** Of the original and all attempts, in this order. */
  readonly times: LatencyReport;
}

/** The smallest file inside the goal counts as the result. */
export async function runOf(facts: Facts): Promise<Run> {
  const { original, attempts, times, test } = facts;
  const inside = attempts.filter(({ verdict }) => verdict.met);
  const [best] = inside.toSorted((a, b) => a.standing.measured.bytes - b.standing.measured.bytes);
  const chosen = best === undefined ? undefined : attempts.indexOf(best);
  return {
    format: runFormat,
    version: await version(),
    date: facts.date,
    command: undefined,
    seed: facts.seed,
    seconds: facts.seconds,
    machine: machine(),
    data: {
      name: facts.source,
      preprocessing: "unit",
      train: await samples(facts.train),
      calibrate: await samples(facts.calibrate),
      test: await samples(test),
      chance: undefined,
    },
    brotliQuality,
    metric: { name: "accuracy", unit: "share", better: "higher" },
    goal: facts.goal,
    original: original.measured,
    variants: attempts.map(({ name, steps, standing: { measured, comparison, agreement }, verdict }) => ({
      name,
      steps,
      result: { ...measured, name },
      comparison,
      agreement,
      verdict,
      refused: undefined,
    })),
    chosen,
    latency: times,
    disagreements: best === undefined ? [] : await disagreements(original, best.standing, test),
    warnings: [],
  };
}

async function samples(dataset: Dataset): Promise<Samples> {
  return { count: dataset.count, sha256: await contentHash(dataset) };
}

function machine(): Machine {
  const runtime: { readonly version: string } = createRequire(import.meta.url)("onnxruntime-node/package.json");
  return {
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    threads: availableParallelism(),
    memory: totalmem(),
    versions: { node: process.versions.node, "onnxruntime-node": runtime.version },
  };
}

async function version(): Promise<string> {
  const text = await readFile(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { readonly version: string }).version;
}
