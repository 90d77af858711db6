/** Law: a model that was only looked at is saved as it was, byte for byte, whatever inference found. */
import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { infer } from "../../src/analysis/infer.ts";
import { structureHash } from "../../src/graph/hash.ts";
import { encodeToBytes, open } from "../../src/onnx/index.ts";
import { shared } from "../shared.ts";
import { backendTests } from "./archive.ts";

const files = ["data/zoo", "data/models"].flatMap((name) => {
  const folder = shared(name);
  if (folder === undefined) return [];
  return readdirSync(folder).flatMap((file) => (file.endsWith(".onnx") ? [`${folder}/${file}`] : []));
});

async function judge(source: string | Uint8Array): Promise<void> {
  const before = await encodeToBytes(await open(source));
  const model = await open(source);
  const hash = structureHash(model);
  infer(model);
  expect(structureHash(model)).toBe(hash);
  expect(Buffer.compare(await encodeToBytes(model.clone()), before)).toBe(0);
}

describe.skipIf(files.length === 0)("inference is not saved", () => {
  test.each(files.map((file) => [file.replace(/^.*\//, ""), file]))("of %s", (_, file) => judge(file));

  test("of any model of ONNX's backend tests", async () => {
    const changed: string[] = [];
    for (const { name, bytes } of backendTests() ?? []) {
      await judge(bytes).catch((error: unknown) => changed.push(`${name}: ${error}`));
    }
    expect(changed).toEqual([]);
  });
});
