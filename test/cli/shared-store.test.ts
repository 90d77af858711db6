/** What a command leaves in the store of a queue for workers. */
import { mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { SharedInput } from "../../src/cli/queue/inputs.ts";
import { foundAmong } from "../../src/cli/queue/modules.ts";
import {
  openSharedStore,
  receivedInput,
  requireStored,
  type SharedStore,
  shareInput,
} from "../../src/cli/queue/shared-store.ts";
import { parseModel } from "../../src/graph/text.ts";
import { open, save } from "../../src/onnx/index.ts";
import { outliers } from "../outliers.ts";
import { temporaryFolder } from "../temporary.ts";
import { dataAt } from "./data-request.ts";

test("the tokenizer and settings of a model are shared with it, from its folder or the one above", async () => {
  const folder = temporaryFolder();
  const model = join(folder, "onnx", "model.onnx");
  mkdirSync(join(folder, "onnx"));
  await save(parseModel(outliers), model);
  writeFileSync(join(folder, "tokenizer.json"), "{}");
  writeFileSync(join(folder, "config.json"), "{}");
  writeFileSync(join(folder, "onnx", "config.json"), '{ "own": true }');
  writeFileSync(join(folder, "README.md"), "");
  writeFileSync(join(folder, "points.csv"), "x,label\n1,0\n");
  const store = await openSharedStore(join(folder, "store"));
  const input = { model, resumeFolder: "", data: dataAt(join(folder, "points.csv")), seed: 0 };
  const shared = await shareInput(store, await open(model), input);
  const [place = ""] = /^inputs\/[0-9a-f]{64}(?=\/model\.onnx$)/.exec(shared.model) ?? [];
  expect(readdirSync(join(store.folder, place)).toSorted()).toEqual(["config.json", "model.onnx", "tokenizer.json"]);
});

test("a data set that is a module stays out of the store, and the job names it by its content", async () => {
  const folder = temporaryFolder();
  const [model, rows] = [join(folder, "net.onnx"), join(folder, "rows.mjs")];
  await save(parseModel(outliers), model);
  writeFileSync(rows, "export default [];\n");
  const store = await openSharedStore(join(folder, "store"));
  const input = { model, resumeFolder: "", data: dataAt(rows), seed: 0 };
  const shared = await shareInput(store, await open(model), input);
  expect(shared.data.path).toMatch(/^modules\/[0-9a-f]{64}\/rows\.mjs$/);
  expect(readdirSync(store.folder, { recursive: true }).filter((name) => String(name).includes("rows"))).toEqual([]);
  const received = await receivedInput(store, shared, await foundAmong([rows]));
  expect(received).toMatchObject({ model: join(store.folder, shared.model), data: { path: rows } });
  await expect(receivedInput(store, shared, await foundAmong([]))).rejects.toMatchObject({ code: "E_OPTION" });
});

describe("a worker", () => {
  const folder = temporaryFolder();
  const at = (...names: readonly string[]) => join(folder, ...names);
  let store: SharedStore;
  let job: SharedInput;
  const receive = async (changed: Partial<SharedInput>) =>
    receivedInput(store, { ...job, ...changed }, await foundAmong([]));

  beforeAll(async () => {
    await save(parseModel(outliers), at("net.onnx"));
    mkdirSync(at("data"));
    writeFileSync(at("data", "points.csv"), "x,label\n1,0\n");
    writeFileSync(at("secret.csv"), "x,label\n1,0\n");
    store = await openSharedStore(at("store"));
    const input = { model: at("net.onnx"), resumeFolder: "", data: dataAt(at("data")), seed: 0 };
    job = await shareInput(store, await open(at("net.onnx")), input);
  });

  test("receives what a command shared", async () => {
    const { model, data, resumeFolder } = await receive({});
    expect([model, data.path, resumeFolder]).toEqual(
      [job.model, job.data.path, job.resumeFolder].map((path) => at("store", path)),
    );
  });

  const hash = "0".repeat(64);
  test.each([
    "../../etc/passwd",
    "/etc/passwd",
    "inputs",
    "inputs/short/net.onnx",
    `inputs/${hash}/..`,
    `inputs/${hash}/../../../etc/passwd`,
    `inputs/${hash}/x/../../../../secret.csv`,
    `inputs/${hash}/.`,
    `inputs/${hash}/net.onnx/`,
    `inputs/${hash}/net.onnx\0.csv`,
    `inputs/${hash}/..\\..\\secret.csv`,
    `./inputs/${hash}/net.onnx`,
    `inputs//${hash}/net.onnx`,
    `runs/${hash}`,
    "",
  ])("refuses a model or data that is not an input of the store: %j", async (path) => {
    const refused = { code: "E_DATA", message: `The queue names "${path}", which is not in the store.` };
    await expect(receive({ model: path })).rejects.toMatchObject(refused);
    await expect(receive({ data: dataAt(path) })).rejects.toMatchObject(refused);
  });

  test.each([`inputs/${hash}`, `runs/${hash}/..`, `runs/${hash}/x`, "runs", "runs/..", "../out", "/tmp", ""])(
    "refuses a folder of results that is not one of the store: %j",
    async (resumeFolder) => {
      await expect(receive({ resumeFolder })).rejects.toThrow(`The queue names "${resumeFolder}"`);
    },
  );

  test.each(["x.mjs", "x.mjs/", "x.mjs/.", "x.cjs", "x.TS", "x.js//"])(
    "refuses code in the store: %s",
    async (name) => {
      writeFileSync(at("store", job.data.path, "x.mjs"), "globalThis.isHacked = true;\n");
      await expect(receive({ data: dataAt(`${job.data.path}/${name}`) })).rejects.toMatchObject({
        code: "E_OPTION",
        message: expect.stringContaining("is code that this worker was not started with"),
      });
    },
  );

  test.skipIf(process.platform === "win32")(
    "refuses links in the store, also if they appear after it has checked",
    async () => {
      const refused = async (link: string) => {
        const message = `The store has a link: expected a file or a folder, got "${link}".`;
        await expect(receive({})).rejects.toMatchObject({ code: "E_DATA", message });
        await expect(requireStored(received)).rejects.toThrow(message);
      };
      const received = await receive({});
      const link = async (target: string, path: string) => {
        symlinkSync(target, at("store", path));
        await refused(path);
        renameSync(at("store", path), at(`removed-${counter++}`));
      };
      let counter = 0;
      await link(at("secret.csv"), `${job.data.path}/test.csv`);
      mkdirSync(at("store", job.data.path, "photos"));
      await link(at("data"), `${job.data.path}/photos/dogs`);
      // Files beside a model are looked for in the folder above, too.
      await link(at("secret.csv"), "inputs/tokenizer.json");
      mkdirSync(at("store", "runs"));
      await link(at("data"), job.resumeFolder);
      mkdirSync(at("store", job.resumeFolder));
      await link(at("secret.csv"), `${job.resumeFolder}/${hash}.json`);
      renameSync(at("store", "runs"), at("outside"));
      symlinkSync(at("outside"), at("store", "runs"));
      await refused(job.resumeFolder);
    },
  );
});
