/** The demo on all of MNIST, where that is at hand: the figures that the documentation speaks of. */
import { dirname } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { shared } from "../shared.ts";
import { temporaryFolder } from "../temporary.ts";
import { patience, start } from "./start.ts";

const data = shared("data/mnist");

describe.skipIf(data === undefined)("npm run demo on MNIST", () => {
  let folder = "";
  let printed = "";
  const row = (name: string): { bytes: number; brotli: number; accuracy: number; change: number } => {
    const line = printed.split("\n").find((one) => one.startsWith(`${name}  `)) ?? "";
    const [, ...cells] = line
      .split(/ {2,}/)
      .map((cell) => Number.parseFloat(cell.replaceAll(",", "").replace("−", "-")));
    const [bytes = Number.NaN, brotli = Number.NaN, accuracy = Number.NaN, change = Number.NaN] = cells;
    return { bytes, brotli, accuracy, change };
  };

  beforeAll(async () => {
    folder = temporaryFolder();
    printed = await start(folder, "demo.ts", dirname(dirname(data ?? "")));
  }, 2 * patience);

  test("784-128-10 reaches 97.8 % in at most 10 epochs", () => {
    const [, epochs, figure] = /trained {2}784-128-10, (\d+) epochs, ([\d.]+) %/.exec(printed) ?? [];
    expect(Number(epochs)).toBeLessThanOrEqual(10);
    expect(Number(figure)).toBeGreaterThanOrEqual(97.8);
  });

  test("half of fc1 goes without a loss worth naming, and nearly half of the compressed bytes with it", () => {
    expect(row("half of fc1 pruned, fine-tuned").change).toBeGreaterThan(-0.25);
    expect(row("half of fc1 pruned").brotli).toBeLessThan(0.6 * row("original, 784-128-10").brotli);
  });

  test("90 % of all weights cost about a point", () => {
    expect(row("90 % of all weights pruned, fine-tuned").change).toBeGreaterThan(-1.6);
  });

  test.each(["8-bit weights", "8-bit, dynamic", "8-bit, static"])("a quarter of the bytes, no loss: %s", (name) => {
    expect(row(name).bytes).toBeLessThan(107_000);
    expect(Math.abs(row(name).change)).toBeLessThan(0.2);
  });

  test.each([
    ["half of fc1's neurons cut, fine-tuned", 0.51, -0.5],
    ["student 784-64-10, alone", 0.51, -1],
    ["student 784-64-10, distilled", 0.51, -1],
    ["fc1 of rank 32, fine-tuned", 0.31, -0.5],
  ])("%s: bytes to a share of %d, at most %d points", (name, share, change) => {
    expect(row(name).bytes).toBeLessThan(share * row("original, 784-128-10").bytes);
    expect(row(name).change).toBeGreaterThan(change);
  });

  test("the search keeps a file of less than a tenth of the bytes that loses at most a point", () => {
    const [, smaller] = /^kept .* ([\d.]+) × smaller$/m.exec(printed) ?? [];
    expect(Number(smaller)).toBeGreaterThan(10);
    const [, change = ""] = /^costs {4}(\S+) /m.exec(printed) ?? [];
    expect(Number(change.replace("−", "-"))).toBeGreaterThan(-1);
  });
});
