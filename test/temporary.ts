/** Folders for the files of a test: made here, and removed here, with nothing else, once the file's tests are through. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

const folders: string[] = [];

/** A new, empty folder, in the system's own place for such unless told. */
export function temporaryFolder(within = tmpdir()): string {
  const folder = mkdtempSync(join(within, "pith-test-"));
  folders.push(folder);
  return folder;
}

export function removeFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

afterAll(removeFolders);
