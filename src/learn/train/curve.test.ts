import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import type { Model } from "../../core/graph/model.ts";
import { parseModel } from "../../core/graph/text.ts";
import { fromNumbers } from "../../core/tensor/convert.ts";
import { float32 } from "../../core/tensor/dense.ts";
import { random } from "../../core/tensor/random.ts";
import { memory } from "../../data/index.ts";
import { accuracy } from "../../runtime/metrics/class-metrics.ts";
import { train } from "./train.ts";
import { addLoss, startCurve } from "./training-state.ts";

const numbers = random(1, "samples");
const x = Array.from({ length: 120 }, () => numbers.normal());
const data = memory("samples", {
  x: float32([40, 3], x),
  label: fromNumbers(
    "int64",
    [40],
    Array.from({ length: 40 }, (_, index) => index % 2),
  ),
});
const net = (): Model =>
  parseModel(`opset 18
graph (x: float32[batch, 3]) -> (logits) {
  w: float32[3, 2] = random(seed 1)
  logits = MatMul(x, w)
}`);

/** Settings for two epochs of four steps, with an evaluation every three steps. */
const settings = { data, batch: 10, epochs: 2, validation: data, every: 3, metric: accuracy() } as const;
const inFolder = (): { readonly log: string; readonly checkpoint: string } => {
  const folder = temporaryFolder();
  return { log: join(folder, "run.csv"), checkpoint: join(folder, "kept") };
};
const rowsOf = (path: string): string[][] =>
  readFileSync(path, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => line.split(","));

describe("the CSV log", () => {
  test("has a row per step with its loss, rate and evaluation", async () => {
    const { log } = inFolder();
    const { history, curve } = await train(net(), { ...settings, log });
    const [header, ...rows] = rowsOf(log);
    expect(header).toEqual(["step", "epoch", "loss", "learning_rate", "validation_accuracy"]);
    expect(rows.map(([step, epoch]) => `${step} ${epoch}`)).toEqual([
      "0 1",
      "1 1",
      "2 1",
      "3 1",
      "4 1",
      "5 2",
      "6 2",
      "7 2",
      "8 2",
    ]);
    const evaluated = history.flatMap(({ evaluations }) => evaluations);
    expect(evaluated.map(({ step }) => step)).toEqual([0, 3, 6, 8]);
    for (const [step, , loss, rate, figure] of rows) {
      const evaluation = evaluated.find((candidate) => candidate.step === Number(step));
      expect(figure).toBe(evaluation === undefined ? "" : String(evaluation.figure));
      expect([loss === "", rate === ""]).toEqual([step === "0", step === "0"]);
    }
    // An epoch's loss is the mean of its steps, and the rate decays along a cosine.
    const losses = rows.slice(1).map(([, , loss]) => Number(loss));
    expect(losses.slice(0, 4).reduce((sum, loss) => sum + loss / 4, 0)).toBeCloseTo(history[0]?.loss ?? 0, 6);
    expect(curve).toMatchObject({ first: 0, every: 1, losses });
    const rates = rows.slice(1).map(([, , , rate]) => Number(rate));
    expect(rates).toEqual(rates.toSorted((a, b) => b - a));
    expect(rates[0]).toBe(0.001);
  });

  test("has the mean loss of accumulated batches, and no validation column without validation", async () => {
    const { log } = inFolder();
    const { history } = await train(net(), { data, batch: 10, epochs: 1, accumulate: 2, log });
    const [header, ...rows] = rowsOf(log);
    expect(header).toEqual(["step", "epoch", "loss", "learning_rate"]);
    expect(rows.map(([step]) => step)).toEqual(["1", "2"]);
    const mean = rows.reduce((sum, [, , loss]) => sum + Number(loss) / 2, 0);
    expect(mean).toBeCloseTo(history[0]?.loss ?? 0, 6);
  });

  test("is equal for a resumed and an uninterrupted training", async () => {
    const uninterrupted = inFolder();
    const expected = await train(net(), { ...settings, ...uninterrupted });
    for (const lastStep of [1, 3, 4, 6, 7]) {
      const broken = inFolder();
      const stop = new AbortController();
      const progress = (done: number): void => {
        if (done === lastStep) stop.abort();
      };
      const first = train(net(), { ...settings, ...broken }, { signal: stop.signal, progress });
      await expect(first).rejects.toMatchObject({ code: "E_STOPPED" });
      expect(rowsOf(broken.log).at(-1)?.[0]).toBe(String(lastStep));
      // Appends lines as from a process that was killed after it wrote the checkpoint.
      appendFileSync(broken.log, `${lastStep + 1},1,0.5,0.001,\n${lastStep + 2},1,0.`);
      const { curve } = await train(net(), { ...settings, ...broken, resume: true });
      expect(readFileSync(broken.log, "utf8"), `stopped after ${lastStep}`).toBe(
        readFileSync(uninterrupted.log, "utf8"),
      );
      expect(curve).toEqual(expected.curve);
    }
  });

  test("starts from scratch for a new training, and other files are not overwritten", async () => {
    const { log } = inFolder();
    await train(net(), { ...settings, log });
    const before = readFileSync(log, "utf8");
    await train(net(), { ...settings, log });
    expect(readFileSync(log, "utf8")).toBe(before);
    writeFileSync(log, "my,own,table\n1,2,3\n");
    await expect(train(net(), { ...settings, log })).rejects.toMatchObject({ code: "E_FILE" });
    expect(readFileSync(log, "utf8")).toBe("my,own,table\n1,2,3\n");
  });

  test("is not written by a dry run", async () => {
    const { log } = inFolder();
    await train(net(), { ...settings, log }, { dryRun: true });
    expect(existsSync(log)).toBe(false);
  });
});

test("the curve stores means over growing intervals", () => {
  const curve = startCurve();
  for (let step = 0; step < 1000; step++) addLoss(curve, step);
  expect(curve.every).toBe(8);
  expect(curve.losses).toHaveLength(125);
  expect(curve.losses.slice(0, 2)).toEqual([3.5, 11.5]);
  expect(curve.losses.at(-1)).toBe(995.5);
});
