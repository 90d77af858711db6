/** Tests the demo on all of MNIST: the values that the documentation states. */
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

  test("trains 784-128-10 to 97.8 % in at most 10 epochs", () => {
    const [, epochs, figure] = /trained {2}784-128-10, (\d+) epochs, ([\d.]+) %/.exec(printed) ?? [];
    expect(Number(epochs)).toBeLessThanOrEqual(10);
    expect(Number(figure)).toBeGreaterThanOrEqual(97.8);
  });

  test("prunes half of fc1 without a noticeable drop, with nearly half of the compressed bytes", () => {
    expect(row("half of fc1 pruned, fine-tuned").change).toBeGreaterThan(-0.25);
    expect(row("half of fc1 pruned").brotli).toBeLessThan(0.6 * row("original, 784-128-10").brotli);
  });

  test("loses about a point with 90 % of all weights pruned", () => {
    expect(row("90 % of all weights pruned, fine-tuned").change).toBeGreaterThan(-1.6);
  });

  test.each(["8-bit weights", "8-bit, dynamic", "8-bit, static"])(
    "has a quarter of the bytes without a drop: %s",
    (name) => {
      expect(row(name).bytes).toBeLessThan(107_000);
      expect(Math.abs(row(name).change)).toBeLessThan(0.2);
    },
  );

  test.each([
    ["half of fc1's neurons cut, fine-tuned", 0.51, -0.5],
    ["student 784-64-10, alone", 0.51, -1],
    ["student 784-64-10, distilled", 0.51, -1],
    ["fc1 of rank 32, fine-tuned", 0.31, -0.5],
  ])("%s: at most a share of %d of the bytes, and at least %d points", (name, share, change) => {
    expect(row(name).bytes).toBeLessThan(share * row("original, 784-128-10").bytes);
    expect(row(name).change).toBeGreaterThan(change);
  });

  test("finds a file below a tenth of the bytes with a drop below a point", () => {
    const [, smaller] = /^kept .* ([\d.]+) × smaller$/m.exec(printed) ?? [];
    expect(Number(smaller)).toBeGreaterThan(10);
    const [, change = ""] = /^change {3}(\S+) /m.exec(printed) ?? [];
    expect(Number(change.replace("−", "-"))).toBeGreaterThan(-1);
  });
});
