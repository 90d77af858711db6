import { expect, test } from "vitest";
import { backendTests } from "./archive.ts";
import { judge } from "./unsaved.ts";

test("inference of any model of ONNX's backend tests is not saved", async () => {
  const changed: string[] = [];
  for (const { name, bytes } of backendTests() ?? []) {
    await judge(bytes).catch((error: unknown) => changed.push(`${name}: ${error}`));
  }
  expect(changed).toEqual([]);
});
