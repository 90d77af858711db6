/** Commands and programs that run models write only the files that docs/privacy.md names, and open no connection. */
import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { compiled, program } from "./app/cli/run.ts";
import { smallModels } from "./app/cli/small-models.ts";
import { temporaryFolder } from "./temporary.ts";

const { at } = smallModels();
const page = readFileSync(fileURLToPath(new URL("../docs/privacy.md", import.meta.url)), "utf8");
const runtime = pathToFileURL(createRequire(import.meta.url).resolve("onnxruntime-node")).href;

/** A module that writes the file "network" into the home folder if a process or thread opens a connection. */
const guard = join(temporaryFolder(), "guard.mjs");
writeFileSync(
  guard,
  `import { appendFileSync } from "node:fs";
   import { homedir } from "node:os";
   import { Socket } from "node:net";
   const { connect } = Socket.prototype;
   Socket.prototype.connect = function (...words) {
     appendFileSync(homedir() + "/network", JSON.stringify(words));
     return connect.apply(this, words);
   };`,
);

/** Runs Node without CI in the environment, because the runtime disables its telemetry in CI. */
async function written(words: readonly string[], more: Readonly<Record<string, string>> = {}): Promise<string[]> {
  const base = temporaryFolder();
  const [home, temporary] = [join(base, "home"), join(base, "temporary")];
  mkdirSync(home);
  mkdirSync(temporary);
  const folders = { HOME: home, USERPROFILE: home, TMPDIR: temporary, TEMP: temporary };
  const env = { PATH: process.env.PATH, NODE_OPTIONS: `--import ${pathToFileURL(guard).href}`, ...folders, ...more };
  await promisify(execFile)(process.execPath, [...words], { env });
  return [home, temporary].flatMap((folder) => readdirSync(folder)).filter((name) => !page.includes(`\`${name}\``));
}

const inProgram = (text: string): Promise<string[]> => {
  const file = join(temporaryFolder(), "program.mjs");
  writeFileSync(file, text);
  return written([file]);
};
const engine = pathToFileURL(compiled("core/engine/index.js")).href;
const pith = pathToFileURL(compiled("index.js")).href;
const running = (model: string): string => `
  const { createEngine } = await import(${JSON.stringify(engine)});
  const { open } = await import(${JSON.stringify(pith)});
  await createEngine().load(await open(${JSON.stringify(model)}));`;

describe("opens no connection, and leaves no files in the home folder or the temporary folder:", () => {
  beforeAll(() => {
    writeFileSync(
      at("rows.mjs"),
      `import ort from ${JSON.stringify(runtime)};
       await ort.InferenceSession.create(${JSON.stringify(at("right.onnx"))});
       export function* test() { yield { features: [[1, 2], [2, 1]], label: [1, 0] }; }`,
    );
  });

  test.each([
    ["quantize", ["--scheme", "static", "--data", "points.csv", "--force", "-o", "quantized.onnx"]],
    ["train", ["--data", "points.csv", "--epochs", "1", "--force", "-o", "trained.onnx"]],
    // A user's module loads the runtime directly, in the process of the job.
    ["eval", ["--data", "rows.mjs"]],
  ])("pith %s %j", async (command, words) => {
    const paths = words.map((word) => (/[.]/.test(word) ? at(word) : word));
    expect(await written([program, command, at("right.onnx"), ...paths])).toEqual([]);
  });

  test("unless a program opens one itself", async () => {
    const fetching = 'await fetch("http://127.0.0.1:65535").catch(() => {});';
    expect(await inProgram(fetching)).toEqual(["network"]);
    const text = `import { fork } from "node:child_process";
      if (process.argv[2] === undefined) fork(import.meta.filename, ["child"]);
      else ${fetching}`;
    expect(await inProgram(text)).toEqual(["network"]);
  });

  test("a program that runs a model", async () => {
    expect(await inProgram(running(at("right.onnx")))).toEqual([]);
  });

  test("a program that runs a model in a worker thread", async () => {
    const thread = `
      import { Worker, isMainThread } from "node:worker_threads";
      if (isMainThread) new Worker(new URL(import.meta.url));
      else {${running(at("right.onnx"))} }`;
    expect(await inProgram(thread)).toEqual([]);
  });
});

describe("ORT_DISABLE_TELEMETRY", () => {
  const platform = pathToFileURL(compiled("core/platform/node.js")).href;
  const value = async (given: Readonly<Record<string, string>>): Promise<string> => {
    const text = `
      const { disableTelemetry } = await import(${JSON.stringify(platform)});
      await disableTelemetry();
      process.stdout.write(process.env.ORT_DISABLE_TELEMETRY);`;
    const env = { PATH: process.env.PATH, ...given };
    return (await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", text], { env })).stdout;
  };

  test.each([
    ["is set", {}, "1"],
    ["is set where it is empty", { ORT_DISABLE_TELEMETRY: "" }, "1"],
    ["stays as the user has set it", { ORT_DISABLE_TELEMETRY: "0" }, "0"],
  ])("%s", async (_, given, expected) => {
    expect(await value(given)).toBe(expected);
  });

  test("causes an error if a thread cannot set it, unless the user has set it", async () => {
    const text = `
      import { Worker, isMainThread } from "node:worker_threads";
      import { syncBuiltinESMExports } from "node:module";
      import inspector from "node:inspector";
      if (isMainThread) new Worker(new URL(import.meta.url)).on("message", (said) => process.stdout.write(said));
      else {
        // Simulates Node without an inspector, or without the permission to use it.
        inspector.Session = class { constructor() { throw new Error("no inspector"); } };
        syncBuiltinESMExports();
        const { parentPort } = await import("node:worker_threads");
        const { disableTelemetry } = await import(${JSON.stringify(platform)});
        parentPort.postMessage(await disableTelemetry().then(() => "done", ({ hint }) => hint));
      }`;
    const file = join(temporaryFolder(), "thread.mjs");
    writeFileSync(file, text);
    const run = async (given: Readonly<Record<string, string>>): Promise<string> =>
      (await promisify(execFile)(process.execPath, [file], { env: { PATH: process.env.PATH, ...given } })).stdout;
    expect(await run({})).toBe("Start the program with ORT_DISABLE_TELEMETRY=1 in its environment (0 leaves it on).");
    expect(await run({ ORT_DISABLE_TELEMETRY: "1" })).toBe("done");
  });
});
