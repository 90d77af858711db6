/** A model that was only looked at is saved as it was. */
import { expect } from "vitest";
import { infer } from "../../src/core/analysis/infer.ts";
import { structureHash } from "../../src/core/graph/structure-hash.ts";
import { encodeToBytes } from "../../src/core/onnx/encode.ts";
import { open } from "../../src/core/onnx/index.ts";

export async function judge(source: string | Uint8Array): Promise<void> {
  const before = await encodeToBytes(await open(source));
  const model = await open(source);
  const hash = structureHash(model);
  infer(model);
  expect(structureHash(model)).toBe(hash);
  expect(Buffer.compare(await encodeToBytes(model.clone()), before)).toBe(0);
}
