/** Tests the demo on few digits: its output, and whether that matches the files. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { variants } from "../../examples/demo/variants.ts";
import { temporaryFolder } from "../temporary.ts";
import { accuracyOf, patience, type Sample, start, writeDigits } from "./start.ts";

describe("npm run demo", () => {
  let folder = "";
  let printed = "";
  let digits: Sample;
  const out = (name: string): string => join(folder, "out", "demo", name);
  const fileOf = (variant: string): string => out(`${variant.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.onnx`);
  /** Returns the cells of a row of the table. */
  const cells = (name: string): readonly string[] =>
    printed
      .split("\n")
      .find((line) => line.startsWith(`${name}  `))
      ?.split(/ {2,}/) ?? [];

  beforeAll(async () => {
    folder = temporaryFolder();
    digits = await writeDigits(folder, { train: 2000, test: 500 });
    printed = await start(folder, "demo.ts");
  }, patience);

  test("prints lines without control characters in a pipe, and the number of samples", () => {
    expect(printed).not.toContain("\r");
    expect(printed).not.toContain("\u001b");
    expect(printed).toContain("1,500 training, 500 calibration, 500 test samples");
  });

  test.each(variants.map(({ name }) => name))("prints the bytes and accuracy of the file: %s", async (name) => {
    const [, bytes = "", brotli = "", accuracy = "", change = ""] = cells(name);
    expect(bytes).toBe((await stat(fileOf(name))).size.toLocaleString("en-US"));
    expect(Number.parseInt(brotli.replaceAll(",", ""), 10)).toBeGreaterThan(1000);
    const measured = 100 * (await accuracyOf(fileOf(name), digits, [1, 28, 28]));
    expect(Number.parseFloat(accuracy)).toBeCloseTo(measured, 1);
    const baseline = 100 * (await accuracyOf(out("original.onnx"), digits, [1, 28, 28]));
    expect(Number.parseFloat(change.replace("−", "-"))).toBeCloseTo(measured - baseline, 1);
  });

  test("ends with the result of the search, its drop, and the next command", async () => {
    const [, kept = "", bytes = ""] = /^kept {5}(.*): ([\d,]+) bytes, [\d.]+ × smaller$/m.exec(printed) ?? [];
    expect(Number(bytes.replaceAll(",", ""))).toBeLessThan((await stat(fileOf("8-bit weights"))).size);
    expect(printed).toMatch(
      /^change {3}\S+ \(\S+ … \S+\) points of accuracy, on 250 digits that the search did not use$/m,
    );
    expect((await stat(out("searched.onnx"))).size).toBe(Number(bytes.replaceAll(",", "")));
    expect(await readFile(out("report.html"), "utf8")).toContain(kept);
    expect(await readdir(out(""))).toHaveLength(variants.length + 3);
    expect(printed).toMatch(/\nnext {5}npx --no-install pith compress model\.onnx --data samples\/ -o out\/\n$/);
  });
});
