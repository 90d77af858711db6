/** Kills a process while it saves, for the quick and the slow test. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { open, save } from "../../../src/core/onnx/index.ts";
import { temporaryOf } from "../../../src/core/platform/node-leftovers.ts";
import { temporaryFolder } from "../../temporary.ts";

const script = fileURLToPath(new URL("save-forever.ts", import.meta.url));

/** Starts a saving process, kills it after the given milliseconds, and returns the faults of the files that remain. */
export async function killWhileSaving(where: "inside" | "outside", milliseconds: readonly number[]): Promise<string[]> {
  const folder = temporaryFolder();
  const path = join(folder, "model.onnx");
  const faults: string[] = [];
  for (const after of milliseconds) {
    const child = spawn(process.execPath, ["--conditions=pith-source", "--import", "tsx", script, path, where], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exit = once(child, "exit");
    await Promise.race([once(child.stdout, "data"), exit]);
    await new Promise((wake) => setTimeout(wake, after));
    child.kill("SIGKILL");
    const [code, signal] = await exit;
    if (signal !== "SIGKILL") faults.push(`the process ended by itself, with ${code}`);
    const fault = await faultOf(path);
    if (fault !== undefined) faults.push(`killed after ${after} ms: ${fault}`);
    for (const name of await readdir(folder)) {
      const isExpected = name === "model.onnx" || name.startsWith("model.onnx_data") || temporaryOf(name) !== undefined;
      if (!isExpected) faults.push(`"${name}" was left behind`);
    }
    await save(await open(path), path, { externalData: where === "outside" });
    const expected = where === "inside" ? ["model.onnx"] : ["model.onnx", "model.onnx_data"];
    const remaining = (await readdir(folder)).sort();
    if (remaining.join() !== expected.join()) faults.push(`the next save leaves ${remaining.join(", ")}`);
  }
  return faults;
}

/** Returns the fault of the file unless it is one of the two complete models. */
async function faultOf(path: string): Promise<string | undefined> {
  const model = await open(path);
  for (const fill of [1, 2]) {
    if (model.header.doc !== `filled with ${fill}`) continue;
    for (const name of ["one", "two", "three"]) {
      const dense = await model.graph.value(name)?.tensor?.read();
      if (dense?.type !== "float32" || dense.data.length !== 500_000) return `"${name}" is not there`;
      if (dense.data.some((value) => value !== fill)) return `"${name}" is of the other model`;
    }
    return undefined;
  }
  return `it says "${model.header.doc}"`;
}
