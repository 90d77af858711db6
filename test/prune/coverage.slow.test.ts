/** How much of a network whole channels can be cut from: at least 95 % of the weights of real models, or the cause is one of those named here. */
import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import { causes, coverageOf, freed, modelFiles } from "./coverage.ts";

const files = [...modelFiles("data/zoo"), ...modelFiles("data/models")];

describe.skipIf(files.length === 0)("weights in rows or columns that can go", () => {
  test.each(files.map((path) => [basename(path, ".onnx"), path] as const))("%s", async (name, path) => {
    const { weights, covered, rest } = coverageOf(await freed(path), { throughNorms: true });
    const cause = causes[name];
    if (cause === undefined) expect(covered / weights).toBeGreaterThanOrEqual(0.95);
    else {
      expect(covered / weights).toBeLessThan(0.95);
      const reasons = rest.flatMap(({ rows, columns }) => [...rows, ...columns]);
      expect(reasons.some((reason) => reason.startsWith(cause))).toBe(true);
    }
  });
});
