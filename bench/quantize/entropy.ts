/** Experiment "entropy": time and memory of the rounding method rdoq relative to GPTQ, both with 8 bits, each in a separate process. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runJob } from "../../src/runtime/job/run.ts";
import { heading, line, table, target } from "../lib/print.ts";
import type quantizeJob from "./job.ts";
import type layerJob from "./layer-job.ts";
import type { Settings } from "./static.ts";

const seed = 0;
/** Maximum processor time and peak memory relative to GPTQ. */
const [maxTime, maxMemory] = [2, 1];
const rounders = ["gptq", "rdoq"] as const;

interface Taken {
  readonly processor: number;
  readonly peak: number;
}

export async function entropy({ smoke }: Settings): Promise<boolean> {
  heading("Low-entropy values and GPTQ", seed);
  const folder = await mkdtemp(join(tmpdir(), "pith-bench-"));
  try {
    const cases = new Map<string, (rounder: (typeof rounders)[number]) => Promise<Taken>>([
      // The network takes minutes.
      ...(smoke ? [] : [["resnet56", quantizeNetwork(join(folder, "out.onnx"))] as const]),
      ...(smoke ? [256] : [1024, 2048, 4096]).map(
        (size) => [`${size} × ${size}`, (rounder: (typeof rounders)[number]) => quantizeLayer(size, rounder)] as const,
      ),
    ]);
    const rows: string[][] = [];
    const checks: (readonly [text: string, met: boolean, shown: boolean])[] = [];
    for (const [name, run] of cases) {
      const [gptq, rdoq] = [await run("gptq"), await run("rdoq")];
      const [time, memory] = [rdoq.processor / gptq.processor, rdoq.peak / gptq.peak];
      rows.push([
        name,
        ...[gptq, rdoq].flatMap(({ processor, peak }) => [processor.toFixed(1), (peak / 1e6).toFixed(0)]),
      ]);
      if (name === "resnet56")
        checks.push([`${name}: ${time.toFixed(2)} of GPTQ's time, ${maxTime} at most`, time <= maxTime, true]);
      else
        checks.push([
          `${name}: ${memory.toFixed(2)} of GPTQ's memory, ${maxMemory} at most`,
          memory <= maxMemory,
          true,
        ]);
    }
    table(["", ">gptq, s", ">MB", ">rdoq, s", ">MB"], rows);
    if (smoke) {
      line("  a smoke run: too small to judge by");
      return true;
    }
    for (const check of checks) line(`  ${target(...check)}`);
    return checks.every(([, met]) => met);
  } finally {
    await rm(folder, { recursive: true });
  }
}

function quantizeNetwork(out: string) {
  return (rounder: (typeof rounders)[number]): Promise<Taken> => {
    const input = { network: "resnet56", options: { scheme: "weights", rounder }, calibrate: 256, seed, out } as const;
    return runJob<typeof quantizeJob>(new URL("./job.ts", import.meta.url), input, { name: rounder });
  };
}

function quantizeLayer(size: number, rounder: (typeof rounders)[number]): Promise<Taken> {
  return runJob<typeof layerJob>(
    new URL("./layer-job.ts", import.meta.url),
    { size, samples: 512, rounder },
    { name: rounder },
  );
}
