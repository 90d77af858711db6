/** What a command leaves in the store of a queue for workers. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { dataRequest } from "../../src/cli/data.ts";
import { openSharedStore, shareInput } from "../../src/cli/queue/shared-store.ts";
import { parseModel } from "../../src/graph/text.ts";
import { open, save } from "../../src/onnx/index.ts";
import { outliers } from "../outliers.ts";
import { temporaryFolder } from "../temporary.ts";

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
  const data = dataRequest({ data: join(folder, "points.csv") });
  if (data === undefined) throw new Error("There is data.");
  const input = { model, resumeFolder: "", data, seed: 0 };
  const shared = await shareInput(store, await open(model), { kind: "combination", input });
  const [place = ""] = /^inputs\/[0-9a-f]{64}(?=\/model\.onnx$)/.exec(shared.model) ?? [];
  expect(readdirSync(join(store.folder, place)).toSorted()).toEqual(["config.json", "model.onnx", "tokenizer.json"]);
});
