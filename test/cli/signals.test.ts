/** Ctrl-C and SIGTERM, sent to the real program while the process of its job computes and takes no message. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../temporary.ts";
import { program } from "./run.ts";
import { smallModels } from "./small-models.ts";

const { at } = smallModels();

interface Ended {
  readonly code: number | null;
  readonly err: string;
}

/** Runs the program, and sends it a signal as soon as a file is there. */
async function stoppedAt(
  mark: string,
  signal: NodeJS.Signals,
  words: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  const child: ChildProcess = spawn(process.execPath, [program, ...words], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let err = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  const watch = setInterval(() => {
    if (!existsSync(mark)) return;
    clearInterval(watch);
    child.kill(signal);
  }, 5);
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  clearInterval(watch);
  return { code, err };
}

describe("a command whose job never yields", () => {
  const busy = join(temporaryFolder(), "busy.mjs");
  // Runs in each process that Node starts; only that of a job has a channel. The first message is the job's order.
  const text = `
    import { writeFileSync } from "node:fs";
    if (process.send)
      process.on("message", () => {
        writeFileSync(process.env.BUSY_MARK, String(process.pid));
        for (;;);
      });`;
  beforeAll(() => writeFileSync(busy, text));

  test("killed without a chance to clean up leaves a folder, which the next command removes", async () => {
    const base = temporaryFolder();
    const [mark, temporary] = [join(base, "busy"), join(base, "temporary")];
    mkdirSync(temporary);
    const place = { TMPDIR: temporary, NODE_DISABLE_COMPILE_CACHE: "1" };
    const env = { ...place, NODE_OPTIONS: `--import ${pathToFileURL(busy).href}`, BUSY_MARK: mark };
    await stoppedAt(mark, "SIGKILL", ["inspect", at("right.onnx")], env);
    process.kill(Number(readFileSync(mark, "utf8")), "SIGKILL");
    expect(readdirSync(temporary)).toEqual([expect.stringMatching(/^pith-/)]);
    await promisify(execFile)(process.execPath, [program, "inspect", at("right.onnx")], {
      env: { ...process.env, ...place },
    });
    expect(readdirSync(temporary)).toEqual([]);
  });

  test.concurrent.each([
    ["SIGINT", 130, ["inspect"]],
    ["SIGTERM", 143, ["plot", "-o", "model.html"]],
    ["SIGTERM", 143, ["eval", "--data", "points.csv"]],
    ["SIGINT", 130, ["compress", "--data", "points.csv", "-o", "out"]],
    ["SIGTERM", 143, ["quantize", "--scheme", "weights", "-o", "small.onnx"]],
    ["SIGINT", 130, ["train", "--data", "points.csv", "-o", "trained.onnx"]],
  ] as const)("%s ends it with %d and leaves nothing: %j", async (signal, expected, [command, ...words]) => {
    const base = temporaryFolder();
    const [mark, temporary] = [join(base, "busy"), join(base, "temporary")];
    mkdirSync(temporary);
    for (const name of ["right.onnx", "points.csv"]) copyFileSync(at(name), join(base, name));
    const before = readdirSync(base);
    const options = ["--import", pathToFileURL(busy).href].join(" ");
    const env = { NODE_OPTIONS: options, BUSY_MARK: mark, TMPDIR: temporary, NODE_DISABLE_COMPILE_CACHE: "1" };
    const paths = words.map((word) => (/[.]|^out$/.test(word) ? join(base, word) : word));
    const { code, err } = await stoppedAt(mark, signal, [command, join(base, "right.onnx"), ...paths], env);
    expect({ code, err }).toEqual({ code: expected, err: expect.stringMatching(/^E_STOPPED: \w+ \S+ was stopped\./) });
    expect(readdirSync(temporary)).toEqual([]);
    expect(readdirSync(base).toSorted()).toEqual([...before, "busy"].toSorted());
  });
});

test("a training that is stopped keeps its weights where --checkpoint says, and says how it goes on", async () => {
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
  const { code, err } = await stoppedAt(mark, "SIGINT", kept, { BUSY_MARK: mark });
  expect(code).toBe(130);
  const [sentence, hint] = err.trimEnd().split("\n").slice(-2);
  expect(sentence).toMatch(/^E_STOPPED: Stopped after \d+ steps; the weights are in "\S+last\.onnx"\.$/);
  expect(hint).toBe("hint: The same again with --resume continues.");
  expect(existsSync(at("run/last.onnx"))).toBe(true);
  expect(existsSync(at("trained.onnx"))).toBe(false);
});
