/** Tests the files that a command shares with workers through the store of a queue. */
import { mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { SharedInput } from "../../../src/app/cli/queue/job-inputs.ts";
import { createModuleFinder } from "../../../src/app/cli/queue/module-names.ts";
import { openSharedStore, receiveInput, requireStored, shareInput } from "../../../src/app/cli/queue/shared-store.ts";
import { parseModel } from "../../../src/core/graph/text.ts";
import { open, save } from "../../../src/core/onnx/index.ts";
import { openSource } from "../../../src/data/sources/open.ts";
import { outliers } from "../../outliers.ts";
import { temporaryFolder } from "../../temporary.ts";
import { dataAt } from "./data-request.ts";

test("shares the tokenizer and settings of a model, from its folder or the parent", async () => {
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
  const shared = await shareInput(store, input, () => {});
  const [place = ""] = /^inputs\/[0-9a-f]{64}(?=\/model\.onnx$)/.exec(shared.model) ?? [];
  expect(readdirSync(join(store, place)).toSorted()).toEqual(["config.json", "model.onnx", "tokenizer.json"]);
});

describe("a command", () => {
  const folder = temporaryFolder();
  const at = (...names: readonly string[]) => join(folder, ...names);
  const write = (...names: readonly string[]) => {
    mkdirSync(dirname(at(...names)), { recursive: true });
    writeFileSync(at(...names), "x,label\n1,0\n");
  };
  /** Shares data. Returns the names of all files in the store except the model. */
  const sharedFiles = async (data: string): Promise<readonly string[]> => {
    const store = await openSharedStore(join(temporaryFolder(), "store"));
    const printed: string[] = [];
    const input = { model: at("net.onnx"), resumeFolder: "", data: dataAt(at(data)), seed: 0 };
    const job = await shareInput(store, input, (names) => printed.push(...names));
    const files = readdirSync(join(store, "inputs"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => relative(join(store, "inputs"), join(parentPath, name)))
      .map((path) => path.split(sep).slice(1).join("/"));
    expect(printed.toSorted()).toEqual(files.toSorted());
    const received = await receiveInput(store, job, await createModuleFinder([]));
    // A worker finds the same splits.
    const [here, there] = [await openSource(at(data), {}), await openSource(received.data.path, {})];
    expect(Object.keys(there.parts)).toEqual(Object.keys(here.parts));
    return files.filter((name) => name !== "net.onnx").toSorted();
  };

  beforeAll(async () => {
    await save(parseModel(outliers), at("net.onnx"));
    const files = {
      tables: ["points.csv", "salaries.csv", "cards.train.csv", "cards.test.csv", "other.test.csv"],
      parts: ["dev.tsv", "train.tsv", "notes.txt", ".env", "password.json"],
      photos: ["classes.txt", "a.png", "b.png", "c.txt", ".git/config"],
      classes: [
        "train/cat/1.png",
        "train/dog/2.jpg",
        "train/dog/notes.md",
        "val/cat/3.png",
        "val/dog/4.png",
        "raw/5.png",
      ],
      mnist: ["train", "t10k"].flatMap((part) => [`${part}-images-idx3-ubyte`, `${part}-labels-idx1-ubyte`]),
      cifar: ["data_batch_1.bin", "test_batch.bin", "readme.html"],
    };
    for (const [place, names] of Object.entries(files)) for (const name of names) write(place, name);
    writeFileSync(at("photos", "labels.csv"), "file,label\na.png,0\n");
  });

  test.each<readonly [data: string, files: readonly string[]]>([
    ["tables/points.csv", ["points.csv"]],
    ["tables/cards.train.csv", ["cards.test.csv", "cards.train.csv"]],
    ["tables/cards.test.csv", ["cards.test.csv"]],
    ["parts", ["dev.tsv", "train.tsv"]],
    ["photos", ["a.png", "classes.txt", "labels.csv"]],
    ["photos/b.png", ["b.png"]],
    ["classes", ["train/cat/1.png", "train/dog/2.jpg", "val/cat/3.png", "val/dog/4.png"]],
    ["mnist/t10k-images-idx3-ubyte", ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]],
    [
      "mnist",
      ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
    ],
    ["cifar", ["data_batch_1.bin", "test_batch.bin"]],
    ["cifar/test_batch.bin", ["test_batch.bin"]],
  ])("shares only the files of %s that are read, and names them", async (data, files) => {
    expect(await sharedFiles(data)).toEqual(files);
  });

  test("rejects a table that names images outside of its folder", async () => {
    write("outside", "a.png");
    writeFileSync(at("outside", "labels.csv"), "file,label\na.png,0\n../photos/b.png,1\n");
    await expect(sharedFiles("outside")).rejects.toThrow('"../photos/b.png" is outside the folder of the table.');
  });

  test.skipIf(process.platform === "win32")("shares a model in the cache of a hub under its names", async () => {
    const cache = temporaryFolder();
    const [blobs, snapshot] = [join(cache, "blobs"), join(cache, "snapshots", "1")];
    for (const path of [blobs, snapshot]) mkdirSync(path, { recursive: true });
    await save(parseModel(outliers), join(cache, "net.onnx"), { externalData: true });
    for (const name of ["net.onnx", "net.onnx_data"]) {
      renameSync(join(cache, name), join(blobs, `hash-of-${name}`));
      symlinkSync(join(blobs, `hash-of-${name}`), join(snapshot, name));
    }
    const store = await openSharedStore(join(temporaryFolder(), "store"));
    const data = dataAt(at("tables/points.csv"));
    const names: string[] = [];
    const input = { model: join(snapshot, "net.onnx"), resumeFolder: "", data, seed: 0 };
    const job = await shareInput(store, input, (files) => names.push(...files));
    expect(names).toEqual(["net.onnx", "net.onnx_data", "points.csv"]);
    expect(readdirSync(store)).toEqual(["inputs"]);
    const { model } = await receiveInput(store, job, await createModuleFinder([]));
    expect((await open(model)).graph.outputs).toHaveLength(1);
  });
});

test("stores no data set that is a module, and names it by its hash", async () => {
  const folder = temporaryFolder();
  const [model, rows] = [join(folder, "net.onnx"), join(folder, "rows.mjs")];
  await save(parseModel(outliers), model);
  writeFileSync(rows, "export default [];\n");
  const store = await openSharedStore(join(folder, "store"));
  const input = { model, resumeFolder: "", data: dataAt(rows), seed: 0 };
  const shared = await shareInput(store, input, () => {});
  expect(shared.data.path).toMatch(/^modules\/[0-9a-f]{64}\/rows\.mjs$/);
  expect(readdirSync(store, { recursive: true }).filter((name) => String(name).includes("rows"))).toEqual([]);
  const received = await receiveInput(store, shared, await createModuleFinder([rows]));
  expect(received).toMatchObject({ model: join(store, shared.model), data: { path: rows } });
  await expect(receiveInput(store, shared, await createModuleFinder([]))).rejects.toMatchObject({ code: "E_OPTION" });
});

describe("a worker", () => {
  const folder = temporaryFolder();
  const at = (...names: readonly string[]) => join(folder, ...names);
  let store: string;
  let job: SharedInput;
  const receive = async (changed: Partial<SharedInput>) =>
    receiveInput(store, { ...job, ...changed }, await createModuleFinder([]));

  beforeAll(async () => {
    await save(parseModel(outliers), at("net.onnx"));
    mkdirSync(at("data"));
    writeFileSync(at("data", "points.csv"), "x,label\n1,0\n");
    writeFileSync(at("secret.csv"), "x,label\n1,0\n");
    store = await openSharedStore(at("store"));
    const input = { model: at("net.onnx"), resumeFolder: "", data: dataAt(at("data")), seed: 0 };
    job = await shareInput(store, input, () => {});
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
  ])("rejects a model or data that is not an input of the store: %j", async (path) => {
    const rejected = { code: "E_DATA", message: `The queue names "${path}", which is not in the store.` };
    await expect(receive({ model: path })).rejects.toMatchObject(rejected);
    await expect(receive({ data: dataAt(path) })).rejects.toMatchObject(rejected);
  });

  test.each([`inputs/${hash}`, `runs/${hash}/..`, `runs/${hash}/x`, "runs", "runs/..", "../out", "/tmp", ""])(
    "rejects a folder of results outside of the store: %j",
    async (resumeFolder) => {
      await expect(receive({ resumeFolder })).rejects.toThrow(`The queue names "${resumeFolder}"`);
    },
  );

  test.each(["x.mjs", "x.mjs/", "x.mjs/.", "x.cjs", "x.TS", "x.js//"])(
    "rejects code in the store: %s",
    async (name) => {
      writeFileSync(at("store", job.data.path, "x.mjs"), "globalThis.isHacked = true;\n");
      await expect(receive({ data: dataAt(`${job.data.path}/${name}`) })).rejects.toMatchObject({
        code: "E_OPTION",
        message: expect.stringContaining("is code that this worker was not started with"),
      });
    },
  );

  test.skipIf(process.platform === "win32")(
    "rejects links in the store, also if they appear after the check",
    async () => {
      const rejected = async (link: string) => {
        const message = `The store has a link: expected a file or a folder, got "${link}".`;
        await expect(receive({})).rejects.toMatchObject({ code: "E_DATA", message });
        await expect(requireStored(received)).rejects.toThrow(message);
      };
      const received = await receive({});
      const link = async (target: string, path: string) => {
        symlinkSync(target, at("store", path));
        await rejected(path);
        renameSync(at("store", path), at(`removed-${counter++}`));
      };
      let counter = 0;
      await link(at("secret.csv"), `${job.data.path}/test.csv`);
      mkdirSync(at("store", job.data.path, "photos"));
      await link(at("data"), `${job.data.path}/photos/dogs`);
      // Files of a model are also searched in the parent folder.
      await link(at("secret.csv"), "inputs/tokenizer.json");
      mkdirSync(at("store", "runs"));
      await link(at("data"), job.resumeFolder);
      mkdirSync(at("store", job.resumeFolder));
      await link(at("secret.csv"), `${job.resumeFolder}/${hash}.json`);
      renameSync(at("store", "runs"), at("outside"));
      symlinkSync(at("outside"), at("store", "runs"));
      await rejected(job.resumeFolder);
    },
  );
});
