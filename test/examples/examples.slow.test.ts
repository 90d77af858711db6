/** Runs the examples as a new user, and checks their values with ONNX Runtime alone. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { open } from "pith";
import { beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../temporary.ts";
import { accuracyOf, patience, type Sample, start, writeDigits } from "./start.ts";

const examples = fileURLToPath(new URL("../../examples/", import.meta.url));

let folder = "";
let digits: Sample;
const at = (name: string): string => join(folder, "out", name);

/** Expects that the accuracy printed for a file is that of the file, and above 85 %. */
async function expectFigure(printed: string, file: string): Promise<void> {
  const line = printed.split("\n").find((one) => one.startsWith(`out/${file}:`)) ?? "";
  const [, figure] = /accuracy ([\d.]+) % on 500 digits$/.exec(line) ?? [];
  const accuracy = await accuracyOf(at(file), digits);
  expect(Number(figure)).toBeCloseTo(100 * accuracy, 1);
  expect(accuracy).toBeGreaterThan(0.85);
}

const bytes = async (file: string): Promise<number> => (await stat(at(file))).size;
const zeros = async (file: string, name: string): Promise<number> => {
  const dense = await (await open(at(file))).graph.value(name)?.tensor?.read();
  return dense?.type === "float32" ? dense.data.filter((entry) => entry === 0).length : 0;
};

beforeAll(async () => {
  folder = temporaryFolder();
  digits = await writeDigits(folder, { train: 4000, test: 500 });
}, patience);

describe("examples", () => {
  test(
    "prune: sets half of the weights in the file to 0, and prints a hint for a wrong name",
    async () => {
      const printed = await start(folder, "prune.ts");
      await expectFigure(printed, "pruned.onnx");
      expect(printed).toContain('use "weight"');
      expect(printed).toContain("fc1: 50,176 of 100,352 pruned, 50,176 of 100,352 left");
      expect(printed).toMatch(/fc1\.weight_mask \[ 128, 784 \] Float32Array\(10\) \[\s*[01]/);
      expect(await zeros("pruned.onnx", "fc1.weight")).toBeGreaterThanOrEqual(50176);
      expect((await open(at("pruned.onnx"))).graph.value("fc1.weight_mask")).toBeUndefined();
    },
    patience,
  );

  test(
    "quantize: writes three formats in a quarter of the bytes with similar accuracy",
    async () => {
      const printed = await start(folder, "quantize.ts");
      await expectFigure(printed, "float.onnx");
      for (const file of ["weights.onnx", "dynamic.onnx", "static.onnx"]) {
        await expectFigure(printed, file);
        expect(await bytes(file)).toBeLessThan(0.3 * (await bytes("float.onnx")));
        expect(
          Math.abs((await accuracyOf(at(file), digits)) - (await accuracyOf(at("float.onnx"), digits))),
        ).toBeLessThan(0.02);
      }
    },
    patience,
  );

  test(
    "distill: writes teacher and student, and the loss of the student's training falls",
    async () => {
      const printed = await start(folder, "distill.ts");
      await expectFigure(printed, "teacher.onnx");
      await expectFigure(printed, "student.onnx");
      expect(await bytes("student.onnx")).toBeLessThan(0.52 * (await bytes("teacher.onnx")));
      const losses = [...printed.matchAll(/loss ([\d.]+)/g)].map(([, loss]) => Number(loss));
      expect(losses).toHaveLength(3);
      expect(losses).toEqual(losses.toSorted((a, b) => b - a));
    },
    patience,
  );

  test(
    "low-rank: replaces a layer of full rank by two of rank 32",
    async () => {
      const printed = await start(folder, "low-rank.ts");
      await expectFigure(printed, "low-rank.onnx");
      expect(printed).toContain("fc1.weight: rank 128 of 128 × 784");
      expect(printed).toContain("fc1.up · fc1.down: rank 32");
      const { graph } = await open(at("low-rank.onnx"));
      expect(graph.value("fc1.down.weight")?.tensor?.dims).toEqual([32, 784]);
      expect(graph.value("fc1.up.weight")?.tensor?.dims).toEqual([128, 32]);
    },
    patience,
  );

  test("are shorter than 60 lines and import Pith as users do", async () => {
    for (const name of ["prune.ts", "quantize.ts", "distill.ts", "low-rank.ts"]) {
      const text = await readFile(join(examples, name), "utf8");
      expect(text.split("\n").length, name).toBeLessThan(60);
      expect(text, name).not.toContain("../src");
    }
  });
});
