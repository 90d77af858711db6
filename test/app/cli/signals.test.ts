/** Sends Ctrl-C and SIGTERM to the real program while its job computes without yielding. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../temporary.ts";
import { program } from "./run.ts";
import { smallModels } from "./small-models.ts";
import { expectNothingLeft, neverYielding, runUntilMark } from "./stopped.ts";

const { at } = smallModels();

describe("a command whose job never yields", () => {
  const busy = neverYielding();

  test("leaves a temporary folder after SIGKILL, which the next command removes", async () => {
    const base = temporaryFolder();
    const [mark, temporary] = [join(base, "busy"), join(base, "temporary")];
    mkdirSync(temporary);
    const place = { TMPDIR: temporary, NODE_DISABLE_COMPILE_CACHE: "1" };
    const env = { ...place, NODE_OPTIONS: `--import ${busy}`, BUSY_MARK: mark };
    await runUntilMark(mark, "SIGKILL", ["inspect", "--weights", at("right.onnx")], env);
    process.kill(Number(readFileSync(mark, "utf8")), "SIGKILL");
    expect(readdirSync(temporary)).toEqual([expect.stringMatching(/^pith-/)]);
    await promisify(execFile)(process.execPath, [program, "inspect", "--weights", at("right.onnx")], {
      env: { ...process.env, ...place },
    });
    expect(readdirSync(temporary)).toEqual([]);
  });

  test("ends on SIGTERM with 143 and leaves no files", async () => {
    await expectNothingLeft("SIGTERM", 143, ["quantize", "--scheme", "weights", "-o", "small.onnx"], { busy, at });
  });
});

test("a stopped training keeps its weights in --checkpoint, and prints how to resume", async () => {
  const rows = `
    export const train = async function* () {
      for (let step = 0; ; step++) {
        await new Promise((resolve) => setTimeout(resolve, 5));
        if (step === 10) (await import("node:fs")).writeFileSync(process.env.BUSY_MARK, "");
        yield { features: [[1, 2], [2, 1]], label: [1, 0] };
      }
    };
    export function* test() { yield { features: [[1, 2], [2, 1]], label: [1, 0] }; }`;
  writeFileSync(at("endless.mjs"), rows);
  const mark = join(temporaryFolder(), "begun");
  const words = ["train", at("hidden.onnx"), "--data", at("endless.mjs"), "--batch", "2", "--epochs", "1"];
  const kept = [...words, "--checkpoint", at("run"), "-o", at("trained.onnx")];
  const { code, err } = await runUntilMark(mark, "SIGINT", kept, { BUSY_MARK: mark });
  expect(code).toBe(130);
  const [sentence, hint] = err.trimEnd().split("\n").slice(-2);
  expect(sentence).toMatch(/^E_STOPPED: Stopped after \d+ steps; the weights are in "\S+last\.onnx"\.$/);
  expect(hint).toBe("hint: Run the same training with --resume to continue.");
  expect(existsSync(at("run/last.onnx"))).toBe(true);
  expect(existsSync(at("trained.onnx"))).toBe(false);
});
