/** Files that other tools compress automatically, with the samples that Pith calibrates and searches on. */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createEngine } from "../../src/core/engine/index.ts";
import { open } from "../../src/core/onnx/index.ts";
import { isIndexed } from "../../src/data/batches/indexed.ts";
import { type Comparison, compare } from "../../src/judge/index.ts";
import type { OpenedTask } from "../../src/judge/task/index.ts";
import type { SearchSplits } from "../../src/search/search-splits.ts";
import { line } from "../lib/print.ts";
import { peer, pythonWith } from "../lib/python.ts";
import { writeSamples } from "../quantize/samples.ts";

export interface Rival {
  readonly name: string;
  readonly bytes: number;
  /** Comparison on the test samples that also evaluate Pith. */
  readonly comparison: Comparison;
  readonly seconds: number;
}

interface Theirs {
  readonly version: string;
  readonly files: readonly { readonly tool: string; readonly path: string; readonly seconds: number }[];
  readonly failed: Readonly<Record<string, string>>;
}

const modules = { nncf: ["nncf", "onnxruntime"], olive: ["olive", "onnxruntime"] } as const;

/** @returns the results of the tools that are installed and succeed; prints why a tool is left out. */
export async function rivals(path: string, task: OpenedTask, parts: SearchSplits, drop: number): Promise<Rival[]> {
  const folder = await mkdtemp(join(tmpdir(), "pith-bench-"));
  const [calibrate, search] = [task.calibrate, parts.search];
  if (calibrate === undefined || !isIndexed(calibrate) || !isIndexed(search)) return [];
  try {
    await writeSamples(join(folder, "calibrate.npz"), calibrate);
    await writeSamples(join(folder, "search.npz"), search, true);
    const results: Rival[] = [];
    for (const [tool, needed] of Object.entries(modules)) {
      const python = pythonWith(needed);
      if (python === undefined) {
        line(`  ${tool} takes no part: no Python imports ${needed.join(" and ")} (PITH_PYTHON)`);
        continue;
      }
      const { version, files, failed } = peer<Theirs>(python, "compress_peers.py", [tool, path, folder, `${drop}`]);
      line(`  ${version}`);
      for (const [name, why] of Object.entries(failed)) line(`  ${name} fails: ${why}`);
      for (const { tool: name, path: peerPath, seconds } of files) {
        const models = [await open(path), await open(peerPath)] as const;
        const comparison = await compare(createEngine(), ...models, parts.test, task.metric);
        results.push({ name, bytes: (await stat(peerPath)).size, comparison, seconds });
      }
    }
    return results;
  } finally {
    await rm(folder, { recursive: true });
  }
}
