import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { claimFolder, openFile, touchFile, trimFolder } from "./node.ts";
import { folderBytes } from "./node-cache-folders.ts";
import { processSuffix } from "./node-leftovers.ts";

let folder: string;
const at = (name: string): string => join(folder, name);
const isOwn = (path: string): boolean => /^([a-d]|kept|old|empty)(\/(best|last))?$/.test(path);

/** Writes ten bytes and sets the time of use to `second` seconds after 2020. */
function write(name: string, second: number): void {
  writeFileSync(at(name), "0123456789");
  const time = Date.UTC(2020) / 1000 + second;
  utimesSync(at(name), time, time);
}

beforeEach(() => {
  folder = temporaryFolder();
  for (const [second, name] of ["a", "b", "c", "d"].entries()) write(name, second);
});

test("trimFolder removes the least recently used files, and only as many as necessary", async () => {
  await touchFile(at("a"));
  expect(await trimFolder(folder, 25, isOwn)).toEqual(["b", "c"]);
  expect(readdirSync(folder).toSorted()).toEqual(["a", "d"]);
  expect(await folderBytes(folder, isOwn)).toBe(20);
  expect(await trimFolder(folder, 20, isOwn)).toEqual([]);
});

test("trimFolder keeps required files and claims", async () => {
  const release = await claimFolder(folder);
  expect(await trimFolder(folder, 0, isOwn, new Set(["b"]))).toEqual(["a", "c", "d"]);
  expect(readdirSync(folder)).toHaveLength(2);
  await expect(claimFolder(folder)).rejects.toMatchObject({ code: "E_FILE" });
  release();
});

test("trimFolder removes subfolders as units by their last write, and empty ones always", async () => {
  for (const name of ["kept", "old", "empty"]) mkdirSync(at(name));
  for (const [name, second] of [
    ["kept/best", 0],
    ["kept/last", 9],
    ["old/best", -2],
    ["old/last", -1],
  ] as const)
    write(name, second);
  expect(await trimFolder(folder, 60, isOwn)).toEqual(["empty", "old"]);
  expect(await trimFolder(folder, 20, isOwn)).toEqual(["a", "b", "c", "d"]);
  expect(readdirSync(at("kept")).toSorted()).toEqual(["best", "last"]);
});

test("trimFolder removes partial files of dead processes, but not of running ones", async () => {
  const { pid = 0 } = spawnSync(process.execPath, ["--version"]);
  const living = `.x.${processSuffix()}.tmp`;
  const dead = `.x.${processSuffix().replace(/-\d+\./, `-${pid}.`)}.tmp`;
  for (const name of [living, dead]) writeFileSync(at(name), "half");
  await trimFolder(folder, 1000, isOwn);
  expect([living, dead].map((name) => existsSync(at(name)))).toEqual([true, false]);
  await trimFolder(folder, 0, isOwn);
  expect(readdirSync(folder)).toEqual([living]);
});

test("trimFolder keeps foreign files, links and their targets", async () => {
  const other = temporaryFolder();
  for (const name of ["a", "best"]) writeFileSync(join(other, name), "0123456789");
  write("thesis.tex", -9);
  for (const name of ["kept", "old", "notes"]) mkdirSync(at(name));
  for (const name of ["kept/best", "kept/notes.txt", "old/best", "notes/best"]) write(name, -9);
  symlinkSync(join(other, "a"), at("empty"));
  symlinkSync(join(other, "best"), at("old/last"));
  const link = `.x.${processSuffix()}.tmp`;
  symlinkSync(other, at(link));
  expect(await folderBytes(folder, isOwn)).toBe(60);
  expect((await trimFolder(folder, 0, isOwn)).toSorted()).toEqual(["a", "b", "c", "d"]);
  expect(readdirSync(folder).toSorted()).toEqual([link, "empty", "kept", "notes", "old", "thesis.tex"].toSorted());
  expect(readdirSync(at("kept"))).toEqual(["notes.txt"]);
  expect(readdirSync(at("notes"))).toEqual(["best"]);
  expect(readdirSync(other).toSorted()).toEqual(["a", "best"]);
});

test("touchFile does not invalidate an open file", async () => {
  await touchFile(at("a"));
  const source = await openFile(at("a"));
  const before = statSync(at("a")).atimeMs;
  await new Promise((resolve) => setTimeout(resolve, 5));
  await touchFile(at("a"));
  expect(statSync(at("a")).atimeMs).toBeGreaterThan(before);
  expect(await source.read(0, 2)).toEqual(new Uint8Array([48, 49]));
});

test("folderBytes and trimFolder accept a missing folder", async () => {
  expect(await folderBytes(at("missing"), isOwn)).toBe(0);
  expect(await trimFolder(at("missing"), 0, isOwn)).toEqual([]);
  await touchFile(at("missing"));
});
