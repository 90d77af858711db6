/**
 * A headless browser for one page. The page reports to its server, so any Chromium works without a driver library.
 *
 * The browser ends with its pipe, even if this process is killed. The page's address goes through the pipe, because other users can read process
 * arguments and the address gives access to the models.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { access, constants, mkdtemp, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import { Readable, Writable } from "node:stream";
import { PithError } from "../../errors.ts";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge"];

const elsewhere: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
  darwin: [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
  ],
  win32: [process.env.PROGRAMFILES, process.env["PROGRAMFILES(X86)"], process.env.LOCALAPPDATA].flatMap((folder) =>
    folder === undefined
      ? []
      : [join(folder, "Google/Chrome/Application/chrome.exe"), join(folder, "Microsoft/Edge/Application/msedge.exe")],
  ),
};

/**
 * Finds a Chromium: CHROME_PATH, else an installed one, else one from Playwright.
 * @throws PithError E_ENGINE_MISSING if there is none, E_FILE if CHROME_PATH is not a program.
 */
export async function findChromium(): Promise<string> {
  const chosen = process.env.CHROME_PATH ?? "";
  if (chosen !== "") {
    if (await isProgram(chosen)) return chosen;
    throw new PithError("E_FILE", `CHROME_PATH is "${chosen}", which is not an executable.`);
  }
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const installed = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  for (const path of [...installed, ...(elsewhere[process.platform] ?? []), ...playwrights()]) {
    if (await isProgram(path)) return path;
  }
  throw new PithError("E_ENGINE_MISSING", "There is no Chromium, Chrome or Edge on this machine.", {
    hint: "Install one, or set CHROME_PATH to its executable.",
  });
}

function playwrights(): string[] {
  const caches = { darwin: "Library/Caches", win32: "AppData/Local" }[process.platform as string] ?? ".cache";
  const root = process.env.PLAYWRIGHT_BROWSERS_PATH ?? join(homedir(), caches, "ms-playwright");
  const inside = ["chrome-linux/chrome", "chrome-linux64/chrome", "chrome-mac/Chromium.app/Contents/MacOS/Chromium"];
  try {
    const found = readdirSync(root).filter((name) => /^chromium-\d+$/.test(name));
    return found.flatMap((name) => [...inside, "chrome-win/chrome.exe"].map((program) => join(root, name, program)));
  } catch {
    return [];
  }
}

async function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

export interface OpenPage {
  readonly ended: Promise<string>;
  close(): Promise<void>;
}

export async function openPage(program: string, address: string, folder: string): Promise<OpenPage> {
  const profile = await mkdtemp(join(folder, "profile-"));
  const flags = [
    "--headless=new",
    `--user-data-dir=${profile}`,
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--mute-audio",
    // Chromium throttles invisible pages.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    // Enables WebGPU on Linux.
    "--enable-unsafe-webgpu",
    // Chromium does not run as root with its sandbox.
    ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
  ];
  const browser = spawn(program, flags, { stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"] });
  const ended = end(browser);
  const [, , , orders, answers] = browser.stdio;
  // A browser that ends at once closes its pipe.
  if (orders instanceof Writable)
    orders
      .on("error", () => {})
      .write(`${JSON.stringify({ id: 1, method: "Target.createTarget", params: { url: address } })}\0`);
  if (answers instanceof Readable) answers.resume();
  return {
    ended,
    async close() {
      browser.kill();
      const patience = setTimeout(() => browser.kill("SIGKILL"), 3000);
      await ended;
      clearTimeout(patience);
      await rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    },
  };
}

function end(browser: ChildProcess): Promise<string> {
  let words = "";
  browser.stderr?.setEncoding("utf8").on("data", (text: string) => {
    words = `${words}${text}`.slice(-2000);
  });
  return new Promise((resolve) => {
    browser.on("error", (error) => resolve(error.message));
    // Not "exit": child processes share the pipe and write into the folder until they end.
    browser.on("close", (code, signal) => {
      const last = words.trimEnd().split("\n").at(-1) ?? "";
      resolve(`${signal ?? `exit code ${code}`}${last === "" ? "" : `; its last line: ${last}`}`);
    });
  });
}
