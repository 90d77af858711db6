import { existsSync, readdirSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";

/** Tests of all of Pith, and code that tests share. */
const commonFolders = ["action", "detector", "generated", "golden", "laws", "setup", "transformers-js", "zoo"];

test("each folder of test/ with tests has the path of what it tests: a folder of src/ or of the repository", () => {
  const files = readdirSync("test", { recursive: true, encoding: "utf8" }).map((file) => file.replaceAll("\\", "/"));
  const folders = new Set(files.filter((file) => file.endsWith(".test.ts")).map((file) => path.posix.dirname(file)));
  const hasSubject = (folder: string): boolean =>
    commonFolders.includes(folder.split("/")[0] ?? "") || existsSync(`src/${folder}`) || existsSync(folder);
  expect([...folders].filter((folder) => !hasSubject(folder))).toEqual([]);
});
