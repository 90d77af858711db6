/** Opens an address in the user's browser. Every account of the machine can read arguments of processes, so the browser gets a private file that redirects. */
import { spawn } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "../../../core/platform/node-temporary.ts";

/** @returns a function that removes the file. Without a browser, the user opens the printed address. */
export async function openBrowser(address: string): Promise<() => Promise<void>> {
  const folder = await temporaryFolder();
  const file = join(folder.path, "pith-studio.html");
  await writeFile(file, `<!doctype html><meta http-equiv="refresh" content="0; url=${address}">`, { mode: 0o600 });
  const [program, ...words]: readonly [string, ...string[]] =
    process.platform === "win32"
      ? ["rundll32", "url.dll,FileProtocolHandler", file]
      : [process.platform === "darwin" ? "open" : "xdg-open", file];
  spawn(program, words, { stdio: "ignore", detached: true })
    .on("error", () => {})
    .unref();
  return () => folder.remove();
}
