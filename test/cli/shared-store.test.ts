/** What a command leaves in the store of a queue for workers. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Work } from "../../src/cli/queue/kinds.ts";
import { foundAmong } from "../../src/cli/queue/modules.ts";
import { openSharedStore, receivedInput, shareInput } from "../../src/cli/queue/shared-store.ts";
import { parseModel } from "../../src/graph/text.ts";
import { open, save } from "../../src/onnx/index.ts";
import { outliers } from "../outliers.ts";
import { temporaryFolder } from "../temporary.ts";
import { dataAt } from "./data-request.ts";

test("the tokenizer and settings of a model are shared with it, from its folder or the one above", async () => {
  const folder = temporaryFolder();
  const model = join(folder, "onnx", "model.onnx");
  mkdirSync(join(folder, "onnx"));
  await save(parseModel(outliers), model);
  writeFileSync(join(folder, "tokenizer.json"), "{}");
  writeFileSync(join(folder, "config.json"), "{}");
  writeFileSync(join(folder, "onnx", "config.json"), '{ "own": true }');
  writeFileSync(join(folder, "README.md"), "");
  writeFileSync(join(folder, "points.csv"), "x,label\n1,0\n");
  const store = await openSharedStore(join(folder, "store"));
  const input = { model, resumeFolder: "", data: dataAt(join(folder, "points.csv")), seed: 0 };
  const shared = await shareInput(store, await open(model), { kind: "combination", input });
  const [place = ""] = /^inputs\/[0-9a-f]{64}(?=\/model\.onnx$)/.exec(shared.model) ?? [];
  expect(readdirSync(join(store.folder, place)).toSorted()).toEqual(["config.json", "model.onnx", "tokenizer.json"]);
});

test("a data set that is a module stays out of the store, and the job names it by its content", async () => {
  const folder = temporaryFolder();
  const [model, rows] = [join(folder, "net.onnx"), join(folder, "rows.mjs")];
  await save(parseModel(outliers), model);
  writeFileSync(rows, "export default [];\n");
  const store = await openSharedStore(join(folder, "store"));
  const work = { kind: "combination", input: { model, resumeFolder: "", data: dataAt(rows), seed: 0 } };
  const shared = await shareInput(store, await open(model), work);
  expect(shared.data.path).toMatch(/^modules\/[0-9a-f]{64}\/rows\.mjs$/);
  expect(readdirSync(store.folder, { recursive: true }).filter((name) => String(name).includes("rows"))).toEqual([]);
  const queued: Work = { ...work, name: "prune", input: shared };
  const received = await receivedInput(store, queued, await foundAmong([rows]));
  expect(received).toMatchObject({ model: join(store.folder, shared.model), data: { path: rows } });
  await expect(receivedInput(store, queued, await foundAmong([]))).rejects.toMatchObject({ code: "E_OPTION" });
});
