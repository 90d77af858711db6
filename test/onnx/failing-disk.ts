/**
 * A disk that fails: `node:fs/promises` and `node:fs` with every operation that changes something counted, and the one of a chosen number
 * failing. For `vi.mock("node:fs/promises", …)` and `vi.mock("node:fs", …)`, so that writers are tested as they are.
 */
import type * as fs from "node:fs";
import type * as promises from "node:fs/promises";

type Disk = typeof promises;

export interface Plan {
  /** The operation that fails, counted from 1; 0: none. */
  at: number;
  /** Whether all after it fail too, as on a disk that is full or gone. */
  forever: boolean;
  /** Whether nothing at all happens from there on, so that the folder is as a process leaves it that is killed at that step. */
  killed: boolean;
  /** Whether writes take only a part of what they are given, as they may. */
  partial: boolean;
  code: string;
  /** What was asked for so far. */
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

/** Removing is let through, but for processes that are killed: what is left behind where even that fails is nobody's fault. */
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

/** Writes, which the system lets a process do at once. */
export function failingWrites(real: typeof fs): object {
  return {
    ...real,
    writeSync(file: number, bytes: Uint8Array, offset: number, length: number) {
      step("write");
      return real.writeSync(file, bytes, offset, plan.partial ? Math.ceil(length / 3) : length);
    },
  };
}

/** A way of writing that nobody uses yet would not be counted. */
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
      // Counted only: to wait for the disk some hundred times would tell nothing.
      step("sync");
    },
    async close() {
      // Closed it is, whatever the system says of it.
      await close();
      step("close");
    },
  });
}
