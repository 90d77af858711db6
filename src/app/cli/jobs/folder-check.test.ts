import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { save } from "#ir";
import { temporaryFolder } from "../../../../test/temporary.ts";
import { parseModel } from "../../../core/graph/text.ts";
import folderCheckJob from "./folder-check.ts";

test("a template that only chat_template.jinja contains gets a warning, because transformers.js does not read it", async () => {
  const folder = temporaryFolder();
  await mkdir(join(folder, "onnx"));
  await save(parseModel("graph (x: float32[2]) -> (y: float32[2]) { y = Relu(x) }"), join(folder, "onnx/model.onnx"));
  await writeFile(join(folder, "chat_template.jinja"), "{{ messages[0].content }}");
  const warnings = async (): Promise<readonly string[]> => {
    const log = vi.fn();
    const input = { folder, bases: ["model"], data: undefined, isText: false, targets: [], seed: 0 };
    const { signal } = new AbortController();
    await folderCheckJob(input, { signal, temporary: folder, stage() {}, progress() {}, writes() {}, log });
    return log.mock.calls.map(([{ id }]) => id);
  };
  expect(await warnings()).toEqual(["template"]);
  await writeFile(join(folder, "tokenizer_config.json"), '{ "chat_template": "{{ messages[0].content }}" }');
  expect(await warnings()).toEqual([]);
});
