/** Stops a search at random moments: its folder is valid, and the same command completes with the result of an uninterrupted run. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { outliers } from "../../outliers.ts";
import { program } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();
const moments = 20;
const written = ["model.onnx", "recipe.yaml"];

/** Runs the command, and sends a signal after `stop.after` milliseconds. @returns how and when it ended. */
async function search(out: string, stop?: { readonly signal: NodeJS.Signals; readonly after: number }) {
  const words = ["compress", at("outliers.onnx"), "--data", at("points.csv"), "--steps", "8", "--for", "size"];
  const begun = performance.now();
  const child = spawn(process.execPath, [program, ...words, "--max-drop", "2%", "-o", out], { stdio: "ignore" });
  const timer = stop && setTimeout(() => child.kill(stop.signal), stop.after);
  const end = await new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.on("close", (code, signal) => resolve(signal ?? code)),
  );
  clearTimeout(timer);
  return { end, milliseconds: performance.now() - begun };
}

const contents = (out: string) => written.map((name) => readFileSync(join(out, name)));

let uninterruptedRun: { readonly files: readonly Buffer[]; readonly milliseconds: number };
beforeAll(async () => {
  await save(parseModel(outliers), at("outliers.onnx"));
  const { end, milliseconds } = await search(at("whole"));
  expect(end).toBe(0);
  uninterruptedRun = { files: contents(at("whole")), milliseconds };
});

const { uniform, integer } = random(Number(process.env.PITH_SEED ?? 1), "stops");
const signals = ["SIGINT", "SIGKILL", "SIGTERM"] as const;

test.each(
  Array.from(
    { length: moments },
    (_, moment) => [moment, signals[integer(signals.length)] ?? "SIGINT", uniform()] as const,
  ),
)("completes with the same result after stop %d, by %s at a share of %f", async (moment, signal, share) => {
  const out = at(`stopped-${moment}`);
  await search(out, { signal, after: share * uninterruptedRun.milliseconds });
  const model = join(out, "model.onnx");
  if (existsSync(model)) {
    expect([...(await open(model)).graph.nodes()].length).toBeGreaterThan(0);
    expect(JSON.parse(readFileSync(join(out, "run.json"), "utf8"))).toMatchObject({ format: 1 });
  }
  expect((await search(out)).end).toBe(0);
  expect(contents(out)).toEqual(uninterruptedRun.files);
  // A killed process leaves temporary files, which the next run removes.
  expect(readdirSync(out).toSorted()).toEqual(readdirSync(at("whole")).toSorted());
});
