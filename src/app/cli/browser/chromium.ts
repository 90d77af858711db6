/** Opens a page in a headless Chromium, which Playwright controls through a pipe. */
import { access, constants, mkdtemp, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import type { BrowserType, Page } from "playwright-core";
import { fileError, PithError } from "#ir";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge"];

const installPaths: Readonly<Partial<Record<NodeJS.Platform, readonly string[]>>> = {
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

/** Finds a Chromium. @throws PithError E_ENGINE_MISSING if there is none, E_FILE for a wrong CHROME_PATH. */
export async function findChromium(): Promise<string> {
  const chromePath = process.env.CHROME_PATH ?? "";
  if (chromePath !== "") {
    if (await isProgram(chromePath)) return chromePath;
    throw fileError(`CHROME_PATH is "${chromePath}", which is not an executable.`);
  }
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const pathCandidates = names.flatMap((name) => folders.map((folder) => join(folder, name)));
  for (const path of [...pathCandidates, ...(installPaths[process.platform] ?? [])]) {
    if (await isProgram(path)) return path;
  }
  const downloadedPath = (await loadDriver()).executablePath();
  if (await isProgram(downloadedPath)) return downloadedPath;
  throw new PithError("E_ENGINE_MISSING", "There is no Chromium, Chrome or Edge on this machine.", {
    hint: "Install one (npx playwright-core install chromium), or set CHROME_PATH to its executable.",
  });
}

async function isProgram(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** @throws PithError E_ENGINE_MISSING if Playwright is not installed. */
async function loadDriver(): Promise<BrowserType> {
  try {
    return (await import("playwright-core")).chromium;
  } catch (cause) {
    const hint = "npm install playwright-core";
    throw new PithError("E_ENGINE_MISSING", "A browser needs playwright-core, which is not installed.", {
      hint,
      cause,
    });
  }
}

/** Milliseconds in which a started browser must respond. */
const startTimeout = 300_000;

/** Opens a page in a new browser. @param temporary folder for its profile. @throws PithError as `findChromium` and `loadDriver`; E_ENGINE. */
export async function openPage(temporary: string): Promise<{
  readonly page: Page;
  /** Rejects if the page or the browser ends, or if a script of the page throws an error. */
  readonly failure: Promise<never>;
  close(): Promise<void>;
}> {
  const executablePath = await findChromium();
  const chromium = await loadDriver();
  const profile = await mkdtemp(join(temporary, "profile-"));
  const removeProfile = () => rm(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  const options = {
    executablePath,
    artifactsDir: profile,
    timeout: startTimeout,
    // Chromium does not start as root with its sandbox.
    chromiumSandbox: process.getuid?.() !== 0,
    // The job that opens the browser handles these signals, so Playwright must not.
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
    // Enables WebGPU on Linux.
    args: ["--enable-unsafe-webgpu"],
  };
  const context = await chromium.launchPersistentContext(profile, options).catch(async (cause: Error) => {
    await removeProfile();
    const [first = ""] = cause.message.split("\n");
    const [, lastErrorLine = first] = [...cause.message.matchAll(/^\[pid=\d+\]\[err\] (.*)$/gm)].at(-1) ?? [];
    throw new PithError("E_ENGINE", `"${executablePath}" does not start: ${lastErrorLine}`, { cause });
  });
  const page = context.pages()[0] ?? (await context.newPage());
  page.setDefaultTimeout(0);
  const lost = new Promise<never>((_, reject) => {
    const rejectWith = (text: string) => reject(new PithError("E_ENGINE", text));
    context.on("close", () => rejectWith("The browser exited."));
    page.on("crash", () => rejectWith("The page crashed: the model may be too large for a browser."));
    page.on("pageerror", ({ message }) => rejectWith(`In the browser: ${message}`));
  });
  // Prevents an unhandled rejection if no caller awaits `lost`.
  lost.catch(() => {});
  return {
    page,
    failure: lost,
    async close() {
      await context.close();
      await removeProfile();
    },
  };
}
