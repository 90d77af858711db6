import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { temporaryFolder } from "../../../../test/temporary.ts";
import { PithError } from "../../../core/errors.ts";
import { similarPaths, suggestPath } from "./suggest-path.ts";

const root = temporaryFolder();
const at = (path: string): string => join(root, path);

beforeAll(() => {
  const files = [
    "data/cifar10/test.bin",
    "models/resnet20.onnx",
    "recipes/a.yaml",
    "deep/b/c/rows.csv",
    "photos/one.jpg",
    "x/same.txt",
    "y/same.txt",
    ".git/hidden.txt",
    "node_modules/package.txt",
  ];
  for (const file of files) {
    mkdirSync(join(at(file), ".."), { recursive: true });
    writeFileSync(at(file), "");
  }
  symlinkSync(root, at("x/loop"));
});

test("keeps the hint of an error about a path that cannot be written", async () => {
  const full = new PithError("E_FILE", `"${at("data/cifar")}" cannot be written: the disk is full.`, {
    hint: "Free space.",
  });
  expect((await suggestPath(full, [at("data/cifar")])).hint).toBe("Free space.");
});

describe("similarPaths", () => {
  test.each([
    ["data/cifar", ["data/cifar10/"]],
    ["data/Cifar01", ["data/cifar10/"]],
    ["dat/cifar10/test.bin", ["data/cifar10/test.bin"]],
    ["dta/cifar1/test.bin", ["data/cifar10/test.bin"]],
    ["resnet20.onnx", ["models/resnet20.onnx"]],
    ["models/resnet2.onnx", ["models/resnet20.onnx"]],
    ["models/resnet20", ["models/resnet20.onnx"]],
    ["recipes/a.yml", ["recipes/a.yaml"]],
    ["fotos", ["photos/"]],
    ["fotos/one.jpg", ["photos/one.jpg"]],
    ["rows.csv", ["deep/b/c/rows.csv"]],
    ["same.txt", ["x/same.txt", "y/same.txt"]],
  ])("finds for %s: %j", async (typed, meant) => {
    expect((await similarPaths(at(typed))).toSorted()).toEqual(
      meant.map((path) => (path.endsWith("/") ? `${at(path)}` : at(path))),
    );
  });

  test.each(["wholly-other.onnx", "hidden.txt", "package.txt", "none/of/these"])(
    "finds nothing for %s",
    async (typed) => {
      expect(await similarPaths(at(typed))).toEqual([]);
    },
  );
});

describe("suggestPath", () => {
  const path = at("data/cifar");
  const missing = new PithError("E_FILE", `There is no data at "${path}".`, { hint: "Accepted: a folder." });

  test.each([[["--data", path]], [[`--data=${path}`]], [["--modules", `a.mjs,${path}`]]])(
    "adds a hint if the command line is %j",
    async (words) => {
      const error = await suggestPath(missing, words);
      expect(error).toMatchObject({
        code: "E_FILE",
        message: missing.message,
        hint: `Did you mean "${at("data/cifar10/")}"?`,
      });
    },
  );

  test("shows where relative paths start if no path is similar", async () => {
    const error = new PithError("E_FILE", '"wholly-other" cannot be opened: it does not exist.');
    const hint = `Check the spelling. Relative paths start at ${process.cwd()}.`;
    expect(await suggestPath(error, ["wholly-other"])).toMatchObject({ hint });
  });

  test("returns the error unchanged for another path, another fault or an existing path", async () => {
    expect(await suggestPath(missing, ["--data", "data"])).toBe(missing);
    const other = new PithError("E_DATA", `"${path}" is empty.`);
    expect(await suggestPath(other, [path])).toBe(other);
    const there = new PithError("E_FILE", `"${at("data")}" cannot be read.`);
    expect(await suggestPath(there, [at("data")])).toBe(there);
    const output = new PithError("E_FILE", `The folder "${path}" cannot be made: the disk is full.`);
    expect(await suggestPath(output, [path])).toBe(output);
  });
});
