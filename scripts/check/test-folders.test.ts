import { readdirSync } from "node:fs";
import { expect, test } from "vitest";

/** Tests of all of Pith, and code that tests share. */
const commonFolders = ["detector", "generated", "golden", "laws", "setup", "transformers-js", "zoo"];

test("each folder of test/ is named after what it tests: a folder of src/ or of the repository", () => {
  const foldersOf = (path: string, recursive: boolean) =>
    readdirSync(path, { recursive, withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? entry.name : []));
  const tested = new Set([...foldersOf("src", true), ...foldersOf(".", false), ...commonFolders, "action"]);
  expect(foldersOf("test", false).filter((name) => !tested.has(name))).toEqual([]);
});
