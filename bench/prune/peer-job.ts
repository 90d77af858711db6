/** Job of experiment "peers": prunes half of the channels of a file, and measures processor time and peak memory of this process. */
import { open, save } from "pith";
import { prune } from "pith/prune";
import { startMemoryMeter } from "../../src/app/cli/jobs/memory.ts";
import { linear, network, relu } from "../../src/learn/nn/index.ts";

export interface CutInput {
  readonly path: string;
  readonly out: string;
  readonly throughNorms: boolean;
}

export interface Cut {
  /** Processor seconds: of choosing and removing the channels, and of that plus reading and writing the file. */
  readonly seconds: number;
  readonly whole: number;
  /** Peak memory in bytes, minus the memory of the process with all code loaded but no model. */
  readonly peak: number;
}

/** Removes half of the channels of each layer, as Torch-Pruning does. */
const half = { structured: 0.5, scope: "uniform", importance: "magnitude", roundTo: 1 } as const;

export default async function peerJob({ path, out, throughNorms }: CutInput): Promise<Cut> {
  const small = network({ fc1: linear(8, 8), relu: relu(), fc2: linear(8, 4) }, { input: ["batch", 8], seed: 0 });
  await prune(small, half);
  await save(small, out);
  const peak = startMemoryMeter();
  const start = process.cpuUsage();
  const model = await open(path);
  const opened = process.cpuUsage();
  await prune(model, { ...half, throughNorms });
  // Pruned weights are computed lazily, so the job reads them all.
  for (const { tensor } of model.graph.values())
    if (tensor !== undefined && tensor.small === undefined && tensor.stored === undefined) await tensor.read();
  const seconds = secondsSince(opened);
  const beforeSaving = secondsSince(start);
  const saving = process.cpuUsage();
  await save(model, out);
  return { seconds, whole: beforeSaving + secondsSince(saving), peak: peak() };
}

function secondsSince(earlier: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(earlier);
  return (user + system) / 1e6;
}
