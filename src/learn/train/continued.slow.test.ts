/** Tests that trainings with other settings can be stopped and resumed. */

import { spawnSync } from "node:child_process";
import { readdirSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { joinPath } from "#platform";
import { expectContinued, type Settings, stopAfter, trained, validation } from "../../../test/learn/train/corners.ts";
import { temporaryFolder } from "../../../test/temporary.ts";
import { processSuffix } from "../../core/platform/node-leftovers.ts";
import { accuracy } from "../../runtime/metrics/class-metrics.ts";

const settings: readonly (readonly [string, Settings])[] = [
  ["with momentum in the graph", { optimizer: "sgd", learningRate: 0.1 }],
  ["with momentum and weight decay", { optimizer: "sgd", weightDecay: 0.01 }],
  ["with several batches a step", { optimizer: "adamw", accumulate: 2 }],
  ["with batches left over at the end of an epoch", { optimizer: "sgd", batch: 8, accumulate: 4 }],
  ["with evaluations in between", { optimizer: "adamw", validation, every: 4 }],
];

test.each(settings)("%s it ends with the same bits as an uninterrupted training", async (_, given) => {
  await expectContinued(given);
});

describe("checkpoints", () => {
  test("temporary files of a killed training are removed", async () => {
    const checkpoint = temporaryFolder();
    await expect(trained({ checkpoint, validation }, stopAfter(10))).rejects.toMatchObject({ code: "E_STOPPED" });
    const killed = processSuffix().replace(/-\d+/, `-${spawnSync(process.execPath, ["-e", ""]).pid}`);
    for (const file of ["last", "best"]) writeFileSync(joinPath(checkpoint, `.${file}.onnx.${killed}.tmp`), "half");
    await trained({ checkpoint, validation, resume: true });
    expect(readdirSync(checkpoint).sort()).toEqual(["best.onnx", "last.onnx"]);
  });
});

describe("a resumed training ends with the same bits as an uninterrupted one", () => {
  test("resumes evaluations by a metric", async () => {
    await expectContinued({ validation, metric: accuracy(), schedule: "linear" });
  });
});
