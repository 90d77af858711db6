/** Stored steps: changes that affect their key, and steps that run again after their files are lost. */
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, sep } from "node:path";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { definePass } from "../../src/core/pass/pass.ts";
import { modulePath } from "../../src/core/pass/path-options.ts";
import { accuracy } from "../../src/judge/index.ts";
import { recipeFrom } from "../../src/judge/recipe/check-recipe.ts";
import { compress } from "../../src/judge/run/compress.ts";
import { crossEntropy } from "../../src/runtime/metrics/class-metrics.ts";
import { prune } from "../../src/techniques/prune/index.ts";
import { task } from "./blobs.ts";
import { candidate, countSteps, cut, folder, net, options, ran } from "./counted-steps.ts";

countSteps();

describe("stored steps across runs", () => {
  const compressed = (metric = accuracy(), more: object = {}) =>
    compress(
      net,
      [candidate(0.1, 0.2), candidate(0.3)],
      { ...task, metric },
      { ...options, resumeFolder: folder, ...more },
    );

  test("are shared with a run with another metric", async () => {
    const first = await compressed();
    expect(ran).toEqual([0.1, 0.2, 0.3]);
    const second = await compressed(crossEntropy());
    expect(ran).toEqual([0.1, 0.2, 0.3]);
    const digests = ({ run }: typeof first) => run.variants.map(({ result }) => result?.sha256);
    expect(digests(second)).toEqual(digests(first));
    expect(second.run.metric.name).not.toBe(first.run.metric.name);
  });

  test("are computed again if they are removed or damaged", async () => {
    const first = await compressed();
    const [removed = "", damaged = ""] = readdirSync(folder).filter((name) => name.endsWith(".onnx"));
    rmSync(join(folder, removed));
    writeFileSync(join(folder, damaged), readFileSync(join(folder, damaged)).subarray(0, 1000));
    const second = await compressed();
    expect(ran.length).toBeGreaterThan(3);
    const digests = ({ run }: typeof first) => run.variants.map(({ result }) => result?.sha256);
    expect(digests(second)).toEqual(digests(first));
  });

  test("stay within the size limit; removed ones are computed again with the same bytes", async () => {
    const bytes = () => readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    const all = await compressed();
    const resumeBytes = Math.round(bytes() / 2);
    await compressed(accuracy(), { resumeBytes });
    expect(bytes()).toBeLessThanOrEqual(resumeBytes);
    expect(ran).toEqual([0.1, 0.2, 0.3]);
    const again = await compressed();
    expect(ran.length).toBeGreaterThan(3);
    expect(ran.length).toBeLessThan(6);
    const digests = ({ run }: typeof all) => run.variants.map(({ result }) => result?.sha256);
    expect(digests(again)).toEqual(digests(all));
  });

  test("stay within the size limit during a recipe", async () => {
    const most: number[] = [];
    const look = definePass({
      id: "look",
      summary: "count the models that are kept, and prune",
      options: v.object({ amount: v.number() }),
      async run(model, { amount }, context) {
        most.push(readdirSync(folder).filter((name) => name.endsWith(".onnx")).length);
        return prune(model, { amount }, context);
      },
    });
    const amounts = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6];
    const recipe = recipeFrom({ steps: amounts.map((amount) => ({ look: { amount } })) }, "recipe", [look]);
    const run = (resumeBytes: number | undefined) =>
      compress(net, [{ name: "one", recipe }], task, { ...options, passes: [look], resumeFolder: folder, resumeBytes });
    const bounded = await run(1);
    // Only the file that a step starts from is loaded.
    expect(most).toEqual([0, 1, 1, 1, 1, 1]);
    expect(readdirSync(folder)).toEqual([]);
    expect((await run(undefined)).result?.bytes).toEqual(bounded.result?.bytes);
  });

  test("identify a file that a step reads by its content", async () => {
    const file = join(folder, "amount.txt");
    const reading = definePass({
      id: "reading",
      summary: "prune as much as a file says",
      options: v.object({ from: v.string() }),
      reads: ["from"],
      async run(model, { from }, context) {
        ran.push(Number(readFileSync(from, "utf8")));
        return prune(model, { amount: ran.at(-1) }, context);
      },
    });
    const recipe = recipeFrom({ steps: [{ reading: { from: file } }] }, "recipe", [reading]);
    for (const amount of [0.1, 0.1, 0.2]) {
      writeFileSync(file, String(amount));
      await compress(net, [{ name: "one", recipe }], task, { ...options, passes: [reading], resumeFolder: folder });
    }
    expect(ran).toEqual([0.1, 0.2]);
  });

  test("identify a module in an option by its content, at any path", async () => {
    const custom = definePass({
      id: "own",
      summary: "prune as much as a module says, and count that",
      options: v.object({ amount: v.union([v.number(), modulePath("is a number")]) }),
      async run(model, { amount }, context) {
        ran.push(Number(amount));
        return prune(model, { amount: Number(amount) }, context);
      },
    });
    const runs = [];
    for (const [name, amount] of [
      ["a", 0.1],
      ["b", 0.1],
      ["c", 0.2],
    ] as const) {
      const file = join(folder, `${name}.mjs`);
      writeFileSync(file, `export default ${amount};\n`);
      const recipe = recipeFrom({ steps: [{ own: { amount: file } }] }, "recipe", [custom]);
      const { run } = await compress(net, [{ name: "one", recipe }], task, {
        ...options,
        passes: [custom],
        resumeFolder: folder,
      });
      expect(run.variants[0]?.steps[0]?.options).toEqual({ amount: file });
      runs.push(run.variants[0]?.result?.sha256);
    }
    expect(ran).toEqual([0.1, 0.2]);
    expect(runs[1]).toBe(runs[0]);
    const records = readdirSync(folder).filter((name) => name.endsWith(".json"));
    expect(records.filter((name) => readFileSync(join(folder, name), "utf8").includes(folder))).toEqual([]);
  });

  test("identify a stream from a module by its code, at any path", async () => {
    const figures: number[] = [];
    for (const [name, code] of [
      ["a", ""],
      ["b", ""],
      ["c", "// another"],
    ] as const) {
      const file = join(folder, `${name}.mjs`);
      writeFileSync(file, code);
      const { batches } = task.test;
      const streamed = { ...task, test: { name: file, count: undefined, batches } };
      await compress(net, [candidate(0.1)], streamed, { ...options, resumeFolder: folder });
      figures.push(readdirSync(folder).filter((one) => one.endsWith(".json")).length);
    }
    const [first = 0, moved, changed] = figures;
    expect(moved).toBe(first);
    expect(changed).toBeGreaterThan(first);
    expect(ran).toEqual([0.1]);
  });

  test("restart a training whose checkpoint is damaged", async () => {
    const recipe = recipeFrom({ steps: [{ train: { epochs: 2, batch: 64 } }] });
    const trainResumable = (folderOf: string | undefined, signal?: AbortSignal, log?: (text: string) => void) =>
      compress(
        net,
        [{ name: "one", recipe }],
        task,
        { ...options, ...(folderOf === undefined ? {} : { resumeFolder: folderOf }) },
        { ...(signal && { signal }), log: ({ id, text }) => log?.(`${id} ${text}`) },
      );
    const stop = new AbortController();
    const stopped = trainResumable(folder, stop.signal, (text) => {
      if (text.startsWith("epoch")) stop.abort();
    });
    await expect(stopped).rejects.toMatchObject({ code: "E_STOPPED" });
    const [last = ""] = readdirSync(folder, { recursive: true })
      .map(String)
      .filter((file) => file.endsWith("last.onnx"));
    writeFileSync(join(folder, last), readFileSync(join(folder, last)).subarray(0, 1000));
    const [again, fresh] = [await trainResumable(folder), await trainResumable(undefined)];
    expect(again.run.variants[0]?.result?.sha256).toBe(fresh.run.variants[0]?.result?.sha256);
  });

  test("are not shared with another seed", async () => {
    await compressed();
    await compress(net, [candidate(0.3)], task, { ...options, resumeFolder: folder }, { seed: 1 });
    expect(ran).toEqual([0.1, 0.2, 0.3, 0.3]);
  });

  test("are not shared with another model", async () => {
    await compressed();
    const other = net.clone();
    await prune(other, { amount: 0.05 });
    await compress(other, [candidate(0.3)], task, { ...options, resumeFolder: folder });
    expect(ran).toEqual([0.1, 0.2, 0.3, 0.3]);
  });
});

describe("steps within one run", () => {
  test("are different if their options are different functions", async () => {
    const step = (after: () => void) => ({
      name: "one",
      recipe: recipeFrom({ steps: [{ cut: { amount: 0.1, after } }] }, "recipe", [cut]),
    });
    const repeated = step(() => {});
    await compress(net, [repeated, step(() => {}), repeated], task, options);
    expect(ran).toEqual([0.1, 0.1]);
  });
});

describe("steps across runs", () => {
  test("leave no checkpoint of a finished training", async () => {
    const recipe = recipeFrom({ steps: [{ train: { epochs: 1, batch: 64 } }] });
    await compress(net, [{ name: "one", recipe }], task, { ...options, resumeFolder: folder });
    const files = readdirSync(folder, { recursive: true }).map(String);
    expect(files.filter((file) => file.includes(sep))).toEqual([]);
  });
});
