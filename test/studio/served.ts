/** Installs the package with the page, and starts `pith studio`. */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, inject } from "vitest";
import { buildStudio } from "../../scripts/build/studio.ts";
import { root } from "../page.ts";
import { temporaryFolder } from "../temporary.ts";
import { openAddress, type Studio } from "./studio.ts";

export interface Served extends Omit<Studio, "stopServer"> {
  readonly server: ChildProcess & { readonly pid: number };
  readonly temporary: string;
  /** Ends the server as Ctrl-C does, and returns its exit code. */
  end(): Promise<number | null>;
}

type Serve = (words: readonly string[], use: (served: Served) => Promise<void>) => Promise<void>;

/** Installs the package before the tests of a file. Returns a function that runs `pith studio` with these words. */
export function installStudio(): Serve {
  let installed = "";
  beforeAll(async () => {
    // The compiled package is shared by all tests, so this test adds the page to a copy, next to it, where packages are found.
    const compiled = inject("compiled");
    installed = mkdtempSync(join(dirname(compiled), "..", "studio-"));
    cpSync(dirname(compiled), installed, { recursive: true });
    await buildStudio(root, join(installed, "dist/studio"));
  });
  afterAll(() => rmSync(installed, { recursive: true, force: true }));
  return (words, use) => serve(join(installed, "dist/app/cli/main.js"), words, use);
}

async function serve(program: string, words: readonly string[], use: (served: Served) => Promise<void>): Promise<void> {
  const temporary = join(temporaryFolder(), "temporary");
  mkdirSync(temporary);
  const server = spawn(process.execPath, [program, "studio", ...words, "--no-open"], {
    env: { ...process.env, TMPDIR: temporary, NODE_DISABLE_COMPILE_CACHE: "1" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  const ended = new Promise<number | null>((resolve) => server.on("close", resolve));
  const address = await new Promise<string>((resolve, reject) => {
    let text = "";
    server.stderr.setEncoding("utf8").on("data", (more) => {
      text += more;
      const [url] = /http:\S+/.exec(text) ?? [];
      if (url !== undefined) resolve(url);
    });
    ended.then(() => reject(new Error(text)));
  });
  const studio = await openAddress(address);
  const end = (): Promise<number | null> => {
    server.kill("SIGINT");
    return ended;
  };
  try {
    await use({ ...studio, server: Object.assign(server, { pid: server.pid ?? 0 }), temporary, end });
  } finally {
    await studio.close();
    await end();
  }
}
