/** Tests jobs in separate processes that run before the command needs their results. */
import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { createProcessPool } from "../../../src/app/cli/jobs/parts/job-pool.ts";
import type { JobRequest, RecipeInput } from "../../../src/app/cli/queue/job-inputs.ts";
import { temporaryFolder } from "../../temporary.ts";
import { dataAt } from "./data-request.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();

const poolOf = (model: string, resumeFolder: string) =>
  createProcessPool(
    1,
    0,
    (name): JobRequest<RecipeInput> => ({
      kind: "recipe",
      name,
      input: {
        model,
        resumeFolder,
        data: dataAt(at("points.csv")),
        seed: 0,
        metric: "accuracy",
        output: undefined,
        targets: ["node"],
        goal: { strict: false },
        force: true,
        search: {},
        recipe: "steps:\n  - prune: { amount: 40% }\n",
      },
    }),
  );

test("jobs of a pool leave their results in the folder", async () => {
  const folder = temporaryFolder();
  const pool = poolOf(at("hidden.onnx"), folder);
  await pool.runRound(["one"], [], new AbortController());
  await pool.close();
  expect(readdirSync(folder)).toContainEqual(expect.stringMatching(/^[0-9a-f]{64}\.json$/));
});

test("jobs that stop or fail do not fail the command", async () => {
  const stop = new AbortController();
  const stopped = poolOf(at("hidden.onnx"), temporaryFolder());
  const round = stopped.runRound(["one"], [], stop);
  stop.abort();
  await round;
  await expect(stopped.close()).resolves.toBeUndefined();
  const failed = poolOf(at("missing.onnx"), temporaryFolder());
  await expect(failed.runRound(["one"], [], new AbortController())).resolves.toBeUndefined();
});
