/** Tests how a model of a folder is searched, and what is printed. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createModuleSearch } from "../../../src/app/cli/commands/folder/search.ts";
import type { CompressInput, CompressOutput } from "../../../src/app/cli/jobs/compress.ts";
import { Terminal } from "../../../src/app/cli/print/terminal.ts";
import { minSpeed } from "../../../src/app/folder/quantize-folder.ts";
import type { Choice } from "../../../src/judge/record/run-record.ts";
import { temporaryFolder } from "../../temporary.ts";
import { exampleRun } from "../report/example-run.ts";
import { dataAt } from "./data-request.ts";

/** Runs a search with the given choice. Returns its inputs, candidates and messages. */
async function searched(choice: Choice) {
  const folder = temporaryFolder();
  const out = join(folder, "model");
  mkdirSync(out);
  writeFileSync(join(out, "recipe.yaml"), "version: 1\n");
  let err = "";
  const stream = {
    write(text: string): void {
      err += text;
    },
  };
  const asked: CompressInput[] = [];
  const output: CompressOutput = {
    run: { ...exampleRun, chosen: choice.place, choice },
    written: [join(out, "model.onnx")],
  };
  const session = {
    ...{
      terminal: new Terminal({ out: stream, err: stream, json: false, env: {}, versions: "" }),
      seed: 0,
      commandLine: [],
    },
    ...{ signal: new AbortController().signal, passOptions: {}, namedFolders: new Map(), flags: [] },
    runJob: (_: string | URL, input: CompressInput) => {
      asked.push(input);
      return Promise.resolve(output as never);
    },
  };
  const how = {
    ...{ folder, resumeFolder: folder, minutes: 1, steps: undefined },
    techniques: undefined,
    purpose: undefined,
  };
  const searcher = createModuleSearch(
    { ...how, workers: { jobs: 1, queue: undefined } },
    {
      ...{ data: dataAt("x.txt"), metric: "accuracy", output: undefined, targets: [] },
      goal: { maxDrop: undefined, strict: false },
    },
    undefined,
    1,
    session,
  );
  const candidates = await searcher.find({ base: "model", source: "model.onnx", hash: "" }, 1);
  return { candidates, asked, err };
}

test("a search requires the minimum speed of the dtypes", async () => {
  const { asked, candidates } = await searched({ place: 0, by: "usual" });
  expect(candidates).toHaveLength(1);
  expect(asked.map(({ shared }) => shared.search.minSpeed)).toEqual([minSpeed]);
});

test("prints the smaller candidate that was rejected for its speed", async () => {
  const { err } = await searched({ place: 0, by: "usual", over: 3 });
  expect(err).toContain(
    "Smaller, but not kept: prune + train + quantize (440 kB), which is 2.20 × as fast (--for size keeps it).",
  );
});

test("prints no smaller candidate if there is none", async () => {
  expect((await searched({ place: 0, by: "usual" })).err).not.toContain("--for size");
});
