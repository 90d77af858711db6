import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chownSync, mkdirSync, readdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { readdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { temporaryFolder } from "../../../test/temporary.ts";
import { ownedEnding, removeDeadTemporaries, removeLeftovers, temporaryOf } from "./node-leftovers.ts";
import { temporaryFolder as ownFolder } from "./node-temporary.ts";

/** A process that was there, and is gone. */
function deadProcess(): number {
  return spawnSync(process.execPath, ["-e", ""]).pid;
}

/** Temporary files of `name`: each with its age in hours. */
async function folderWith(files: Readonly<Record<string, number>>): Promise<string> {
  const folder = temporaryFolder();
  for (const [name, hours] of Object.entries(files)) {
    await writeFile(join(folder, name), "");
    const then = Date.now() / 1000 - 3600 * hours;
    await utimes(join(folder, name), then, then);
  }
  return folder;
}

const [here = ""] = ownedEnding().split("-");
const random = "0123456789ab";

test("what dead processes left of a file goes, and nothing else", async () => {
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
    // A process of the same number, before this one began: in containers numbers come again.
    [`.m.onnx.${here}-${process.pid}.ffffffffffff.tmp`]: 100,
    [`.m.onnx.00000000-2.${random}.tmp`]: 25,
  });
  await removeLeftovers(join(folder, "m.onnx"));
  expect((await readdir(folder)).sort()).toEqual(Object.keys(kept).sort());
});

test.skipIf(process.platform !== "linux")(
  "what a process left goes while its parent has not asked how it ended",
  async () => {
    // The shell becomes a program that asks for no child of the shell's, before that child ends.
    const parent = spawn("sh", ["-c", "sleep 0.3 & echo $!; exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
    const [pid] = await once(parent.stdout, "data");
    const listed = (): string => readFileSync(`/proc/${String(pid).trim()}/stat`, "latin1");
    await expect.poll(listed, { interval: 5, timeout: 20_000 }).toMatch(/\) Z /);
    const folder = await folderWith({ [`.m.onnx.${here}-${String(pid).trim()}.${random}.tmp`]: 0 });
    await removeLeftovers(join(folder, "m.onnx"));
    expect(await readdir(folder)).toEqual([]);
    parent.kill();
  },
);

test("a folder that is not there is no failure", async () => {
  await removeLeftovers(join(temporaryFolder(), "none", "m.onnx"));
});

test("temporary names say what they are to become", () => {
  const ending = ownedEnding();
  expect(temporaryOf(`.a.b.onnx.${ending}.tmp`)).toEqual({ name: "a.b.onnx", ending });
  expect(temporaryOf(`.m.onnx_data.${ending}.${ending}.tmp`)).toEqual({ name: `m.onnx_data.${ending}`, ending });
  expect(temporaryOf(`m.onnx_data.${ending}`)).toBeUndefined();
});

describe("folders for temporary files", () => {
  const names = (folder: string): readonly string[] => readdirSync(folder).toSorted();
  const dead = `pith-${here}-${deadProcess()}.${random}`;

  test("of dead processes go with what is in them, and nothing else", async () => {
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
    // A file that did not fit in memory, and a link that someone has made.
    writeFileSync(join(folder, `pith-${here}-${deadProcess()}.ffffffffffff`), "");
    const link = `pith-${here}-${deadProcess()}.aaaaaaaaaaaa`;
    symlinkSync(join(folder, "pith-models"), join(folder, link));
    for (const name of kept)
      utimesSync(join(folder, name), 0, name.includes(String(process.pid)) ? Date.now() / 1000 : 0);
    await removeDeadTemporaries(folder);
    expect(names(folder)).toEqual([...kept, link].toSorted());
    expect(names(join(folder, "pith-models"))).toEqual(["model.onnx"]);
  });

  test.runIf(process.getuid?.() === 0)("of other users stay, although root may remove them", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, dead));
    chownSync(join(folder, dead), 65_534, 65_534);
    await removeDeadTemporaries(folder);
    expect(names(folder)).toEqual([dead]);
  });
});

test("a place for temporary files that is not there is named, with what sets it", async () => {
  vi.stubEnv("TMPDIR", "/none/such");
  try {
    await expect(ownFolder()).rejects.toMatchObject({
      code: "E_FILE",
      message: 'No temporary folder can be made in "/none/such": there is no such file or folder.',
      hint: expect.stringContaining("TMPDIR"),
    });
  } finally {
    vi.unstubAllEnvs();
  }
});
