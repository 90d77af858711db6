/** Files of other tools that choose by themselves, made from the samples that Pith calibrates and searches with. */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine } from "../../src/core/engine/index.ts";
import { open } from "../../src/core/onnx/index.ts";
import { isIndexed } from "../../src/data/batches/indexed.ts";
import { type Comparison, compare } from "../../src/judge/index.ts";
import type { OpenedTask } from "../../src/judge/task/index.ts";
import type { SearchParts } from "../../src/search/parts.ts";
import { line } from "../lib/print.ts";
import { peer, pythonWith } from "../lib/python.ts";
import { writeSamples } from "../quantize/samples.ts";

export interface Rival {
  readonly name: string;
  readonly bytes: number;
  /** On the samples that Pith is judged by. */
  readonly comparison: Comparison;
  readonly seconds: number;
}

interface Theirs {
  readonly version: string;
  readonly files: readonly { readonly tool: string; readonly path: string; readonly seconds: number }[];
  readonly failed: Readonly<Record<string, string>>;
}

const modules = { nncf: ["nncf", "onnxruntime"], olive: ["olive", "onnxruntime"] } as const;

/** @returns nothing for a tool that no Python has, or that fails: why is printed. */
export async function rivals(path: string, task: OpenedTask, parts: SearchParts, drop: number): Promise<Rival[]> {
  const folder = await mkdtemp(join(tmpdir(), "pith-bench-"));
  const [calibrate, search] = [task.calibrate, parts.search];
  if (calibrate === undefined || !isIndexed(calibrate) || !isIndexed(search)) return [];
  try {
    await writeSamples(join(folder, "calibrate.npz"), calibrate);
    await writeSamples(join(folder, "search.npz"), search, true);
    const found: Rival[] = [];
    for (const [tool, needed] of Object.entries(modules)) {
      const python = pythonWith(needed);
      if (python === undefined) {
        line(`  ${tool} takes no part: no Python imports ${needed.join(" and ")} (PITH_PYTHON)`);
        continue;
      }
      const { version, files, failed } = peer<Theirs>(python, "compress_peers.py", [tool, path, folder, `${drop}`]);
      line(`  ${version}`);
      for (const [name, why] of Object.entries(failed)) line(`  ${name} fails: ${why}`);
      for (const { tool: name, path: made, seconds } of files) {
        const models = [await open(path), await open(made)] as const;
        const comparison = await compare(createEngine(), ...models, parts.test, task.metric);
        found.push({ name, bytes: (await stat(made)).size, comparison, seconds });
      }
    }
    return found;
  } finally {
    await rm(folder, { recursive: true });
  }
}
