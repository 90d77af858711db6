import { expect, test } from "vitest";
import { backendTests } from "./archive.ts";
import { judge } from "./unsaved.ts";

test("saves no inferred types of any model of ONNX's backend tests", async () => {
  const changed: string[] = [];
  for (const { name, bytes } of backendTests() ?? []) {
    await judge(bytes).catch((error: unknown) => changed.push(`${name}: ${error}`));
  }
  expect(changed).toEqual([]);
});
