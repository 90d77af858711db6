/** Kills `pith train --checkpoint` at any moment: the resumed training gives the result of an uninterrupted one. */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { program } from "./run.ts";
import { hidden, smallModels } from "./small-models.ts";

const { at } = smallModels();

// The network is untrained, because nothing is written if no weights are better than the initial ones.
const empty = hidden.replace("[[1, 0, 1, 0], [0, 1, 0, 1]]", "zeros");
beforeAll(() => save(parseModel(empty), at("empty.onnx")));

const settings = ["--epochs", "300", "--batch", "16", "--learning-rate", "0.01", "--clip", "1"];
const train = ["train", at("empty.onnx"), "--data", at("points.csv"), "--validation", "10%", "--every", "7"];
const ways: Readonly<Record<string, readonly string[]>> = { plain: [] };

interface Ended {
  /** Whether it was killed before it completed. */
  readonly killed: boolean;
  readonly err: string;
}

/** Runs the program in a separate process group, which is killed `delay` milliseconds after training began. */
async function run(line: readonly string[], delay?: number): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...line], { detached: true, stdio: ["ignore", "ignore", "pipe"] });
  let [err, timer]: [string, NodeJS.Timeout | undefined] = ["", undefined];
  child.stderr.on("data", (text) => {
    err += text;
    if (delay === undefined || timer !== undefined || !/epoch \d+\/|continued after/.test(err)) return;
    timer = setTimeout(() => {
      // The whole group, because the job runs in a separate process.
      if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, "SIGKILL");
    }, delay);
  });
  const signal = await new Promise<string | null>((resolve) => child.on("close", (_, by) => resolve(by)));
  clearTimeout(timer);
  return { killed: signal === "SIGKILL", err };
}

async function weights(path: string): Promise<Readonly<Record<string, unknown>>> {
  const tensors: Record<string, unknown> = {};
  for (const value of (await open(path)).graph.values())
    if (value.tensor !== undefined) tensors[value.name] = (await value.tensor.read()).data;
  return tensors;
}

describe("a killed training", () => {
  test.each([
    ["plain", 1],
    ["plain", 2],
    ["pruned", 1],
  ])("gives the same bits after several kills and resumes (%s, seed %i)", async (way, seed) => {
    const [reference, out] = [at(`whole.${way}${seed}.onnx`), at(`continued.${way}${seed}.onnx`)];
    const words = (out: string, folder: string): readonly string[] => [
      ...[...train, ...settings, ...(ways[way] ?? [])],
      ...["-o", out, "--checkpoint", folder, "--resume"],
    ];
    const { err } = await run(words(reference, at(`whole.${way}${seed}`)));
    expect(existsSync(reference), err).toBe(true);
    const masked = Object.keys(await weights(reference)).filter((name) => name.endsWith("_mask"));
    expect(masked).toHaveLength(way === "plain" ? 0 : 2);

    const numbers = random(seed, "kill");
    const folder = at(`continued.${way}${seed}`);
    let kills = 0;
    for (let round = 0; round < 5; round++) {
      const { killed, err } = await run(words(out, folder), numbers.integer(400));
      if (!killed) break;
      kills++;
      expect(err).not.toMatch(/E_|internal/);
      expect(existsSync(out)).toBe(false);
      // The checkpoint is valid, whatever was being written.
      await open(`${folder}/last.onnx`);
    }
    expect(kills).toBeGreaterThan(1);
    if (!existsSync(out)) await run(words(out, folder));
    expect(await weights(out)).toEqual(await weights(reference));
    expect(readFileSync(out)).toEqual(readFileSync(reference));
    expect(readdirSync(folder)).toContain("last.onnx");
  });
});
