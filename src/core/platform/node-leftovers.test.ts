import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { processSuffix, removeDeadTemporaries, removeLeftovers, temporaryOf } from "./node-leftovers.ts";
import { temporaryFolder as ownFolder } from "./node-temporary.ts";

/** Returns the id of a process that has ended. */
function deadProcess(): number {
  return spawnSync(process.execPath, ["-e", ""]).pid;
}

/** Creates temporary files, each with its age in hours. */
async function folderWith(files: Readonly<Record<string, number>>): Promise<string> {
  const folder = temporaryFolder();
  for (const [name, hours] of Object.entries(files)) {
    await writeFile(join(folder, name), "");
    const then = Date.now() / 1000 - 3600 * hours;
    await utimes(join(folder, name), then, then);
  }
  return folder;
}

const [here = ""] = processSuffix().split("-");
const random = "0123456789ab";

test("removeLeftovers removes only the temporary files of dead processes", async () => {
  const dead = `.m.onnx.${here}-${deadProcess()}.${random}.tmp`;
  const kept = {
    // Files of this process and of another running process stay.
    [`.m.onnx.${here}-${process.pid}.${random}.tmp`]: 0,
    [`.m.onnx.${here}-${process.ppid}.${random}.tmp`]: 100,
    // A file of another machine stays if it changed less than a day ago.
    [`.m.onnx.00000000-1.${random}.tmp`]: 23,
    // Temporary files of other targets and foreign files stay.
    [`.other.onnx.${here}-${deadProcess()}.${random}.tmp`]: 100,
    [`.m.onnx_data.${here}-${deadProcess()}.${random}.tmp`]: 100,
    ".m.onnx.tmp": 100,
    ".m.onnx.mine.tmp": 100,
    [`.m.onnx.${random}.tmp`]: 100,
    "m.onnx": 100,
  };
  const folder = await folderWith({
    ...kept,
    [dead]: 0,
    // A process with this id ran before this process started: containers reuse ids.
    [`.m.onnx.${here}-${process.pid}.ffffffffffff.tmp`]: 100,
    [`.m.onnx.00000000-2.${random}.tmp`]: 25,
  });
  await removeLeftovers(join(folder, "m.onnx"));
  expect((await readdir(folder)).sort()).toEqual(Object.keys(kept).sort());
});

test.skipIf(process.platform !== "linux")("removeLeftovers removes files of a zombie process", async () => {
  // The shell turns into a program that never waits for the shell's child process.
  const parent = spawn("sh", ["-c", "sleep 0.3 & echo $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
  const [pid] = await once(parent.stdout, "data");
  const listed = (): string => readFileSync(`/proc/${String(pid).trim()}/stat`, "latin1");
  await expect.poll(listed, { interval: 5, timeout: 20_000 }).toMatch(/\) Z /);
  const folder = await folderWith({ [`.m.onnx.${here}-${String(pid).trim()}.${random}.tmp`]: 0 });
  await removeLeftovers(join(folder, "m.onnx"));
  expect(await readdir(folder)).toEqual([]);
  parent.kill();
});

test("removeLeftovers accepts a missing folder", async () => {
  await removeLeftovers(join(temporaryFolder(), "none", "m.onnx"));
});

test("temporaryOf reads the name of the final file from a temporary name", () => {
  const ending = processSuffix();
  expect(temporaryOf(`.a.b.onnx.${ending}.tmp`)).toEqual({ name: "a.b.onnx", ending });
  expect(temporaryOf(`.m.onnx_data.${ending}.${ending}.tmp`)).toEqual({ name: `m.onnx_data.${ending}`, ending });
  expect(temporaryOf(`m.onnx_data.${ending}`)).toBeUndefined();
});

describe("removeDeadTemporaries", () => {
  const names = (folder: string): readonly string[] => readdirSync(folder).toSorted();
  const dead = `pith-${here}-${deadProcess()}.${random}`;

  test("removes folders of dead processes with their files, and nothing else", async () => {
    const folder = temporaryFolder();
    const kept = [
      // Folders of this process and of another running process stay.
      `pith-${here}-${process.pid}.${random}`,
      `pith-${here}-${process.ppid}.${random}`,
      // A folder of another machine stays, because its process can still be running.
      `pith-00000000-1.${random}`,
      // Folders of the user stay.
      "pith-models",
      `pith-${here}-${deadProcess()}`,
      `models-${here}-${deadProcess()}.${random}`,
    ];
    for (const name of [...kept, dead]) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "model.onnx"), "");
    }
    // These are a spilled file and a link that a user made.
    writeFileSync(join(folder, `pith-${here}-${deadProcess()}.ffffffffffff`), "");
    const link = `pith-${here}-${deadProcess()}.aaaaaaaaaaaa`;
    symlinkSync(join(folder, "pith-models"), join(folder, link));
    for (const name of kept)
      utimesSync(join(folder, name), 0, name.includes(String(process.pid)) ? Date.now() / 1000 : 0);
    await removeDeadTemporaries(folder);
    expect(names(folder)).toEqual([...kept, link].toSorted());
    expect(names(join(folder, "pith-models"))).toEqual(["model.onnx"]);
  });

  test.runIf(process.getuid?.() === 0)("keeps folders of other users, even as root", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, dead));
    chownSync(join(folder, dead), 65_534, 65_534);
    await removeDeadTemporaries(folder);
    expect(names(folder)).toEqual([dead]);
  });
});

test("ownFolder names a missing temporary folder and the variable that sets it", async () => {
  vi.stubEnv("TMPDIR", "/none/such");
  try {
    await expect(ownFolder()).rejects.toMatchObject({
      code: "E_FILE",
      message: 'No temporary folder can be made in "/none/such": it does not exist.',
      hint: expect.stringContaining("TMPDIR"),
    });
  } finally {
    vi.unstubAllEnvs();
  }
});
