/** Measures how many weights are in removable channels: at least 95 % in real models, except for the causes listed here. */
import { basename } from "node:path";
import { describe, expect, test } from "vitest";
import { causes, coverageOf, freed, modelFiles } from "./coverage.ts";

const files = [...modelFiles("data/zoo"), ...modelFiles("data/models")];

describe.skipIf(files.length === 0)("weights in removable channels", () => {
  test.each(files.map((path) => [basename(path, ".onnx"), path] as const))(
    "cover 95 % of the model, or the cause is known: %s",
    async (name, path) => {
      const { weights, covered, rest } = coverageOf(await freed(path), { throughNorms: true });
      const cause = causes[name];
      if (cause === undefined) expect(covered / weights).toBeGreaterThanOrEqual(0.95);
      else {
        expect(covered / weights).toBeLessThan(0.95);
        const reasons = rest.flatMap(({ rows, columns }) => [...rows, ...columns]);
        expect(reasons.some((reason) => reason.startsWith(cause))).toBe(true);
      }
    },
  );
});
