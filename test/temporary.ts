/** Creates folders for the files of a test, and removes them after the tests of the file. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

const folders: string[] = [];

/** Creates an empty folder, by default in the system's temporary folder. */
export function temporaryFolder(within = tmpdir()): string {
  const folder = mkdtempSync(join(within, "pith-test-"));
  folders.push(folder);
  return folder;
}

export function removeFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

afterAll(removeFolders);
