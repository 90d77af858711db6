/**
 * A failing disk: `node:fs/promises` and `node:fs` with a counter of all modifying operations, of which a chosen one
 * fails. For `vi.mock("node:fs/promises", …)` and `vi.mock("node:fs", …)`, so that writers are tested unchanged.
 */
import type * as fs from "node:fs";
import type * as promises from "node:fs/promises";

type Disk = typeof promises;

export interface Plan {
  /** The operation that fails, counted from 1; 0: none. */
  at: number;
  /** Whether all later operations fail as well, as on a full or disconnected disk. */
  forever: boolean;
  /** Whether all later operations do nothing, so that the folder is in the state after a process is killed at that step. */
  killed: boolean;
  /** Whether a write stores only a part of its data, as the system permits. */
  partial: boolean;
  code: string;
  /** Names of the operations so far. */
  readonly log: string[];
}

export const plan: Plan = { at: 0, forever: false, killed: false, partial: false, code: "ENOSPC", log: [] };

export function startPlan(at: number, options: Partial<Plan> = {}): void {
  Object.assign(plan, { at, forever: false, killed: false, partial: false, code: "ENOSPC", ...options });
  plan.log.length = 0;
}

function step(what: string): void {
  plan.log.push(what);
  const number = plan.log.length;
  if (plan.at > 0 && (plan.forever || plan.killed ? number >= plan.at : number === plan.at)) {
    throw Object.assign(new Error(`${plan.code}: ${what}`), { code: plan.code });
  }
}

/** Returns the failing `node:fs/promises`. Removing always works unless the process is killed, because a writer cannot clean up if it fails. */
export function failing(real: Disk): Disk {
  return {
    ...real,
    async open(path, flags, mode) {
      const writes = typeof flags === "string" && flags !== "r";
      if (writes) step("open");
      const handle = await real.open(path, flags, mode);
      return writes ? watched(handle) : handle;
    },
    async rename(from, to) {
      step("rename");
      return real.rename(from, to);
    },
    async link(from, to) {
      step("link");
      return real.link(from, to);
    },
    async symlink(target, path, type) {
      step("symlink");
      return real.symlink(target, path, type);
    },
    async rm(path, options) {
      if (plan.killed && plan.at > 0 && plan.log.length >= plan.at) throw new Error("killed");
      return real.rm(path, options);
    },
    async copyFile(from, to, flags) {
      step("copyFile");
      return real.copyFile(from, to, flags);
    },
  };
}

/** Returns the failing `node:fs`, with synchronous writes. */
export function failingWrites(real: typeof fs): object {
  return {
    ...real,
    writeSync(file: number, bytes: Uint8Array, offset: number, length: number) {
      step("write");
      return real.writeSync(file, bytes, offset, plan.partial ? Math.ceil(length / 3) : length);
    },
  };
}

/** Returns a function that throws, because the plan does not count this way of writing. */
function unwatched(name: string): () => never {
  return () => {
    throw new Error(`internal: ${name} is not watched`);
  };
}

function watched(handle: promises.FileHandle): promises.FileHandle {
  const [chmod, close] = [handle.chmod.bind(handle), handle.close.bind(handle)];
  return Object.assign(handle, {
    write: unwatched("write"),
    writev: unwatched("writev"),
    writeFile: unwatched("writeFile"),
    appendFile: unwatched("appendFile"),
    async chmod(mode: number) {
      step("chmod");
      return chmod(mode);
    },
    async sync() {
      // Syncs are only counted, because hundreds of real ones would be slow.
      step("sync");
    },
    async close() {
      // The file is closed even if closing reports an error.
      await close();
      step("close");
    },
  });
}
